/**
 * Judges a run from outside: it knows what clients were told, looks at the storage as it is, and
 * trusts nothing that the programs under test keep in memory. The invariants:
 *
 *   acknowledged   a snapshot that was acknowledged and not forgotten is listed and restores
 *                  byte for byte, by anybody
 *   forgotten      a snapshot whose forgetting was acknowledged is not listed
 *   replaced       of a snapshot and what is written in its place one is listed and restores at any
 *                  moment; once that was acknowledged, the new one, or what tombstones put in the
 *                  place of that
 *   brought back   what `undelete` has acknowledged is as if it had just been backed up; it refuses
 *                  only what a prune may have taken
 *   in doubt       any other listed snapshot restores too, unless its session still says that it
 *                  is unconfirmed
 *   immutable      a file has the SHA-256 of its bytes as its name
 *   intent         a pack is removed only after an intent that names it
 *   key use        no two files are under one key
 *   verdict        `check` finds nothing wrong where nothing is, and what is
 */

import type { ByteString } from '../../src/base/bytes.ts'
import { toHex } from '../../src/base/bytes.ts'
import { CairnError, errorChain } from '../../src/base/errors.ts'
import { type SnapshotId, snapshotIdOf } from '../../src/base/ids.ts'
import type { Environment } from '../../src/engine/environment.ts'
import { checkRepository } from '../../src/engine/check/check.ts'
import type { CheckReport } from '../../src/engine/check/check-options.ts'
import { originalOf } from '../../src/engine/original.ts'
import type { BlobType } from '../../src/format/constants.ts'
import { decodeBeat, decodeMark, MARK_PHASE } from '../../src/format/session.ts'
import { ENTRY_TYPE, type NodeRoot } from '../../src/format/tree.ts'
import { BlobReader } from '../../src/repository/blob-reader.ts'
import { openIndex, type OpenedIndex } from '../../src/repository/open-index.ts'
import type { Repository } from '../../src/repository/repository.ts'
import type { Snapshot } from '../../src/repository/snapshots.ts'
import { readDirectory } from '../../src/repository/tree-reader.ts'
import type { FileRef } from '../../src/storage/backend.ts'
import { fileContent } from '../support/backup-harness.ts'
import { PlaceView } from './place-view.ts'
import { openSimRepository } from './programs.ts'
import type { SimFiles } from './sim-files.ts'
import type { SimPlace } from './sim-place.ts'
import { digestOf, type SourceRecord } from './source-record.ts'

export interface Claim {
  readonly id: SnapshotId
  readonly record: SourceRecord
  /** The first of those that were written in the place of one another. */
  readonly line: string
  /**
   * `asked`: a client tried to forget it and was not told that it had succeeded. `replaced`: the
   * same of one that has set out to write another in its place.
   */
  state: 'kept' | 'replaced' | 'asked' | 'forgotten'
}

/** Where bytes 32 to 64 of a pack or object, its salt, decide its key. */
const SALT = [32, 64] as const
const SALTED_KINDS = new Set(['packs', 'index', 'snapshots', 'retired', 'marks', 'sessions'])

export class Oracle {
  readonly #place: SimPlace
  readonly #environment: Environment
  readonly claims = new Map<SnapshotId, Claim>()
  readonly violations: string[] = []
  /** What clients have set out to forget, known or not, and the first of its line. */
  readonly #unwanted = new Set<string>()
  /** What clients have set out to replace. */
  readonly #replaced = new Set<SnapshotId>()
  /** What any tombstone has ever named in the place of which. */
  readonly #replacements = new Map<SnapshotId, Set<SnapshotId>>()
  /** What lacked something at the last look, and is unconfirmed: a prune took its data. */
  readonly hopeless = new Set<SnapshotId>()
  /** Whether a prune has ever set out to remove something. */
  hasPruned = false
  readonly #salts = new Map<string, string>()
  /** Packs that an intent has ever named. */
  readonly #intended = new Set<string>()
  #repository: Repository | undefined

  constructor(place: SimPlace, environment: Environment) {
    this.#place = place
    this.#environment = environment
    place.observer = {
      onSaved: (file, bytes) => this.#onSaved(file, bytes),
      onRemoved: (file) => this.#onRemoved(file),
    }
  }

  violated(invariant: string, what: string): void {
    this.violations.push(`${invariant}: ${what}`)
  }

