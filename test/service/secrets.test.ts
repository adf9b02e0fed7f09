import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { CairnError, errorChain, isCairnError } from '../../src/base/errors.ts'
import { readSecret, type SecretSources } from '../../src/service/secrets.ts'
import { splitShellWords } from '../../src/service/shell-words.ts'

const folder = mkdtempSync(join(tmpdir(), 'cairn-secrets-'))
afterAll(() => rmSync(folder, { recursive: true }))

function fileWith(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

const warnings: string[] = []
function sources(overrides: Partial<SecretSources>): SecretSources {
  return {
    environment: {},
    prompt: 'never',
    warn: (message) => warnings.push(message),
    ...overrides,
  }
}

async function read(overrides: Partial<SecretSources>): Promise<string> {
  const { kind, bytes, from } = await readSecret(sources(overrides))
  const shown = kind === 'key' ? Buffer.from(bytes).toString('hex') : Buffer.from(bytes).toString()
  return `${from}: ${shown}`
}

async function failure(overrides: Partial<SecretSources>): Promise<CairnError> {
  const error = await readSecret(sources(overrides)).catch((reason: unknown) => reason)
  if (!(error instanceof CairnError)) throw new Error('no CairnError', { cause: error })
  return error
}

describe('readSecret()', () => {
  const file = fileWith('password', '  from file \n\n')

  test('reads a file as restic does: trimmed, without a byte order mark', async () => {
    expect(await read({ passwordFile: file })).toBe('password-file: from file')
    const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from('pä\r\n', 'utf16le')])
    expect(await read({ passwordFile: fileWith('utf16', utf16) })).toBe('password-file: pä')
    expect(await read({ passwordFile: fileWith('bom', '\ufeffx\n') })).toBe('password-file: x')
  })

  test('keeps bytes that are no text', async () => {
    const bytes = Uint8Array.of(0x70, 0xff, 0x0a)
    const secret = await readSecret(sources({ passwordFile: fileWith('raw', bytes) }))
    expect([...secret.bytes]).toEqual([...bytes])
  })

  test('gives the same bytes for either spelling of é', async () => {
    const composed = await readSecret(sources({ environment: { CAIRN_PASSWORD: '\u00e9' } }))
    const decomposed = await readSecret(sources({ environment: { CAIRN_PASSWORD: 'e\u0301' } }))
    expect([...decomposed.bytes]).toEqual([...composed.bytes])
  })

  test('prefers flags to the environment, files and commands to CAIRN_PASSWORD', async () => {
    const environment = { CAIRN_PASSWORD: ' env ', CAIRN_PASSWORD_FILE: '/nowhere' }
    expect(await read({ passwordFile: file, environment })).toBe('password-file: from file')
    expect(await read({ passwordCommand: 'echo command', environment })).toBe(
      'password-command: command',
    )
    expect(
      await read({ environment: { CAIRN_PASSWORD: ' env ', CAIRN_PASSWORD_FILE: file } }),
    ).toBe('password-file: from file')
    expect(await read({ environment: { CAIRN_PASSWORD: ' env ' } })).toBe('environment:  env ')
    expect(await read({ environment: { CAIRN_PASSWORD_COMMAND: 'echo e' } })).toBe(
      'password-command: e',
    )
    expect(
      await read({ environmentPrefix: 'CAIRN_FROM_', environment: { CAIRN_FROM_PASSWORD: 'f' } }),
    ).toBe('environment: f')
  })

  test('refuses two sources of the same rank', async () => {
    const flags = await failure({ passwordFile: file, passwordCommand: 'echo x' })
    expect(flags.message).toContain('--password-file and --password-command')
    const variables = await failure({
      environment: { CAIRN_PASSWORD_FILE: file, CAIRN_KEY_FILE: file },
    })
    expect([flags.code, variables.code]).toEqual(['CAIRN_USAGE', 'CAIRN_USAGE'])
  })

  test('takes the first line of a command and no shell', async () => {
    expect(await read({ passwordCommand: `printf 'one \\n two'` })).toBe('password-command: one')
    expect(await read({ passwordCommand: 'echo "$HOME" a|b' })).toBe('password-command: $HOME a|b')
  })

  test('tells of a failing command without its words', async () => {
    const failed = await failure({ passwordCommand: `sh -c 'echo hunter2; exit 3'` })
    expect([failed.code, failed.message]).toEqual([
      'CAIRN_FAILED',
      expect.stringContaining('status 3'),
    ])
    const missing = await failure({ passwordCommand: '/nowhere/program hunter2' })
    const unclosed = await failure({ passwordCommand: `echo 'hunter2` })
    for (const error of [failed, missing, unclosed])
      expect(errorChain(error)).not.toContain('hunter2')
    expect(errorChain(missing)).toContain('ENOENT')
    expect(unclosed.code).toBe('CAIRN_USAGE')
  })

  test('ends the command when it is aborted', async () => {
    const controller = new AbortController()
    const running = failure({ passwordCommand: 'sleep 60', signal: controller.signal })
    setTimeout(() => controller.abort(), 50)
    expect((await running).code).toBe('CAIRN_ABORTED')
  })

  test('refuses an empty password from anywhere', async () => {
    for (const overrides of [
      { passwordFile: fileWith('empty', ' \n') },
      { passwordCommand: 'true' },
      { prompt: 'once', ask: async () => '' },
    ] as const) {
      const error = await failure(overrides)
      expect([error.code, error.message]).toEqual(['CAIRN_USAGE', expect.stringContaining('empty')])
    }
  })

  test('reads raw and hex keys and warns if others can read them', async () => {
    const key = Buffer.from(Array.from({ length: 32 }, (_, at) => 255 - at))
    const hex = key.toString('hex')
    expect(await read({ keyFile: fileWith('raw-key', key) })).toBe(`key-file: ${hex}`)
    warnings.length = 0
    expect(await read({ keyFile: fileWith('hex-key', `${hex.toUpperCase()}\n`) })).toBe(
      `key-file: ${hex}`,
    )
    expect(warnings).toEqual([])
    await read({
      environment: { CAIRN_KEY_FILE: fileWith('open-key', hex, 0o644), CAIRN_PASSWORD: 'x' },
    })
    expect(warnings).toEqual([expect.stringContaining('chmod 600')])
    const error = await failure({ keyFile: fileWith('bad-key', hex.slice(1)) })
    expect([error.code, error.message.includes(hex.slice(1, 20))]).toEqual(['CAIRN_FAILED', false])
  })

  test('says what is wrong with a file', async () => {
    expect((await failure({ passwordFile: '/nowhere' })).message).toContain('does not exist')
    expect((await failure({ passwordFile: folder })).code).toBe('CAIRN_FAILED')
    expect((await failure({ passwordFile: '/dev/zero' })).message).toContain('more than')
  })

  test('asks once or twice, and only if there is somebody', async () => {
    const answers =
      (...texts: (string | undefined)[]) =>
      async () =>
        texts.shift()
    expect(await read({ prompt: 'once', ask: answers('p', 'q') })).toBe('prompt: p')
    expect(await read({ prompt: 'twice', ask: answers('p', 'p') })).toBe('prompt: p')
    expect((await failure({ prompt: 'twice', ask: answers('p', 'q') })).message).toContain(
      'not the same',
    )
    for (const overrides of [
      { prompt: 'never', ask: answers('p') },
      { prompt: 'once', ask: answers() },
    ] as const) {
      const error = await failure(overrides)
      expect(isCairnError(error, 'CAIRN_USAGE')).toBe(true)
      expect(error.message).toContain('--password-file')
    }
  })
})

test('splitShellWords() joins and parts as a shell', () => {
  expect(splitShellWords(`  a "b c"d 'e\\f' g\\ h "" "i\\"j\\k" `)).toEqual([
    'a',
    'b cd',
    'e\\f',
    'g h',
    '',
    'i"j\\k',
  ])
  expect(splitShellWords('')).toEqual([])
  for (const text of [`'a`, '"a', 'a\\']) expect(() => splitShellWords(text)).toThrow(CairnError)
})
