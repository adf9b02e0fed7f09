/**
 * Adding and removing key slots (FORMAT.md 6 and 17). A change is a new revision of the config, and
 * the order of its writes lets nobody be locked out: a new slot is durable before a revision lists
 * it, and that revision is durable before the file of a removed slot goes. Who finds, after that,
 * that somebody else has written a revision meanwhile, writes one that joins both.
 */

import { equalBytes, toHex } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import { sealSecretOf, writerSecretOf } from '../crypto/key-hierarchy.ts'
import { publicKeyOf } from '../crypto/exchange.ts'
import { signer } from '../crypto/sign.ts'
import type { Author, SlotOwner } from '../format/config.ts'
import { LIMIT, type Role } from '../format/constants.ts'
import type { SlotPayload } from '../format/slot.ts'
import { type KeyState, keyStateOf, readRevisions, type Revision } from './config-revisions.ts'
import { sealConfig } from './initialize.ts'
import { nameOf } from './stored-files.ts'
import { authorIdOf } from './keyring.ts'
import type { Repository } from './repository.ts'
import { makeSlot, type ScryptCost, type Secret } from './slots.ts'

/** Each time round after the first, somebody else has changed keys too. */
const ROUNDS_MAX = 8
/** Older revisions stay as a reserve for a damaged one. */
const REVISIONS_KEPT = 4

interface Addition {
  readonly bytes: Uint8Array
  readonly owner: SlotOwner
  readonly author: Author
}

interface Change {
  readonly addition?: Addition
  readonly removes: readonly FileName[]
}

export interface NewSlot {
  readonly secret: Secret
  readonly role: Role
  /** `user@host`: who it is for. */
  readonly label: string
  readonly scryptCost?: ScryptCost
}

/** Throws CAIRN_WRONG_SECRET unless the slot in use may change the config. */
function requireAdmin(repository: Repository): void {
  if (repository.keyring.role !== 'admin') {
    throw new CairnError(
      'CAIRN_WRONG_SECRET',
      `cannot change keys: the key in use has the role ${repository.keyring.role}; use an admin key`,
    )
  }
}

/** What a slot of `role` protects, from what an admin slot does (FORMAT.md 4). */
function payloadFor(
  { unlocked, keyring }: Repository,
  role: Role,
  label: string,
  authorSeed: Uint8Array,
): SlotPayload {
  const { roots } = unlocked.payload
  const none = new Map<number, Uint8Array>()
  const mapRoots = (derive: (root: Uint8Array) => Uint8Array) =>
    new Map([...roots].map(([epoch, root]) => [epoch, derive(root)]))
  const isAdmin = role === 'admin'
  return {
    role,
    roots: isAdmin ? roots : none,
    sealSecrets: role === 'reader' ? mapRoots(sealSecretOf) : none,
    writerSecrets: isAdmin ? none : mapRoots(writerSecretOf),
    sealPublics: role === 'writer' ? mapRoots((root) => publicKeyOf(sealSecretOf(root))) : none,
    adminPublics: isAdmin ? none : keyring.adminPublics,
    authorSeed,
    label,
  }
}

