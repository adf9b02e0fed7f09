/**
 * What this client saw of repositories, so that one which loses something or goes back in time shows.
 * It is memory and no cache: it cannot be made anew, and stays with --no-cache. Without it, or where
 * it cannot be kept, what snapshots say of each other is all there is to go by.
 */

import { toHex } from '../base/bytes.ts'
import type { Clock, Randomness } from '../base/seams.ts'
import { findLosses, type Loss, type Memory, remembered, seenHistory } from '../engine/rollback.ts'
import type { History, Repository } from '../repository/repository.ts'
import { listSessions } from '../repository/sessions.ts'
import {
  type CacheDirectory,
  defaultStateRoot,
  openCacheDirectory,
} from '../storage/cache/cache-directory.ts'

const PLACES = 'places'
const FILE = 'seen.json'
const PLACES_MAX = 1000

export interface MemoryOptions {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  readonly random: Randomness
  /** Where the repository is, as messages say it. */
  readonly location: string
  readonly warn: (message: string) => void
}

function openFolder(name: string, options: MemoryOptions): CacheDirectory | undefined {
  const opened = openCacheDirectory({
    root: defaultStateRoot(options.environment),
    repositoryId: name,
    isUntagged: true,
    clock: options.clock,
    random: options.random,
  })
  return opened.cache
}

function readJson(folder: CacheDirectory | undefined): unknown {
  try {
    const bytes = folder?.readFile(FILE)
    return bytes === undefined ? undefined : JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined // As good as never seen.
  }
}

function writeJson(folder: CacheDirectory | undefined, value: object): void {
  try {
    folder?.writeFileAtomically(FILE, Buffer.from(JSON.stringify(value)))
  } catch {
    // A home that cannot be written to: there is no memory then.
  }
}

/** Ids as lower-case hex digits; anything else is left out. */
function idList(value: unknown): string[] {
  if (!Array.isArray(value)) return []
  return value.filter((one): one is string => typeof one === 'string' && /^[0-9a-f]{64}$/.test(one))
}

/** The memory of one repository in one place. */
export class RepositoryMemory {
  readonly #options: MemoryOptions
  readonly #repository: Repository
  readonly #folder: CacheDirectory | undefined
  #memory: Memory | undefined
  #looked: History | undefined
  #losses: readonly Loss[] = []
  readonly #own = new Set<string>()
  readonly #told = new Set<string>()

  constructor(repository: Repository, options: MemoryOptions) {
    this.#options = options
    this.#repository = repository
    this.#folder = openFolder(repository.id, options)
    this.#memory = this.#read()
  }

  /** Looks at every history that the repository loads, and warns of what is missing. */
  watch(): void {
    this.#repository.onHistory = (history) => {
      this.#looked = history
      this.#losses = findLosses(this.#repository, seenHistory(history), this.#memory)
      for (const { id, message } of this.#losses) {
        if (this.#told.has(id)) continue
        this.#told.add(id)
        this.#options.warn(`${message}: the storage lost it or took it away; run 'cairn check'`)
      }
    }
  }

  /** What was seen before this opening. */
  get memory(): Memory | undefined {
    return this.#memory
  }

  /** What was missing at the last look. */
  get losses(): readonly Loss[] {
    return this.#losses
  }

  /** A snapshot that this run has made and reported. */
  addOwn(id: string): void {
    this.#own.add(id)
  }

  /** Takes losses as they are: they are not remembered any more. */
  accept(losses: readonly Loss[]): void {
    this.#losses = this.#losses.filter((loss) => !losses.includes(loss))
    if (this.#memory === undefined) return
    const { otherRepository, configRevision, ...rest } = this.#memory
    const has = (kind: Loss['kind']) => losses.some((loss) => loss.kind === kind)
    const { revision } = this.#repository.unlocked.config
    this.#memory = {
      ...rest,
      configRevision: has('config') ? revision : configRevision,
      ...(otherRepository === undefined || has('repository') ? {} : { otherRepository }),
    }
  }

  /** Remembers what was seen. */
  async save(signal?: AbortSignal): Promise<void> {
    this.#savePlace()
    const history = this.#looked
    if (this.#folder === undefined || history === undefined) return
    const isConfirmed = await this.#confirmed(history, signal)
    const next = remembered(
      this.#repository,
      seenHistory(history),
      isConfirmed,
      this.#losses,
      this.#memory,
    )
    const snapshots = [...new Set([...next.snapshots, ...this.#own])]
    const memory = { ...next, snapshots }
    if (JSON.stringify(memory) !== JSON.stringify(this.#memory)) writeJson(this.#folder, memory)
  }

  /** A snapshot whose session is still there may be taken back. Sessions are listed after it. */
  async #confirmed(
    history: History,
    signal: AbortSignal | undefined,
  ): Promise<(snapshot: { readonly id: string }) => boolean> {
    const known = new Set(this.#memory?.snapshots)
    const fresh = history.snapshots.filter(({ id }) => !known.has(id))
    if (fresh.length === 0) return () => false
    const sessions = await listSessions(this.#repository, signal)
    const open = new Set(sessions.map(({ beat }) => toHex(beat.sessionId)))
    const files = await this.#repository.backend.list('snapshots')
    const listed = new Set(files.map(({ name }) => name))
    const confirmed = fresh.filter(
      ({ name, envelope }) => listed.has(name) && !open.has(toHex(envelope.sessionId)),
    )
    const ids = new Set<string>(confirmed.map(({ id }) => id))
    return ({ id }) => ids.has(id)
  }

  #read(): Memory | undefined {
    const other = this.#otherRepository()
    const otherRepository = other === undefined ? {} : { otherRepository: other }
    const value = readJson(this.#folder)
    if (typeof value !== 'object' || value === null) {
      if (other === undefined) return undefined
      return { configRevision: 0, snapshots: [], tombstones: [], ...otherRepository }
    }
    const fields = value as Readonly<Record<string, unknown>>
    const revision = fields['configRevision']
    return {
      configRevision: typeof revision === 'number' ? revision : 0,
      snapshots: idList(fields['snapshots']),
      tombstones: idList(fields['tombstones']),
      ...otherRepository,
    }
  }

  #places(): [place: string, id: string][] {
    const value = readJson(openFolder(PLACES, this.#options))
    if (typeof value !== 'object' || value === null) return []
    return Object.entries(value).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    )
  }

  #otherRepository(): string | undefined {
    const { location } = this.#options
    const id = this.#places().find(([place]) => place === location)?.[1]
    return id === this.#repository.id ? undefined : id
  }

  #savePlace(): void {
    if (this.#losses.some(({ kind }) => kind === 'repository')) return
    if (this.#memory?.otherRepository !== undefined) return
    const { location } = this.#options
    const places = this.#places()
    if (places.some(([place, id]) => place === location && id === this.#repository.id)) return
    const others = places.filter(([place]) => place !== location).slice(1 - PLACES_MAX)
    const next = Object.fromEntries([...others, [location, this.#repository.id]])
    writeJson(openFolder(PLACES, this.#options), next)
  }
}

/** A new repository was made in this place on purpose. */
export function forgetPlace(options: MemoryOptions): void {
  const folder = openFolder(PLACES, options)
  const value = readJson(folder)
  if (typeof value !== 'object' || value === null || !(options.location in value)) return
  const rest = Object.entries(value).filter(([place]) => place !== options.location)
  writeJson(folder, Object.fromEntries(rest))
}
