import { describe, expect, test } from 'vitest'
import { complete } from '../../src/cli/completions.ts'
import { COMMANDS } from '../../src/cli/registry.ts'

/** What is offered for the last of `words`, and what else. */
async function offered(...words: string[]): Promise<string[]> {
  const { candidates, also, prefix } = await complete(words, COMMANDS)
  return [...candidates.map(({ text }) => prefix + text), `:${also}`]
}

describe('complete()', () => {
  test('commands', async () => {
    expect(await offered('sna')).toEqual(['snapshots', ':nothing'])
    expect(await offered('-r', '/srv', '-v', 'ini')).toEqual(['init', ':nothing'])
    expect(await offered('key', '')).toEqual([
      'add',
      'export',
      'list',
      'passwd',
      'remove',
      ':nothing',
    ])
    expect(await offered('help', 'key', 'pa')).toEqual(['passwd', ':nothing'])
    const all = await offered('')
    expect(all).toContain('help')
    expect(all.filter((name) => name === 'key')).toHaveLength(1)
    expect(all.filter((name) => name.startsWith('_'))).toEqual([])
    expect(await offered('nonsense', '')).toEqual([':nothing'])
  })

  test('options of the command, and of all commands', async () => {
    expect(await offered('backup', '--exclude-')).toEqual([
      '--exclude-file',
      '--exclude-caches',
      '--exclude-if-present',
      '--exclude-larger-than',
      ':nothing',
    ])
    expect(await offered('key', 'add', '--new-k')).toEqual(['--new-key-file', ':nothing'])
    expect(await offered('check', '--repository')).toEqual(['--repository-file', ':nothing'])
    expect(await offered('--js')).toEqual(['--json', ':nothing'])
    expect(await offered('backup', '--', '--js')).toEqual([':files'])
  })

  test('values', async () => {
    expect(await offered('restore', '--overwrite', 'if')).toEqual([
      'if-changed',
      'if-newer',
      ':nothing',
    ])
    expect(await offered('restore', '--overwrite=n')).toEqual(['--overwrite=never', ':nothing'])
    expect(await offered('--compression=')).toContain('--compression=max')
    expect(await offered('cat', 'mas')).toEqual(['masterkey', ':nothing'])
    expect(await offered('completion', '')).toEqual(['bash', 'zsh', 'fish', ':nothing'])
    expect(await offered('backup', '--tag', 'x')).toEqual([':nothing'])
    // What a flag takes is not offered: none needs it.
    expect(await offered('backup', '--force=')).toEqual([':nothing'])
  })

  test('files, directories and snapshots', async () => {
    expect(await offered('backup', '')).toEqual([':files'])
    expect(await offered('backup', '--exclude-file', 'x')).toEqual([':files'])
    expect(await offered('backup', '--exclude-file=x')).toEqual([':files'])
    expect(await offered('-r', '')).toEqual([':directories'])
    expect(await offered('restore', 'latest', '-t', '')).toEqual([':directories'])
    expect(await offered('backup', '--parent', '')).toEqual([':snapshots'])
    expect(await offered('ls', '-l', '')).toEqual([':snapshots'])
    expect(await offered('ls', 'latest', '')).toEqual([':nothing'])
    expect(await offered('check', 'latest', '')).toEqual([':snapshots'])
    expect(await offered('init', '')).toEqual([':nothing'])
  })

  test('keeps the options that say how to open the repository', async () => {
    const words = ['-r', '/srv/r', 'ls', '-l', '--password-file=/pw', '--no-cache', '-H', 'x', '']
    const { globalWords } = await complete(words, COMMANDS)
    expect(globalWords).toEqual(['-r', '/srv/r', '--password-file=/pw', '--no-cache'])
    expect((await complete(['ls', '-r', ''], COMMANDS)).globalWords).toEqual([])
  })
})
