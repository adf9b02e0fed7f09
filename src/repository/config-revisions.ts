/**
 * The revisions of the signed config (FORMAT.md 6) and what they say together. Nothing in the
 * storage can be replaced in one step, so two administrators may each write a revision on top of the
 * same one. What matters of keys is therefore kept so that revisions can be joined: a slot counts if
 * any of them lists it and none has removed it, and nothing that was removed ever comes back.
 */

import { concat, equalBytes, toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError, isDamage } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import { AEAD, createAead, positionNonce } from '../crypto/aead.ts'
import { derive } from '../crypto/derive.ts'
import {
  type Author,
  type DecodedConfig,
  type DecodedConfigBox,
  decodeConfig,
  decodeConfigBox,
  decodeSignatures,
  type SignedLine,
  type SlotOwner,
} from '../format/config.ts'
import type { SlotPayload } from '../format/slot.ts'
import type { Backend, FileKind } from '../storage/backend.ts'
import { nameOf } from './stored-files.ts'
import { isConfigSigned, type Keyring, keyringOf } from './keyring.ts'

export interface Named<T> {
  readonly name: FileName
  readonly value: T
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  /** Told about what is damaged or suspicious but stops nothing. */
  readonly onWarning?: (message: string) => void
}

/** A revision that the opened slot vouches for. */
export interface Revision {
  readonly name: FileName
  readonly config: DecodedConfig
  readonly keyring: Keyring
  readonly box: DecodedConfigBox
}

/** What all revisions say of keys. */
export interface KeyState {
  /** The slots that count, in order of names. */
  readonly slots: readonly FileName[]
  readonly removed: readonly FileName[]
  readonly authors: readonly Author[]
  readonly owners: readonly SlotOwner[]
}

/** A config file of a later format: only its signature tells it from junk. */
export interface NewerConfig {
  readonly signed: SignedLine
  readonly error: CairnError
}

export interface StoredConfigs {
  readonly configs: readonly Named<DecodedConfig>[]
  readonly newer: readonly NewerConfig[]
}

/** Loads and decodes every file of a kind; what cannot be used is told and left out. */
export async function loadAll<T>(
  backend: Backend,
  kind: FileKind & ('config' | 'keys'),
  decode: (bytes: Uint8Array) => T,
  options: ReadOptions,
): Promise<Named<T>[]> {
  const operation = { signal: options.signal }
  const files = await backend.list(kind, operation)
  const loaded: Named<T>[] = []
  let failure: unknown
  for (const { name } of files) {
    try {
      const bytes = await backend.load({ kind, name }, undefined, operation)
      if (bytes === undefined) continue
      if (nameOf(bytes) !== name)
        throw new CairnError('CAIRN_CORRUPT', 'its bytes do not have its name')
      loaded.push({ name, value: decode(bytes) })
    } catch (error) {
      if (!isDamage(error)) throw error
      failure = new CairnError(error.code, `${kind}/${shortId(name)} cannot be used`, {
        cause: error,
      })
      options.onWarning?.(`${kind}/${shortId(name)} cannot be used: ${errorChain(error)}`)
    }
  }
  if (loaded.length === 0 && failure !== undefined) throw failure
  return loaded.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/**
 * What is signed of a config of any format, and the signatures; undefined if it has another form
 * (FORMAT.md 21).
 */
function signedPartOf(bytes: Uint8Array): SignedLine | undefined {
  const [line = '', ...rest] = Buffer.from(bytes).toString('utf8').split('\n')
  const signatures = rest.pop() === '' ? decodeSignatures(rest) : undefined
  return signatures && { line: Buffer.from(line, 'utf8'), signatures }
}

/** Every config file that is there, as `loadAll` has it. */
export async function loadConfigs(backend: Backend, options: ReadOptions): Promise<StoredConfigs> {
  const newer: NewerConfig[] = []
  const decode = (bytes: Uint8Array): DecodedConfig => {
    try {
      return decodeConfig(bytes)
    } catch (error) {
      const signed = signedPartOf(bytes)
      if (signed !== undefined && isCairnError(error, 'CAIRN_FORMAT_TOO_NEW')) {
        newer.push({ signed, error })
      }
      throw error
    }
  }
  return { configs: await loadAll(backend, 'config', decode, options), newer }
}

/**
 * Throws CAIRN_FORMAT_TOO_NEW if an admin has given the repository a later format: revisions of this
 * one, which may still be there, count no more (FORMAT.md 21).
 */
export function refuseNewer(newer: readonly NewerConfig[], keyring: Keyring): void {
  for (const { signed, error } of newer) if (isConfigSigned(signed, keyring)) throw error
}

function openBox(config: DecodedConfig, keyring: Keyring): DecodedConfigBox {
  const key = derive('config box', concat(keyring.current.sharedObjects, config.salt))
  const aead = createAead(AEAD.chacha20Poly1305)
  const plain = aead.open(key, positionNonce(0, 0), undefined, config.box)
  if (plain === undefined) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot open config: its contents are damaged')
  }
  return decodeConfigBox(plain)
}

