/** Opens what a command needs of a local repository and closes all of it. */

import { resolve } from 'node:path'
import { toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import type { Environment as Seams } from '../engine/environment.ts'
import { hasRepository } from '../repository/stored-files.ts'
import { peekRepositoryId, type Unlocked, unlockRepository } from '../repository/open-repository.ts'
import type { PreparedIndex } from '../repository/open-index.ts'
import type { Repository } from '../repository/repository.ts'
import type { Backend } from '../storage/backend.ts'
import type { CacheDirectory } from '../storage/cache/cache-directory.ts'
import type { AccessArguments, AccessContext, RepositoryAccess } from './access.ts'
import type { MemoryOptions, RepositoryMemory } from './memory.ts'
import { readSecret, type Secret } from './secrets.ts'

export type OpeningSeams = Pick<Seams, 'clock' | 'random' | 'process'>

/** How often a password is asked for. */
const PROMPTS_MAX = 3

/** How the arguments are spelled, for messages, and where else they may come from. */
export interface Spelling {
  readonly environmentPrefix?: string
  readonly optionPrefix?: string
  readonly promptMessage?: string
}

interface LocalAccessParts {
  readonly args: AccessArguments
  readonly context: AccessContext
  readonly seams: OpeningSeams
  readonly spelling: Spelling
  readonly backend: Backend
  readonly path: string
}

export class LocalAccess implements RepositoryAccess {
  readonly backend: Backend
  readonly path: string
  readonly signal: AbortSignal
  readonly #args: AccessArguments
  readonly #context: AccessContext
  readonly #seams: OpeningSeams
  readonly #spelling: Spelling
  #secret: Promise<Secret> | undefined
  #repository: Promise<Repository> | undefined
  #cache: Promise<CacheDirectory | undefined> | undefined
  #memory: RepositoryMemory | undefined
  #peekedId: Promise<Uint8Array | undefined> | undefined
  #wantsIndex = false
  #isReady: Promise<void> | undefined
  #index: PreparedIndex | undefined

  constructor({ args, context, seams, spelling, backend, path }: LocalAccessParts) {
    this.#args = args
    this.#context = context
    this.#seams = seams
    this.#spelling = spelling
    this.backend = backend
    this.path = path
    this.signal = context.signal
  }

  warn(message: string): void {
    this.#context.warn(message)
  }

  secret(prompt: 'once' | 'twice'): Promise<Secret> {
    const { keyFile, passwordFile, passwordCommand, insecureNoPassword } = this.#args
    const { environment, json, signal } = this.#context
    this.#secret ??= this.#context.secret?.()
    this.#secret ??= readSecret({
      keyFile,
      passwordFile,
      passwordCommand,
      insecureNoPassword,
      environment,
      ...this.#spelling,
      prompt: json ? 'never' : prompt,
      warn: (message) => this.warn(message),
      takeTerminal: () => this.#context.takeTerminal?.(),
      signal,
    })
    return this.#secret
  }

  open(): Promise<Repository> {
    this.#repository ??= this.#open()
    return this.#repository
  }

  async #open(): Promise<Repository> {
    const { clock, random, process } = this.#seams
    // Ask for a password only where there is something to open with it.
    await this.#requireConfig()
    const warn = (message: string) => this.warn(message)
    const unlocked = await this.#unlock(PROMPTS_MAX)
    const { Repository } = await import('../repository/repository.ts')
    const parts = { backend: this.backend, clock, random, process, cache: () => this.cache() }
    const repository = new Repository(parts, unlocked, warn)
    const { expectHead } = this.#args
    if (expectHead !== undefined) {
      const { requireHead } = await import('../engine/head.ts')
      await requireHead(repository, expectHead, this.signal)
    }
    if (this.#context.remembers === false) return repository
    const { RepositoryMemory } = await import('./memory.ts')
    this.#memory = new RepositoryMemory(repository, this.#memoryOptions())
    this.#memory.watch()
    return repository
  }

  /** A password that was typed may have been mistyped. */
  async #unlock(triesLeft: number): Promise<Unlocked> {
    const { keyHint } = this.#args
    const secret = await this.secret('once')
    try {
      return await unlockRepository(this.backend, {
        secret,
        ...(keyHint === undefined ? {} : { keyHint }),
        signal: this.signal,
        onWarning: (message) => this.warn(message),
        onDeriving: () => {
          // What fails here fails again, and is told, where it is needed.
          this.#isReady ??= this.#getReady().catch(() => {})
        },
      })
    } catch (error) {
      const isTypo = secret.from === 'prompt' && isCairnError(error, 'CAIRN_WRONG_SECRET')
      if (!isTypo || triesLeft <= 1) throw error
      this.warn('wrong password, try again')
    }
    this.#secret = undefined
    return await this.#unlock(triesLeft - 1)
  }

  prepareIndex(): void {
    this.#wantsIndex = true
  }

  async takeIndex(): Promise<PreparedIndex | undefined> {
    await this.#isReady
    const index = this.#index
    this.#index = undefined
    return index
  }

  /** What comes after the derivation of keys and needs none, done beside it. */
  async #getReady(): Promise<void> {
    await import('../repository/repository.ts')
    if (this.#context.remembers !== false) await import('./memory.ts')
    if (!this.#wantsIndex || this.#args.noCache) return
    const repositoryId = await this.#peekId()
    if (repositoryId === undefined) return
    // None is made for one who may have no key to the repository.
    const { hasCacheDirectory } = await import('../storage/cache/cache-directory.ts')
    if (!hasCacheDirectory(toHex(repositoryId), this.#args.cacheDir)) return
    const cache = await this.cache()
    if (cache === undefined) return
    const { prepareIndex } = await import('../repository/open-index.ts')
    this.#index = await prepareIndex(this.backend, repositoryId, {
      cacheDirectory: `${cache.path}/index`,
      signal: this.signal,
    })
  }

  #memoryOptions(): MemoryOptions {
    const { clock, random } = this.#seams
    return {
      environment: this.#context.environment,
      clock,
      random,
      location: resolve(this.path),
      warn: (message) => this.warn(message),
    }
  }

  memory(): RepositoryMemory | undefined {
    return this.#memory
  }

  async forgetPlace(): Promise<void> {
    if (this.#context.remembers === false) return
    const { forgetPlace } = await import('./memory.ts')
    forgetPlace(this.#memoryOptions())
  }

  /** Without a config but with packs it is damaged, which opening it says in full. */
  async #requireConfig(): Promise<void> {
    if (await hasRepository(this.backend, this.signal)) return
    try {
      if ((await this.backend.list('packs', { signal: this.signal })).length > 0) return
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_REPOSITORY_MISSING')) throw error
    }
    throw new CairnError(
      'CAIRN_REPOSITORY_MISSING',
      `there is no repository at '${this.backend.location}'; create one with 'cairn init' or ` +
        `'cairn backup --init', or check that the disk is mounted`,
    )
  }

  cache(): Promise<CacheDirectory | undefined> {
    this.#cache ??= this.#openCache()
    return this.#cache
  }

  async #openCache(): Promise<CacheDirectory | undefined> {
    if (this.#args.noCache) return undefined
    if (!(await hasRepository(this.backend, this.signal))) return undefined
    const repositoryId = await this.#peekId()
    if (repositoryId === undefined) return undefined
    if (this.#args.cleanupCache) await this.#removeOldCaches()
    const { openCacheDirectory } = await import('../storage/cache/cache-directory.ts')
    const { cacheDir } = this.#args
    const { clock, random } = this.#seams
    const opened = openCacheDirectory({
      ...(cacheDir === undefined ? {} : { root: cacheDir }),
      repositoryId: toHex(repositoryId),
      clock,
      random,
    })
    if ('reason' in opened) {
      this.warn(`no cache is used, which only costs time: ${opened.reason}`)
      return undefined
    }
    return opened.cache
  }

  /** As the config has it that nothing vouches for yet. */
  #peekId(): Promise<Uint8Array | undefined> {
    this.#peekedId ??= peekRepositoryId(this.backend)
    return this.#peekedId
  }

  async #removeOldCaches(): Promise<void> {
    const { listCaches, MAX_AGE_DAYS, removeOldCaches } = await import('./caches.ts')
    try {
      const root = this.#args.cacheDir
      removeOldCaches(listCaches({ root, maxAgeDays: MAX_AGE_DAYS, withSizes: false }))
    } catch (error) {
      this.warn(errorChain(error))
    }
  }

  async close(): Promise<void> {
    // What cannot be remembered now is remembered at the next look.
    if (!this.signal.aborted) await this.#memory?.save(this.signal).catch(() => {})
    await (await this.takeIndex())?.dispose()
    await this.backend.close()
  }
}