  #onSaved(file: FileRef, bytes: Uint8Array): void {
    if (digestOf(bytes) !== file.name) this.violated('immutable', `${file.kind}/${file.name}`)
    if (SALTED_KINDS.has(file.kind)) {
      const salt = Buffer.from(bytes.subarray(...SALT)).toString('hex')
      const other = this.#salts.get(salt)
      if (other !== undefined && other !== file.name) {
        this.violated('key use', `${file.kind}/${file.name} and ${other} are under one key`)
      }
      this.#salts.set(salt, file.name)
    }
    if (file.kind === 'marks') this.#noteIntent(file)
  }

  #noteIntent(file: FileRef): void {
    this.#repository
      ?.loadObject('marks', file.name)
      .then((object) => {
        const mark = object === undefined ? undefined : decodeMark(object.body)
        if (mark !== undefined) this.hasPruned = true
        if (mark?.phase !== MARK_PHASE.sweep) return
        for (const pack of mark.packs) this.#intended.add(pack)
      })
      .catch((error: unknown) => this.violated('intent', errorChain(error)))
  }

  #onRemoved(file: FileRef): void {
    if (file.kind !== 'packs' || this.#intended.has(file.name)) return
    this.violated('intent', `pack ${file.name.slice(0, 8)} was removed without one`)
  }

  /** A client is about to forget these, and will not say more before it is done. */
  unwanted(snapshots: readonly Snapshot[]): Claim[] {
    const chosen: Claim[] = []
    for (const snapshot of snapshots) {
      const line = lineOf(snapshot)
      this.#unwanted.add(snapshot.id).add(line)
      for (const claim of this.claims.values()) {
        // It may be what is in the place of that claim's.
        if (claim.line === line && claim.state === 'replaced') claim.state = 'asked'
      }
      const claim = this.claims.get(snapshot.id)
      if (claim === undefined) continue
      if (claim.state === 'kept') claim.state = 'asked'
      chosen.push(claim)
    }
    return chosen
  }

  /** A client is about to write others in the place of these. */
  replacing(snapshots: readonly Snapshot[]): void {
    for (const { id } of snapshots) {
      this.#replaced.add(id)
      const claim = this.claims.get(id)
      if (claim?.state === 'kept') claim.state = 'replaced'
    }
  }

  /** A client was told that `snapshot` is in the place of `oldId`, or is it, brought back. */
  async succeeds(snapshot: Snapshot, oldId: SnapshotId): Promise<void> {
    const old = this.claims.get(oldId)
    if (old === undefined) return
    old.state = 'forgotten'
    await this.acknowledge(snapshot.id, old.record, old.line)
  }

  /** A client was told that a snapshot is safe: it has to be, from now on. */
  async acknowledge(id: SnapshotId, record: SourceRecord, line: string = id): Promise<void> {
    // Who saw it before it was acknowledged may have forgotten it since.
    const state = this.#unwanted.has(id) ? 'asked' : this.#replaced.has(id) ? 'replaced' : 'kept'
    const claim: Claim = { id, record, line, state }
    this.claims.set(id, claim)
    await this.#look(async ({ snapshots, blobs }) => {
      await this.#verifyClaim(claim, snapshots, blobs)
    })
  }

  /** A restore said that it was complete. */
  judgeRestored(files: SimFiles, target: ByteString, claim: Claim | undefined): void {
    const found = new Map<ByteString, string>()
    for (const path of files.filesBelow(target)) {
      found.set(path.slice(target.length), digestOf(files.contentOf(path) ?? new Uint8Array()))
    }
    const problem = claim?.record.mismatch(found)
    if (problem !== undefined) this.violated('acknowledged', `a complete restore: ${problem}`)
  }

  /** Looks at everything, while nobody works. With `check`: also at what a check says of it. */
  async judge(check: 'without check' | 'with check'): Promise<void> {
    for (const path of this.#place.misnamed()) this.violated('immutable', path)
    const broken = new Set<string>()
    this.hopeless.clear()
    await this.#look(async ({ snapshots, blobs, unconfirmed }) => {
      for (const claim of this.claims.values()) await this.#verifyClaim(claim, snapshots, blobs)
      for (const snapshot of snapshots.values()) {
        if (this.claims.has(snapshot.id)) continue
        const problem = await problemOf(snapshot, blobs)
        if (problem === undefined) continue
        broken.add(snapshot.id)
        const isUnconfirmed = unconfirmed.has(toHex(snapshot.envelope.sessionId))
        if (isUnconfirmed) this.hopeless.add(snapshot.id)
        else this.violated('in doubt', `${snapshot.id.slice(0, 8)}: ${problem}`)
      }
    })
    if (check === 'with check') await this.#judgeCheck(broken)
  }

  async #verifyClaim(
    claim: Claim,
    snapshots: ReadonlyMap<SnapshotId, Snapshot>,
    blobs: BlobReader,
  ): Promise<void> {
    const name = `snapshot ${claim.id.slice(0, 8)}`
    const successor = () => [...snapshots.values()].find((one) => lineOf(one) === claim.line)
    const isWanted = claim.state === 'kept' || claim.state === 'replaced'
    const successors = isWanted ? this.#successors(claim) : new Set()
    const snapshot =
      snapshots.get(claim.id) ??
      (claim.state === 'replaced' ? successor() : undefined) ??
      [...snapshots.values()].find(({ id }) => successors.has(id))
    if (snapshot === undefined) {
      // Who forgets the last of a chain means them all.
      const isUnwanted = [...this.#unwanted].some((id) => successors.has(id))
      if (isWanted && !isUnwanted) this.violated('acknowledged', `${name} is not listed`)
      return
    }
    if (claim.state === 'forgotten') this.violated('forgotten', `${name} is listed`)
    const problem = await problemOf(snapshot, blobs, claim.record)
    if (problem !== undefined) this.violated('acknowledged', `${name}: ${problem}`)
  }

  /**
   * All that tombstones lead to. Of what was written in the place of another: it may look interrupted
   * to who does the same, and be forgotten in favour of theirs. Nobody may do so to a backup.
   */
  #successors({ id, line }: Claim): Set<SnapshotId> {
    const found = new Set<SnapshotId>()
    if (id === line) return found
    const waiting = [id]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const replacement of this.#replacements.get(next) ?? []) {
        if (!found.has(replacement)) waiting.push(replacement)
        found.add(replacement)
      }
    }
    return found
  }

  async #noteReplacements(repository: Repository): Promise<void> {
    for (const { tombstone } of await repository.tombstones()) {
      for (const { snapshot, replacement } of tombstone.forgotten) {
        if (replacement.length === 0) continue
        const id = snapshotIdOf(snapshot)
        const known = this.#replacements.get(id) ?? new Set()
        this.#replacements.set(id, known.add(snapshotIdOf(replacement)))
      }
    }
  }

  async #look(look: (seen: Seen) => Promise<void>, readOrphans = true): Promise<void> {
    let opened: OpenedIndex | undefined
    try {
      const repository = await this.repository()
      await this.#noteReplacements(repository)
      const snapshots = new Map<SnapshotId, Snapshot>()
      for (const snapshot of await repository.snapshots({
        onDamage: (file) => this.#damaged(file),
      })) {
        snapshots.set(snapshot.id, snapshot)
      }
      const beats = await repository.loadObjects('sessions')
      const unconfirmed = new Set(beats.map(({ body }) => toHex(decodeBeat(body).sessionId)))
      const options = { cacheDirectory: undefined, bulk: true, readOrphans }
      opened = await openIndex(repository, options)
      const blobs = new NotingReader(repository, opened.index)
      await look({ snapshots, blobs, unconfirmed })
    } catch (error) {
      this.violated('acknowledged', `the repository cannot be read: ${errorChain(error)}`)
    } finally {
      await opened?.close()
    }
  }

  #damaged(file: { readonly kind: string; readonly name: string; readonly error: unknown }): void {
    this.violated('immutable', `${file.kind}/${file.name} is damaged: ${errorChain(file.error)}`)
  }

  /** Opened once: keys never change here. */
  async repository(): Promise<Repository> {
    this.#repository ??= await openSimRepository(new PlaceView(this.#place), this.#environment)
    return this.#repository
  }

  /** What is in the storage without need, once everything has been pruned. Undefined if nothing is. */
  async leftOver(): Promise<string | undefined> {
    for (const kind of ['marks', 'sessions'] as const) {
      const [file] = this.#place.truth(kind)
      if (file !== undefined) return `${kind}/${file.name.slice(0, 8)} is not cleared away`
    }
    const needed = new Set<string>()
    await this.#look(async ({ snapshots, blobs }) => {
      blobs.onLoad = (id) => needed.add(id)
      for (const snapshot of snapshots.values()) await problemOf(snapshot, blobs)
    })
    const repository = await this.repository()
    const packs = new Set(this.#place.truth('packs').map(({ name }) => name))
    const unnamed = new Set(packs)
    for (const { name } of this.#place.truth('index')) {
      const file = await repository.loadIndexFile(name)
      for (const pack of file?.packs ?? []) {
        const text = `pack ${pack.name.slice(0, 8)}`
        unnamed.delete(pack.name)
        if (!packs.has(pack.name)) return `${text} is named by index/${name.slice(0, 8)} and gone`
        for (let blob = 0; blob < pack.directory.blobCount; blob++) {
          const id = toHex(pack.directory.id(blob))
          if (!needed.has(id)) return `${text} has blob ${id.slice(0, 8)}, which nothing needs`
        }
      }
    }
    for (const name of unnamed) return `pack ${name.slice(0, 8)} is named by no index file`
    return undefined
  }

  /**
   * Whether something is needed of packs that no index file names, and a check says so. A power cut may
   * take an index file that its run had not made durable, and another had relied on.
   */
  async #lacksIndex({ summary }: CheckReport): Promise<boolean> {
    if (!this.#place.traits.losesUnflushed || !summary.suggest_repair_index) return false
    let isLacking = false
    await this.#look(async ({ snapshots, blobs }) => {
      for (const snapshot of snapshots.values()) {
        isLacking ||= (await problemOf(snapshot, blobs)) !== undefined
      }
    }, false)
    return isLacking
  }

  async #judgeCheck(broken: ReadonlySet<string>): Promise<void> {
    // The judge changes nothing: not even a check of its own confirms a snapshot.
    const backend = new ReadOnlyView(this.#place)
    try {
      const report = await checkRepository({
        environment: this.#environment,
        backend,
        opening: openSimRepository(backend, this.#environment),
        readData: { kind: 'all' },
      })
      const errors = report.findings.filter((one) => one.severity === 'error' && !isLateInit(one))
      const isWrong = errors.length > 0 && broken.size === 0 && !(await this.#lacksIndex(report))
      if (isWrong) {
        this.violated('verdict', `a false alarm: ${errors[0]?.message}`)
      }
      if (broken.size > 0 && errors.length === 0) this.violated('verdict', 'damage is not found')
    } catch (error) {
      this.violated('verdict', `the check fails: ${errorChain(error)}`)
    }
  }
}

/**
 * What an init that died had sent may land after another has made the repository. Nothing tells it
 * from a file that was put there: check names it, as it must.
 */
function isLateInit({ message }: { readonly message: string }): boolean {
  return /^(?:config|keys)\/[0-9a-f]{8} is damaged: it belongs to another repository$/.test(message)
}

interface Seen {
  readonly snapshots: ReadonlyMap<SnapshotId, Snapshot>
  readonly blobs: NotingReader
  /** Ids of sessions that have not been ended. */
  readonly unconfirmed: ReadonlySet<string>
}

/** Tells which blobs are loaded. */
class NotingReader extends BlobReader {
  onLoad: ((id: string) => void) | undefined

  override load(id: Uint8Array, type: BlobType): ReturnType<BlobReader['load']> {
    this.onLoad?.(toHex(id))
    return super.load(id, type)
  }
}

class ReadOnlyView extends PlaceView {
  override async remove(): Promise<void> {
    throw new CairnError('CAIRN_STORAGE_REFUSED', 'nothing may be removed')
  }
}

function lineOf(snapshot: Snapshot): string {
  return toHex(originalOf(snapshot).id)
}

/** What is wrong with a snapshot, if anything is. */
async function problemOf(
  snapshot: Snapshot,
  blobs: BlobReader,
  record?: SourceRecord,
): Promise<string | undefined> {
  const root = snapshot.content?.root
  if (root === undefined) return 'its content cannot be opened'
  const found = new Map<ByteString, string>()
  try {
    await readTree(blobs, root, '', found)
  } catch (error) {
    return errorChain(error)
  }
  return record?.mismatch(found)
}

async function readTree(
  blobs: BlobReader,
  root: NodeRoot,
  path: ByteString,
  found: Map<ByteString, string>,
): Promise<void> {
  for await (const entries of readDirectory(blobs, root)) {
    for (const entry of entries) {
      const child = `${path}/${entry.name}`
      if (entry.type === ENTRY_TYPE.file) {
        found.set(child, digestOf(await fileContent(blobs, entry)))
      }
      if (entry.subtree !== undefined) await readTree(blobs, entry.subtree, child, found)
    }
  }
}