/** What a revision says, and the keys with which ids are made where it says so. */
function withBox(config: DecodedConfig, keyring: Keyring): Pick<Revision, 'box' | 'keyring'> {
  const box = openBox(config, keyring)
  return { box, keyring: box.idKeys === undefined ? keyring : { ...keyring, ids: box.idKeys } }
}

/**
 * The revisions that a slot vouches for, the one in force first: highest revision, then smallest
 * name. What it does not vouch for is told and left out.
 */
export function validRevisions(
  configs: readonly Named<DecodedConfig>[],
  payload: SlotPayload,
  repositoryId: Uint8Array,
  warn: (message: string) => void,
): Revision[] {
  const valid: Revision[] = []
  for (const { name, value: config } of configs) {
    if (!equalBytes(config.repositoryId, repositoryId)) continue
    const keyring = keyringOf(payload, config)
    if (typeof keyring === 'string') warn(`config ${shortId(name)} is not in force: ${keyring}`)
    else if (!isConfigSigned(config, keyring))
      warn(`config ${shortId(name)} is not in force: its signature is not valid`)
    else valid.push({ name, config, ...withBox(config, keyring) })
  }
  valid.sort((a, b) => b.config.revision - a.config.revision || (a.name < b.name ? -1 : 1))
  if (valid[0] !== undefined && valid[0].config.revision === valid[1]?.config.revision) {
    warn(
      `two configs have revision ${valid[0].config.revision}; ${shortId(valid[0].name)} is used, and the keys of both`,
    )
  }
  return valid
}

/** The revisions that are there now. Throws CAIRN_FORMAT_TOO_NEW as `refuseNewer` does. */
export async function readRevisions(
  backend: Backend,
  payload: SlotPayload,
  repositoryId: Uint8Array,
  options: ReadOptions,
): Promise<Revision[]> {
  const { configs, newer } = await loadConfigs(backend, options)
  const revisions = validRevisions(configs, payload, repositoryId, () => {})
  if (revisions[0] !== undefined) refuseNewer(newer, revisions[0].keyring)
  return revisions
}

/** `revisions` begin with the one in force, whose word on an author's label counts. */
export function keyStateOf(revisions: readonly Revision[]): KeyState {
  const removed = new Set(revisions.flatMap(({ config }) => config.removed))
  const listed = new Set(revisions.flatMap(({ config }) => config.slots))
  const authors = new Map<string, Author>()
  const owners = new Map<FileName, SlotOwner>()
  for (const { box } of revisions) {
    for (const author of box.authors) {
      const id = toHex(author.id)
      if (!authors.has(id)) authors.set(id, author)
    }
    for (const owner of box.owners) {
      if (!removed.has(owner.slot) && !owners.has(owner.slot)) owners.set(owner.slot, owner)
    }
  }
  return {
    slots: [...listed].filter((name) => !removed.has(name)).toSorted(),
    removed: [...removed].toSorted(),
    authors: [...authors.values()],
    owners: [...owners.values()],
  }
}
