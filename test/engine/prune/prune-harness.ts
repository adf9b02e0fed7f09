/** Runs the real prune inline, on small repositories that real backups have made. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { FileName } from '../../../src/base/ids.ts'
import type { Clock } from '../../../src/base/seams.ts'
import type { Environment } from '../../../src/engine/environment.ts'
import { prune } from '../../../src/engine/prune/prune.ts'
import type {
  PruneOptions,
  PruneReport,
  PruneSettings,
} from '../../../src/engine/prune/prune-options.ts'
import { Repository } from '../../../src/repository/repository.ts'
import { forgetSnapshots } from '../../../src/repository/tombstones.ts'
import type { Backend, FileKind } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, inlineEnvironment, open } from '../../support/backup-harness.ts'

export const SETTINGS: PruneSettings = {
  maxUnused: { kind: 'bytes', byteCount: 0 },
  maxRepackBytes: undefined,
  smallPackBytes: 0,
  repackCacheableOnly: false,
  repackUncompressed: false,
  isDiskFull: false,
  graceMs: 24 * 3600 * 1000,
}

let lastPid = 1_000_000

/** A process of its own: when `alive` does not have its pid it is dead, whatever it left. */
export function newProcess(alive: Set<number> = new Set()): Environment & { pid: number } {
  const environment = inlineEnvironment()
  const pid = ++lastPid
  alive.add(pid)
  const process = {
    ...environment.process,
    pid,
    bootId: 'boot',
    isAlive: (p: number) => alive.has(p),
  }
  // Nobody waits in a test.
  const clock = { ...environment.clock, sleep: () => Promise.resolve() }
  Object.setPrototypeOf(clock, environment.clock)
  return { ...environment, clock, process, pid }
}

/** Hours after what the tests do otherwise: nothing comes any more of what has died. */
export function laterClock(clock: Clock): Clock {
  const later = { ...clock, wallNs: () => clock.wallNs() + 2n * 3600n * 1_000_000_000n }
  return Object.setPrototypeOf(later, clock) as Clock
}

export function laterProcess(): ReturnType<typeof newProcess> {
  const environment = newProcess()
  return { ...environment, clock: laterClock(environment.clock) }
}

const unlocked = new Map<string, Repository['unlocked']>()

/** Opens a repository; the key of one that was opened before, whatever the place, is known. */
export async function openAgain(
  backend: Backend,
  environment: Environment = inlineEnvironment(),
): Promise<Repository> {
  const config = (await backend.list('config')).map(({ name }) => name).join()
  const { clock, random, process } = environment
  const known = unlocked.get(config)
  if (known !== undefined) return new Repository({ backend, clock, random, process }, known)
  const repository = await open(backend, environment)
  unlocked.set(config, repository.unlocked)
  return repository
}

export async function runPrune(
  backend: Backend,
  settings: Partial<PruneSettings> = {},
  overrides: Partial<PruneOptions> = {},
): Promise<PruneReport> {
  const environment = overrides.environment ?? newProcess()
  return await prune({
    environment,
    repository: overrides.repository ?? (await openAgain(backend, environment)),
    settings: { ...SETTINGS, ...settings },
    dryRun: false,
    level: 3,
    verify: true,
    listener: {},
    ...overrides,
  })
}

export async function forget(repository: Repository, ids: readonly string[]): Promise<void> {
  const snapshots = await repository.snapshots()
  const items = snapshots.filter(({ id }) => ids.includes(id)).map((snapshot) => ({ snapshot }))
  await forgetSnapshots(repository, items)
}

/** Bytes that do not compress and are the same every time. */
export function noise(byteCount: number, seed: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  let state = (Math.imul(seed, 2_654_435_761) ^ 0x9e37) >>> 0 || 1
  for (let i = 0; i < byteCount; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[i] = state >>> 16
  }
  return bytes
}

/** Writes files of these seeds, so that what two directories share is known. */
export function plant(directory: string, seeds: readonly number[], byteCount = 6000): void {
  for (const seed of seeds) {
    const path = join(directory, seed % 2 === 0 ? 'even' : 'odd', `file-${seed}`)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, noise(byteCount + seed * 97, seed))
  }
}

export function names(disk: MemoryBackend, kind: FileKind): FileName[] {
  return [...disk.files.keys()]
    .filter((path) => path.startsWith(`${kind}/`))
    .map((path) => path.slice(kind.length + 1) as FileName)
}

/** What its packs take. */
export function packBytes(disk: MemoryBackend): number {
  return names(disk, 'packs').reduce(
    (sum, name) => sum + (disk.files.get(`packs/${name}`)?.length ?? 0),
    0,
  )
}

export function copyOf(
  disk: MemoryBackend,
  options?: ConstructorParameters<typeof MemoryBackend>[0],
) {
  const copy = new MemoryBackend(options)
  for (const [path, bytes] of disk.files) copy.files.set(path, bytes)
  return copy
}

export interface Taken {
  readonly id: string
  readonly contents: ReadonlyMap<string, string>
}

/** Backs up and reads back what was stored: what has to restore from now on. */
export async function take(
  backend: Backend,
  path: string,
  environment: Environment = inlineEnvironment(),
  packBytes?: number,
): Promise<Taken> {
  const opening = openAgain(backend, environment)
  const size = packBytes === undefined ? {} : { packBytes }
  const report = await backUp(backend, path, { environment, opening, ...size })
  const repository = await openAgain(backend)
  const snapshot = (await repository.snapshots()).find(({ id }) => id === report.snapshotId)
  if (snapshot === undefined) throw new Error('the snapshot that was reported is not listed')
  return { id: snapshot.id, contents: await contentsOf(repository, snapshot, path) }
}

/** Throws unless each of these snapshots restores as it was taken. */
export async function requireRestorable(
  backend: Backend,
  taken: readonly Taken[],
  path: string,
): Promise<void> {
  const repository = await openAgain(backend)
  const snapshots = await repository.snapshots()
  for (const { id, contents } of taken) {
    const snapshot = snapshots.find((one) => one.id === id)
    if (snapshot === undefined) throw new Error(`snapshot ${id} is not listed`)
    const found = await contentsOf(repository, snapshot, path)
    for (const [file, content] of contents) {
      if (found.get(file) !== content) throw new Error(`'${file}' of ${id} is ${found.get(file)}`)
    }
  }
}

/** Names in packs that index files claim and that are not there, and the other way round. */
export async function indexProblems(backend: Backend): Promise<string[]> {
  const repository = await openAgain(backend)
  const listed = await repository.listPacks()
  const named = new Set<string>()
  for (const { name } of await backend.list('index')) {
    for (const pack of (await repository.loadIndexFile(name))?.packs ?? []) named.add(pack.name)
  }
  return [
    ...[...named].filter((name) => !listed.has(name as FileName)).map((name) => `missing ${name}`),
    ...[...listed.keys()].filter((name) => !named.has(name)).map((name) => `unnamed ${name}`),
  ]
}
