/** Opens and creates repositories. */

import { resolve } from 'node:path'
import { CairnError } from '../base/errors.ts'
import { type Access, type AccessArguments, openAccess } from '../service/access.ts'
import { createAt } from '../service/create.ts'
import {
  encodePassphrase,
  KEY_BYTES,
  readSecret,
  type Secret as GivenSecret,
} from '../service/secrets.ts'
import { CairnRepository } from './repository.ts'

/** What opens a repository. Files are read as `--password-file` and `--key-file` are. */
export type Secret =
  | { readonly passphrase: string | Uint8Array }
  | { readonly passphraseFile: string }
  /** 32 bytes. */
  | { readonly key: Uint8Array }
  | { readonly keyFile: string }

/** A secret, or a function that is called when it is needed, at most once. */
export type SecretInput = Secret | (() => Secret | Promise<Secret>)

export interface OpenOptions {
  /** Where the repository is, as `--repo` has it. */
  readonly location: string
  readonly secret: SecretInput
  /** The folder for caches; false for none. By default where the command line has it. */
  readonly cacheDirectory?: string | false
  /**
   * Where it is remembered what was seen of repositories, so that one which goes back in time shows:
   * in a folder `cairn` in this one. False for nowhere; by default where the command line has it.
   */
  readonly stateDirectory?: string | false
  /** What the head of the repository was: opening fails unless it goes on from there. */
  readonly expectHead?: string
  /** Workers; as many as there are usable cores by default. */
  readonly jobs?: number
  /** Is told what is worth knowing and no failure. */
  readonly onWarning?: (message: string) => void
  /** Ends the opening, not what comes after. */
  readonly signal?: AbortSignal | undefined
}

export interface CreateOptions extends OpenOptions {
  /** Average bytes of a chunk, a power of two; 128 KiB by default. */
  readonly chunkBytes?: number
  readonly cipher?: 'chacha20-poly1305' | 'aes-256-gcm'
}

async function givenSecret(
  input: SecretInput,
  warn: (message: string) => void,
): Promise<GivenSecret> {
  const secret = typeof input === 'function' ? await input() : input
  if ('passphrase' in secret) {
    const { passphrase } = secret
    const bytes = typeof passphrase === 'string' ? encodePassphrase(passphrase) : passphrase
    if (bytes.length === 0) throw new CairnError('CAIRN_USAGE', 'the passphrase is empty')
    return { kind: 'passphrase', bytes, from: 'caller' }
  }
  if ('key' in secret) {
    if (secret.key.length !== KEY_BYTES) {
      throw new CairnError('CAIRN_USAGE', `a key has ${KEY_BYTES} bytes, not ${secret.key.length}`)
    }
    return { kind: 'key', bytes: secret.key, from: 'caller' }
  }
  const file =
    'keyFile' in secret ? { keyFile: secret.keyFile } : { passwordFile: secret.passphraseFile }
  return await readSecret({ ...file, environment: {}, prompt: 'never', warn })
}

async function accessFor(options: OpenOptions): Promise<Access> {
  const { location, secret, cacheDirectory, stateDirectory, jobs, signal, onWarning } = options
  const warn = onWarning ?? (() => {})
  const args: AccessArguments = {
    repo: location,
    repositoryFile: undefined,
    passwordFile: undefined,
    passwordCommand: undefined,
    keyFile: undefined,
    keyHint: undefined,
    insecureNoPassword: false,
    expectHead: options.expectHead,
    cleanupCache: false,
    cacheDir: cacheDirectory === false ? undefined : cacheDirectory,
    noCache: cacheDirectory === false,
  }
  const context = {
    environment:
      typeof stateDirectory === 'string' ? { XDG_STATE_HOME: resolve(stateDirectory) } : {},
    remembers: stateDirectory !== false,
    json: true,
    signal: signal ?? new AbortController().signal,
    warn,
    secret: () => givenSecret(secret, warn),
  }
  return await openAccess(args, context, jobs)
}

async function opened(access: Access, options: OpenOptions): Promise<CairnRepository> {
  try {
    const { id } = await access.open()
    return new CairnRepository(access, id, options.onWarning ?? (() => {}))
  } catch (error) {
    await access.close()
    throw error
  }
}

/**
 * Opens a repository. Rejects with CAIRN_REPOSITORY_MISSING, CAIRN_WRONG_SECRET,
 * CAIRN_FORMAT_TOO_NEW, CAIRN_CORRUPT or a storage error. Close what you have opened.
 */
export async function openRepository(options: OpenOptions): Promise<CairnRepository> {
  return await opened(await accessFor(options), options)
}

/** Creates a repository and opens it. Rejects with CAIRN_FAILED if there is one already. */
export async function createRepository(options: CreateOptions): Promise<CairnRepository> {
  const access = await accessFor(options)
  try {
    await createAt(access, {
      chunkSize: options.chunkBytes,
      cipher: options.cipher,
      packBytes: undefined,
    })
  } catch (error) {
    await access.close()
    throw error
  }
  return await opened(access, options)
}
