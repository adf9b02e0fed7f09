/**
 * Finds the passphrase or key that opens a repository. Flags beat the environment, and what is
 * read from a file or a command beats CAIRN_PASSWORD, as in restic. No message ever holds a secret,
 * nor the words of a command, which may.
 */

import { statSync } from 'node:fs'
import { basename } from 'node:path'
import { fromHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { decodeText, type Environment, readSmallFile } from './text-file.ts'

export type SecretOrigin =
  | 'key-file'
  | 'password-file'
  | 'password-command'
  | 'environment'
  | 'prompt'
  | 'none'
  | 'caller'

export interface Secret {
  readonly kind: 'passphrase' | 'key'
  /** A passphrase in UTF-8, NFC; or the 32 bytes of a key. The caller wipes them. */
  readonly bytes: Uint8Array
  /** Asking again after a wrong one makes sense for `prompt` only. */
  readonly from: SecretOrigin
}

export interface SecretSources {
  /** `--key-file` */
  readonly keyFile?: string | undefined
  /** `--password-file` */
  readonly passwordFile?: string | undefined
  /** `--password-command` */
  readonly passwordCommand?: string | undefined
  /** `--insecure-no-password`: the empty passphrase. */
  readonly insecureNoPassword?: boolean
  /** `--`, or `--new-` for a secret that is to be set. */
  readonly optionPrefix?: string
  readonly environment: Environment
  /** `CAIRN_`, or `CAIRN_FROM_` for the repository that is copied from. */
  readonly environmentPrefix?: string
  /** `twice` when the passphrase is new; `never` with --json. */
  readonly prompt: 'never' | 'once' | 'twice'
  readonly promptMessage?: string
  /** Instead of the real terminal; undefined means that there is none. */
  readonly ask?: (message: string, signal?: AbortSignal) => Promise<string | undefined>
  /** Is called before the user is asked; what it returns, afterwards. */
  readonly takeTerminal?: () => (() => void) | undefined
  /** Is told what is dangerous but no error. */
  readonly warn: (message: string) => void
  readonly signal?: AbortSignal | undefined
}

export const KEY_BYTES = 32
const COMMAND_OUTPUT_BYTES_MAX = 65_536

interface Source {
  readonly name: string
  readonly origin: SecretOrigin
  readonly value: string
}

/** The one source given by flags, else by the environment; more than one is CAIRN_USAGE. */
function chosenSource(sources: SecretSources): Source | undefined {
  const { environment, environmentPrefix: prefix = 'CAIRN_', optionPrefix = '--' } = sources
  const flags = [
    [`${optionPrefix}key-file`, 'key-file', sources.keyFile],
    [`${optionPrefix}password-file`, 'password-file', sources.passwordFile],
    [`${optionPrefix}password-command`, 'password-command', sources.passwordCommand],
  ] as const
  const variables = [
    [`${prefix}KEY_FILE`, 'key-file'],
    [`${prefix}PASSWORD_FILE`, 'password-file'],
    [`${prefix}PASSWORD_COMMAND`, 'password-command'],
  ] as const
  const candidates = [
    flags.flatMap(([name, origin, value]) => (value === undefined ? [] : { name, origin, value })),
    variables.flatMap(([name, origin]) => {
      const value = environment[name]
      return value === undefined || value === '' ? [] : { name, origin, value }
    }),
  ]
  for (const given of candidates) {
    const [first, second] = given
    if (second !== undefined) {
      const names = given.map((source) => source.name).join(' and ')
      throw new CairnError('CAIRN_USAGE', `${names} exclude each other`)
    }
    if (first !== undefined) return first
  }
  const name = `${prefix}PASSWORD`
  const value = environment[name]
  return value === undefined || value === '' ? undefined : { name, origin: 'environment', value }
}

/** Throws CAIRN_USAGE if there is none and nobody to ask. */
export async function readSecret(sources: SecretSources): Promise<Secret> {
  const source = chosenSource(sources)
  if (sources.insecureNoPassword) {
    if (source === undefined) return { kind: 'passphrase', bytes: new Uint8Array(), from: 'none' }
    const option = `${sources.optionPrefix ?? '--'}insecure-no-password`
    throw new CairnError('CAIRN_USAGE', `${option} and ${source.name} exclude each other`)
  }
  if (source === undefined) return await promptForPassphrase(sources)
  switch (source.origin) {
    case 'key-file':
      return { kind: 'key', bytes: readKeyFile(source.value, sources.warn), from: 'key-file' }
    case 'password-file': {
      const bytes = readSmallFile(source.value, 'password file')
      return passphraseOf(bytes, true, source)
    }
    case 'password-command': {
      const bytes = await runPasswordCommand(source.value, sources.signal)
      return passphraseOf(bytes, true, source)
    }
    default:
      return passphraseOf(Buffer.from(source.value, 'utf8'), false, source)
  }
}

/** Trims white space at both ends if `trims`, as restic does. Bytes that are no text stay as they are. */
function passphraseOf(bytes: Uint8Array, trims: boolean, source: Omit<Source, 'value'>): Secret {
  const text = decodeText(bytes)
  const kept = text === undefined ? bytes : encodePassphrase(trims ? text.trim() : text)
  if (kept.length === 0) {
    throw new CairnError(
      'CAIRN_USAGE',
      `the password from ${source.name} is empty: an empty password protects nothing`,
    )
  }
  return { kind: 'passphrase', bytes: kept, from: source.origin }
}

/** NFC, so that `é` opens the repository however a keyboard or a file spells it. */
export function encodePassphrase(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.normalize('NFC'), 'utf8'))
}

