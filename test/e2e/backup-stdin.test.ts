/** Backups of what a program prints. */

import { expect, test } from 'vitest'
import { type Box, newRepository, summaryOf } from '../support/run-cairn.ts'

/** The bytes of a file at the top of the newest snapshot, through its chunks. */
async function contentOf(box: Box, name: string): Promise<string> {
  const { stdout } = await box.succeed(['cat', '--json', 'tree', 'latest'])
  const { nodes } = JSON.parse(stdout)
  const node = nodes.find((one: { name: string }) => one.name === name)
  let content = ''
  for (const { id } of node.content) content += (await box.succeed(['cat', 'blob', id])).stdout
  return content
}

test('--stdin is one file, named by --stdin-filename', async () => {
  const box = await newRepository()
  await box.succeed(['backup', '--stdin'], { input: 'from a pipe' })
  expect((await box.succeed(['ls', '-q', 'latest'])).stdout).toBe('/stdin\n')
  expect(await contentOf(box, 'stdin')).toBe('from a pipe')
  const input = 'line\n'.repeat(100_000)
  const options = ['--stdin', '--stdin-filename', 'dump.sql', '--json']
  const found = summaryOf(await box.succeed(['backup', ...options], { input }))
  expect(found).toMatchObject({ files_new: 1, total_bytes_processed: input.length })
  expect((await box.succeed(['ls', '-q', 'latest'])).stdout).toBe('/dump.sql\n')
  expect(await contentOf(box, 'dump.sql')).toBe(input)
  const [first, second] = await box.snapshots()
  expect(first.paths).toEqual(['/stdin'])
  expect(second.paths).toEqual(['/dump.sql'])
})

test('--stdin-from-command keeps what the command printed', async () => {
  const box = await newRepository()
  const script = 'printf "%s" "$0 printed"; echo aside >&2'
  const command = ['backup', '--stdin-from-command', '--', 'sh', '-c', script, 'it']
  const { stderr } = await box.succeed(command)
  expect(stderr).toContain('aside')
  expect(await contentOf(box, 'stdin')).toBe('it printed')
})

test('1: a command that fails, or is not there, leaves no snapshot', async () => {
  const box = await newRepository()
  const commands = [
    ['sh', '-c', 'echo half; exit 3'],
    ['sh', '-c', 'echo half; kill -9 $$'],
    ['/nowhere/at-all'],
  ]
  for (const command of commands) {
    const finished = await box.run(['backup', '--stdin-from-command', '--', ...command])
    expect({ command, code: finished.code }).toEqual({ command, code: 1 })
    expect(finished.stderr).toContain('no snapshot was made')
    expect(finished.stdout).not.toContain('saved')
  }
  expect(await box.snapshots()).toEqual([])
})

test('stdin that ends at once is an empty file', async () => {
  const box = await newRepository()
  await box.succeed(['backup', '--stdin'], { input: '' })
  const { stdout } = await box.succeed(['ls', '--json', 'latest', '/stdin'])
  expect(stdout).toContain('"size":0')
})