async function makeAddition(
  repository: Repository,
  { secret, role, label, scryptCost }: NewSlot,
  authorSeed: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Addition> {
  const { clock, random, keyring } = repository
  const payload = payloadFor(repository, role, label, authorSeed)
  const parts = { clock, random, ...(scryptCost === undefined ? {} : { cost: scryptCost }) }
  const bytes = await makeSlot(payload, keyring.repositoryId, secret, parts, signal)
  const { publicKey } = signer(authorSeed)
  const id = authorIdOf(publicKey)
  const known = repository.box.authors.find((author) => equalBytes(author.id, id))
  const since = known?.since ?? Number(clock.wallNs() / 1_000_000_000n)
  return {
    bytes,
    owner: { slot: nameOf(bytes), author: id },
    author: { id, publicKey, role, label, since },
  }
}

function applyChange(state: KeyState, { addition, removes }: Change): KeyState {
  const removed = new Set([...state.removed, ...removes])
  const slots = new Set(state.slots)
  const others = (author: Author) => !addition || !equalBytes(author.id, addition.author.id)
  if (addition !== undefined) slots.add(addition.owner.slot)
  return {
    slots: [...slots].filter((name) => !removed.has(name)).toSorted(),
    removed: [...removed].toSorted(),
    authors: [...state.authors.filter(others), ...(addition ? [addition.author] : [])],
    owners: [...state.owners, ...(addition ? [addition.owner] : [])].filter(
      ({ slot }, at, all) => !removed.has(slot) && all.findIndex((one) => one.slot === slot) === at,
    ),
  }
}

/** Whether `revision` says all of `state` by itself. */
function covers({ config, box }: Revision, state: KeyState): boolean {
  const authors = new Set(box.authors.map(({ id }) => toHex(id)))
  return (
    JSON.stringify([config.slots.toSorted(), config.removed.toSorted()]) ===
      JSON.stringify([state.slots, state.removed]) &&
    state.authors.every(({ id }) => authors.has(toHex(id)))
  )
}

/** Whether nothing of `revision` is lost if only a revision with `state` is left. */
function isCovered({ config, box }: Revision, state: KeyState): boolean {
  const slots = new Set([...state.slots, ...state.removed])
  const authors = new Set(state.authors.map(({ id }) => toHex(id)))
  return (
    [...config.slots, ...config.removed].every((name) => slots.has(name)) &&
    box.authors.every(({ id }) => authors.has(toHex(id)))
  )
}

class KeyChanger {
  readonly #repository: Repository
  readonly #change: Change
  readonly #operation: { readonly signal?: AbortSignal | undefined }
  readonly #written: FileName[] = []

  constructor(repository: Repository, change: Change, signal: AbortSignal | undefined) {
    this.#repository = repository
    this.#change = change
    this.#operation = { signal }
  }

  async run(): Promise<void> {
    const { backend } = this.#repository
    const { addition } = this.#change
    if (addition !== undefined) {
      const file = { kind: 'keys' as const, name: addition.owner.slot }
      await backend.save(file, addition.bytes, this.#operation)
      await backend.flush(this.#operation)
      await this.#requireStored(addition)
    }
    for (let round = 1; ; round++) {
      const revisions = await this.#revisions()
      const [inForce] = revisions
      if (inForce === undefined) {
        throw new CairnError('CAIRN_CORRUPT', 'cannot change keys: the config has vanished')
      }
      const state = keyStateOf(revisions)
      await this.#requireOwnSlot(revisions, state)
      const isWritten = this.#written.length > 0
      if (isWritten && covers(inForce, state)) return await this.#removeObsolete(revisions, state)
      // It counts already: only one revision that says all of it is still missing.
      if (round > ROUNDS_MAX) return
      await this.#write(inForce, applyChange(state, this.#change))
    }
  }

  /** Nothing may rest on a slot, least of all the removal of another, that the storage has not kept. */
  async #requireStored({ owner, bytes }: Addition): Promise<void> {
    const { backend } = this.#repository
    const file = { kind: 'keys' as const, name: owner.slot }
    const stored = await backend.load(file, undefined, this.#operation)
    if (stored !== undefined && equalBytes(stored, bytes)) return
    await backend.remove(file, this.#operation)
    throw new CairnError(
      'CAIRN_STORAGE_DOWN',
      `cannot change keys: the storage has not kept key ${shortId(owner.slot)} as it was saved; nothing was changed`,
    )
  }

  #revisions(): Promise<Revision[]> {
    const { backend, unlocked, keyring } = this.#repository
    return readRevisions(backend, unlocked.payload, keyring.repositoryId, this.#operation)
  }

  async #write(inForce: Revision, state: KeyState): Promise<void> {
    const { backend, keyring, random } = this.#repository
    const { repositoryId, created, features, epochs, idEpoch, revision } = inForce.config
    const { slots, removed, authors, owners } = state
    const bytes = sealConfig(
      { repositoryId, revision: revision + 1, created, features, epochs, idEpoch, slots, removed },
      { ...inForce.box, authors, owners },
      keyring,
      random,
    )
    const name = nameOf(bytes)
    this.#written.push(name)
    await backend.save({ kind: 'config', name }, bytes, this.#operation)
    await backend.flush(this.#operation)
  }

  /**
   * Before the first revision, and again after each and before any file goes: two administrators
   * who remove each other's keys at once must not both succeed. At least one of them sees the
   * other's revision, and takes back its own unless a third has joined it to theirs.
   */
  async #requireOwnSlot(revisions: readonly Revision[], { slots }: KeyState): Promise<void> {
    const { slotName } = this.#repository.unlocked
    const { addition, removes } = this.#change
    const isReplaced = this.#written.length > 0 && removes.includes(slotName)
    const own = isReplaced ? addition?.owner.slot : slotName
    if (own === undefined || slots.includes(own) || this.#isJoined(revisions)) return
    await this.#withdraw()
    throw new CairnError(
      'CAIRN_CONFLICT',
      `cannot change keys: key ${shortId(slotName)}, which opened the repository, has been removed meanwhile`,
    )
  }

  /** Whether somebody else's revision has this change in it. */
  #isJoined(revisions: readonly Revision[]): boolean {
    const { addition, removes } = this.#change
    return revisions.some(
      ({ name, config }) =>
        !this.#written.includes(name) &&
        (addition === undefined || config.slots.includes(addition.owner.slot)) &&
        removes.every((one) => config.removed.includes(one)),
    )
  }

  async #withdraw(): Promise<void> {
    const { backend } = this.#repository
    for (const name of this.#written) await backend.remove({ kind: 'config', name })
    await backend.flush()
    const { addition } = this.#change
    if (addition !== undefined) await backend.remove({ kind: 'keys', name: addition.owner.slot })
    await backend.flush()
  }

  /** Files of removed slots, also of changes that were cut short, and revisions nobody needs. */
  async #removeObsolete(revisions: readonly Revision[], state: KeyState): Promise<void> {
    const { backend } = this.#repository
    const present = await backend.list('keys', this.#operation)
    const removed = new Set(state.removed)
    for (const { name } of present) {
      if (removed.has(name)) await backend.remove({ kind: 'keys', name }, this.#operation)
    }
    const newest = revisions[0]?.config.revision ?? 0
    for (const revision of revisions) {
      if (revision.config.revision > newest - REVISIONS_KEPT || !isCovered(revision, state))
        continue
      await backend.remove({ kind: 'config', name: revision.name }, this.#operation)
    }
    await backend.flush(this.#operation)
  }
}

/** Makes a slot with an author of its own, and returns its name once it counts, durably. */
export async function addSlot(
  repository: Repository,
  slot: NewSlot,
  signal?: AbortSignal,
): Promise<FileName> {
  requireAdmin(repository)
  repository.requireWritable()
  if (repository.unlocked.keys.slots.length >= LIMIT.slotsTriedMax) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot add a key: there are ${LIMIT.slotsTriedMax}, and no more are ever tried; remove one first`,
    )
  }
  const addition = await makeAddition(repository, slot, repository.random.bytes(32), signal)
  await new KeyChanger(repository, { addition, removes: [] }, signal).run()
  return addition.owner.slot
}

/**
 * Puts a slot with another secret in place of the one in use; role and author stay. Whenever this
 * is cut short, the old secret opens the repository or the new one does.
 */
export async function replaceSlot(
  repository: Repository,
  slot: Omit<NewSlot, 'role'>,
  signal?: AbortSignal,
): Promise<FileName> {
  requireAdmin(repository)
  repository.requireWritable()
  const { payload, slotName } = repository.unlocked
  const wanted = { ...slot, role: payload.role }
  const addition = await makeAddition(repository, wanted, payload.authorSeed, signal)
  await new KeyChanger(repository, { addition, removes: [slotName] }, signal).run()
  return addition.owner.slot
}

/** Removes slots for good. The one in use stays, so that there always is an admin slot. */
export async function removeSlot(
  repository: Repository,
  name: FileName,
  signal?: AbortSignal,
): Promise<void> {
  requireAdmin(repository)
  repository.requireWritable()
  if (name === repository.unlocked.slotName) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot remove key ${shortId(name)}: it opened the repository just now; use another key to remove it`,
    )
  }
  if (!repository.unlocked.keys.slots.includes(name)) {
    // A slot that no revision lists: left by a change that was cut short before its revision.
    await repository.backend.remove({ kind: 'keys', name })
    await repository.backend.flush()
    return
  }
  await new KeyChanger(repository, { removes: [name] }, signal).run()
}