async function promptForPassphrase(sources: SecretSources): Promise<Secret> {
  const giveBack = sources.takeTerminal?.()
  try {
    return await askForPassphrase(sources)
  } finally {
    giveBack?.()
  }
}

async function askForPassphrase(sources: SecretSources): Promise<Secret> {
  const { prompt, signal } = sources
  const ask = sources.ask ?? (await import('./ask-on-terminal.ts')).askOnTerminal
  const message = sources.promptMessage ?? 'enter password for repository:'
  const typed = prompt === 'never' ? undefined : await ask(message, signal)
  if (typed === undefined) {
    const { optionPrefix } = sources
    throw new CairnError(
      'CAIRN_USAGE',
      optionPrefix === undefined
        ? 'no password given, and no terminal to ask for it on: use --password-file, ' +
            '--password-command, --key-file or CAIRN_PASSWORD'
        : `no ${prompt === 'twice' || sources.environmentPrefix === undefined ? 'new ' : ''}password given, and no terminal to ask for it on: use ${optionPrefix}password-file or ${optionPrefix}key-file`,
    )
  }
  if (prompt === 'twice' && (await ask('enter password again:', signal)) !== typed) {
    throw new CairnError('CAIRN_USAGE', 'the two passwords are not the same')
  }
  const source = { name: 'the terminal', origin: 'prompt' } as const
  return passphraseOf(Buffer.from(typed, 'utf8'), false, source)
}

/** Runs the command without a shell. Its first line is the password; its stderr is the user's. */
async function runPasswordCommand(command: string, signal?: AbortSignal): Promise<Uint8Array> {
  // Loaded only here: most passwords come from elsewhere, and everything waits for them.
  const { spawn } = await import('node:child_process')
  const { splitShellWords } = await import('./shell-words.ts')
  const [program, ...words] = splitShellWords(command)
  if (program === undefined) throw new CairnError('CAIRN_USAGE', 'the password command is empty')
  const name = basename(program)
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(signal === undefined ? {} : { signal }),
  })
  const chunks: Buffer[] = []
  let byteCount = 0
  child.stdout.on('data', (chunk: Buffer) => {
    byteCount += chunk.length
    if (byteCount <= COMMAND_OUTPUT_BYTES_MAX) chunks.push(chunk)
  })
  const end = await new Promise<string | number | null>((resolve, reject) => {
    child.on('error', (error) => {
      const isAbort = error.name === 'AbortError'
      reject(
        isAbort
          ? new CairnError('CAIRN_ABORTED', 'interrupted')
          : new CairnError('CAIRN_FAILED', `cannot run the password command '${name}'`, {
              cause: new Error((error as NodeJS.ErrnoException).code ?? 'it did not start'),
            }),
      )
    })
    child.on('close', (code, endSignal) => resolve(code ?? endSignal))
  })
  if (end !== 0) {
    const how = typeof end === 'number' ? `it exited with status ${end}` : `it was ended by ${end}`
    throw new CairnError('CAIRN_FAILED', `the password command '${name}' failed: ${how}`)
  }
  const output = Buffer.concat(chunks)
  const lineEnd = output.indexOf(0x0a)
  return new Uint8Array(lineEnd < 0 ? output : output.subarray(0, lineEnd))
}

/** 32 raw bytes or 64 hex digits. Warns of a file that others can read. */
function readKeyFile(path: string, warn: (message: string) => void): Uint8Array {
  const bytes = readSmallFile(path, 'key file')
  const stat = statSync(path)
  if (stat.isFile() && (stat.mode & 0o044) !== 0) {
    warn(`others can read the key file '${path}'; run 'chmod 600' on it`)
  }
  if (bytes.length === KEY_BYTES) return bytes
  const key = fromHex((decodeText(bytes) ?? '').trim().toLowerCase())
  if (key?.length === KEY_BYTES) return key
  throw new CairnError(
    'CAIRN_FAILED',
    `'${path}' is not a key file: it must hold ${KEY_BYTES} bytes or ${2 * KEY_BYTES} hex digits`,
  )
}
