/** A small repository with a file of every kind, and a check of whatever became of it. */

import { nodeClock, nodeProcess, nodeRandomness } from '../../../src/base/node-seams.ts'
import { checkRepository } from '../../../src/engine/check/check.ts'
import type { CheckOptions, CheckReport } from '../../../src/engine/check/check-options.ts'
import { findingText } from '../../../src/engine/check/finding.ts'
import type { Environment } from '../../../src/engine/environment.ts'
import { encodeBeat, encodeMark } from '../../../src/format/session.ts'
import { Repository } from '../../../src/repository/repository.ts'
import { saveSnapshot, type Snapshot } from '../../../src/repository/snapshots.ts'
import { timeOf } from '../../../src/repository/time.ts'
import { forgetSnapshots } from '../../../src/repository/tombstones.ts'
import { nodeSourceFiles } from '../../../src/source/node-source-files.ts'
import { nodeTargetFiles } from '../../../src/source/node-target-files.ts'
import type { Backend, FileKind } from '../../../src/storage/backend.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  type BuilderOptions,
  type FileSpec,
  RepositoryBuilder,
  TEST_SECRET,
} from '../../support/repository-builder.ts'

export const READ_ALL = { kind: 'all' } as const

export function testEnvironment(): Environment {
  return {
    clock: nodeClock(),
    random: nodeRandomness(),
    process: nodeProcess(),
    source: nodeSourceFiles(),
    target: nodeTargetFiles({ randomness: nodeRandomness() }),
    threads: 0,
    workerEntry: undefined,
    yield: () => new Promise((resolve) => setImmediate(resolve)),
  }
}

export async function openTest(backend: Backend): Promise<Repository> {
  const { clock, random, process } = testEnvironment()
  return await Repository.open({ backend, clock, random, process }, { secret: TEST_SECRET })
}

export async function check(
  backend: Backend,
  options: Partial<CheckOptions> = {},
): Promise<CheckReport> {
  const environment = testEnvironment()
  const opening = options.opening ?? openTest(backend)
  return await checkRepository({ environment, backend, readData: READ_ALL, ...options, opening })
}

/** Every finding as it is shown, one after the other. */
export function textOf(report: CheckReport): string {
  return report.findings.map((finding) => `${finding.severity}: ${findingText(finding)}`).join('\n')
}

export function errorsOf({ findings }: CheckReport) {
  return findings.filter(({ severity }) => severity === 'error')
}

export interface Fixture {
  readonly backend: MemoryBackend
  readonly repository: Repository
  readonly snapshots: readonly Snapshot[]
}

/** Bytes that do not compress and are the same every time. */
export function noise(byteCount: number, seed: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  let state = (seed * 2654435761) >>> 0 || 1
  for (let i = 0; i < byteCount; i++) {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    bytes[i] = state & 0xff
  }
  return bytes
}

export const FILES: Readonly<Record<string, FileSpec>> = {
  'docs/a.txt': Buffer.from('hello '.repeat(300)),
  'docs/b.bin': noise(5000, 1),
  'docs/deep/c.bin': noise(3000, 2),
  empty: Buffer.alloc(0),
  'big.bin': noise(9000, 3),
  link: { type: 'symlink', target: 'docs/a.txt' },
}

/** Small chunks and packs, so that there are several of each kind. */
const SMALL: BuilderOptions = { chunkBytes: 1024, packBytes: 4096 }

export async function build(
  files: Readonly<Record<string, FileSpec>> = FILES,
  options: BuilderOptions = SMALL,
): Promise<Fixture> {
  const backend = new MemoryBackend()
  const builder = await RepositoryBuilder.create({ backend, ...options })
  const { repository } = await builder.finish(builder.tree(files))
  return { backend, repository, snapshots: await repository.snapshots() }
}

/** Another snapshot of the newest one's tree, which names it as previous. */
export async function snapshotAgain({ repository, backend }: Omit<Fixture, 'snapshots'>) {
  const snapshots = await repository.snapshots()
  const content = snapshots.at(-1)?.content
  if (content === undefined) throw new Error('there is no snapshot yet')
  const tombstones = (await repository.tombstones()).map(({ id }) => id)
  const time = timeOf(repository.clock.wallNs())
  await saveSnapshot(repository, time, content, { snapshots, tombstones, isSettled: () => true })
  await backend.flush()
}

export async function forget(repository: Repository, snapshot: Snapshot): Promise<void> {
  await forgetSnapshots(repository, [{ snapshot }])
}

export async function addSession(
  repository: Repository,
  options: { readonly sessionId: Uint8Array; readonly isAlive: boolean },
): Promise<void> {
  const { process, clock } = repository
  const time = timeOf(options.isAlive ? clock.wallNs() : 1_000_000_000n)
  await repository.saveObject(
    'sessions',
    encodeBeat({
      sessionId: options.sessionId,
      beat: 0,
      time,
      start: time,
      hostname: options.isAlive ? process.hostname : 'elsewhere',
      pid: process.pid,
      bootId: options.isAlive ? process.bootId : 'another boot',
      role: 0,
    }),
  )
}

/** Two snapshots and a forgotten one, a mark and an intent, and a living session. */
export async function buildFull(): Promise<Fixture> {
  const fixture = await build()
  const { repository, backend } = fixture
  await snapshotAgain(fixture)
  await snapshotAgain(fixture)
  const [first] = await repository.snapshots()
  if (first !== undefined) await forget(repository, first)
  await addSession(repository, { sessionId: Buffer.alloc(16, 7), isAlive: true })
  for (const phase of [0, 1]) {
    const time = timeOf(repository.clock.wallNs())
    const sessionId = Buffer.alloc(16, 9)
    await repository.saveObject('marks', encodeMark({ phase, time, packs: [], sessionId }))
  }
  return { backend, repository, snapshots: await repository.snapshots() }
}

export function filesOf(backend: MemoryBackend, kind: FileKind): string[] {
  return [...backend.files.keys()].filter((path) => path.startsWith(`${kind}/`)).sort()
}

/** A copy that can be damaged without the other knowing. */
export function copyOf(backend: MemoryBackend): MemoryBackend {
  const copy = new MemoryBackend()
  for (const [path, bytes] of backend.files) copy.files.set(path, Uint8Array.from(bytes))
  return copy
}

/** Checks `backend` with keys that are open already: for a config or key slot that is damaged. */
export async function checkUnlocked(
  repository: Repository,
  backend: Backend,
  options: Partial<CheckOptions> = {},
): Promise<CheckReport> {
  const { clock, random, process, unlocked } = repository
  const opened = new Repository({ backend, clock, random, process }, unlocked)
  return await check(backend, { opening: Promise.resolve(opened), ...options })
}

/** The packs that hold data (0) or metadata (1), as paths. */
export async function packsOfKind(repository: Repository, kind: number): Promise<string[]> {
  const found = new Set<string>()
  for (const { name } of await repository.backend.list('index')) {
    for (const pack of (await repository.loadIndexFile(name))?.packs ?? []) {
      if (pack.directory.segment(0).kind === kind) found.add(`packs/${pack.name}`)
    }
  }
  return [...found].sort()
}
