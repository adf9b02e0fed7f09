/** Creating a repository (FORMAT.md 5, 6 and 18). */

import { CairnError } from '../base/errors.ts'
import type { FileName } from '../base/ids.ts'
import type { Clock, Randomness } from '../base/seams.ts'
import { AEAD, createAead, positionNonce } from '../crypto/aead.ts'
import { derive } from '../crypto/derive.ts'
import { concat } from '../base/bytes.ts'
import { signer } from '../crypto/sign.ts'
import {
  type ConfigBox,
  type ConfigHead,
  type ChunkerSettings,
  encodeConfig,
  encodeConfigBox,
  encodeConfigLine,
  type SharedIdKeys,
} from '../format/config.ts'
import { AEAD_CHACHA20_POLY1305, PADDING } from '../format/constants.ts'
import { checkChunkerParameters } from '../chunker/create-chunker.ts'
import type { SlotPayload } from '../format/slot.ts'
import type { Backend, FileKind, OpOptions } from '../storage/backend.ts'
import { authorIdOf, configMessage, type Keyring, keyringFrom } from './keyring.ts'
import { makeSlot, type ScryptCost, type Secret } from './slots.ts'
import { listIfThere, nameOf } from './stored-files.ts'
import { rfc3339Seconds } from './time.ts'

const KIB = 1024
const MIB = 1024 * KIB

/**
 * Measured (bench/chunk-size.ts) over VM images, dumps, source histories and a home-like tree: an
 * average of 256 KiB stores 13 % more than this, 512 KiB 26 %, 1 MiB 36 %; half of it stores 14 to
 * 36 % less of images and streams for twice the index. Cutting runs at the same speed.
 */
const CHUNKER_DEFAULT: ChunkerSettings = {
  algorithm: 1,
  minBytes: 64 * KIB,
  averageBytes: 128 * KIB,
  maxBytes: 512 * KIB,
}

const DATA_PACK_BYTES_DEFAULT = 12 * MIB
const METADATA_PACK_BYTES_DEFAULT = 4 * MIB
const GRACE_SECONDS_DEFAULT = 24 * 3600

export interface CreateParts {
  readonly backend: Backend
  readonly clock: Clock
  readonly random: Randomness
}

export interface CreateOptions {
  readonly secret: Secret
  readonly label: string
  readonly chunker?: ChunkerSettings
  /** Those of another repository, so that both cut alike and give equal blobs equal ids. */
  readonly idKeys?: SharedIdKeys
  readonly dataPackBytes?: number
  readonly aead?: number
  readonly scryptCost?: ScryptCost
  readonly signal?: AbortSignal | undefined
}

const SIGNS_OF_LIFE: readonly FileKind[] = ['config', 'packs', 'index', 'snapshots', 'retired']

/** Refuses a place that holds anything of a repository: `init` never makes a second master key. */
async function requireUnused(backend: Backend, signal: AbortSignal | undefined): Promise<void> {
  const options = { signal }
  for (const kind of SIGNS_OF_LIFE) {
    const files = await listIfThere(backend, kind, options)
    if (files.length === 0) continue
    const problem =
      kind === 'config'
        ? 'there is a repository already'
        : `there are files in '${kind}' but no config; this is a damaged repository, do not create another in its place`
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot create repository at '${backend.location}': ${problem}`,
    )
  }
}

function newPayload(random: Randomness, label: string): SlotPayload {
  const none = new Map<number, Uint8Array>()
  return {
    role: 'admin',
    roots: new Map([[1, random.bytes(32)]]),
    sealSecrets: none,
    writerSecrets: none,
    sealPublics: none,
    adminPublics: none,
    authorSeed: random.bytes(32),
    label,
  }
}

/** Seals a config's box and signs its line with the current admin key. */
export function sealConfig(
  head: Omit<ConfigHead, 'salt' | 'box'>,
  box: ConfigBox,
  keyring: Keyring,
  random: Randomness,
): Uint8Array {
  const { adminSeed, sharedObjects, epoch } = keyring.current
  if (adminSeed === undefined) {
    throw new CairnError('CAIRN_WRONG_SECRET', 'cannot change the config: this needs an admin key')
  }
  const salt = random.bytes(32)
  const key = derive('config box', concat(sharedObjects, salt))
  const aead = createAead(AEAD.chacha20Poly1305)
  const sealed = aead.seal(key, positionNonce(0, 0), undefined, encodeConfigBox(box))
  const line = encodeConfigLine({ ...head, salt, box: sealed })
  return encodeConfig(line, [{ epoch, signature: signer(adminSeed).sign(configMessage(line)) }])
}

/**
 * Creates a repository and returns its id. The slot is durable before the config that lists it: a
 * crash before the config leaves no repository, and creating it again succeeds. If another process
 * creates one at the same time, at least one of the two takes its own back and fails. Throws
 * CAIRN_USAGE for chunk sizes that nothing could be cut by.
 */
export async function createRepository(
  parts: CreateParts,
  options: CreateOptions,
): Promise<Uint8Array> {
  const { backend, clock, random } = parts
  const { signal } = options
  const operation = { signal }
  requireUsable(options.chunker ?? CHUNKER_DEFAULT)
  await requireUnused(backend, signal)
  await backend.create(operation)
  const repositoryId = random.bytes(16)
  const payload = newPayload(random, options.label)
  const slotBytes = await makeSlot(
    payload,
    repositoryId,
    options.secret,
    { clock, random, ...(options.scryptCost === undefined ? {} : { cost: options.scryptCost }) },
    signal,
  )
  const slot = { kind: 'keys' as const, name: nameOf(slotBytes) }
  const configBytes = firstConfig(parts, options, payload, repositoryId, slot.name)
  const config = { kind: 'config' as const, name: nameOf(configBytes) }
  await backend.save(slot, slotBytes, operation)
  await backend.flush(operation)
  await backend.save(config, configBytes, operation)
  await backend.flush(operation)
  const others = (await backend.list('config', operation)).filter(
    ({ name }) => name !== config.name,
  )
  if (others.length > 0) {
    await backend.remove(config, operation)
    await backend.remove(slot, operation)
    await backend.flush(operation)
    throw new CairnError(
      'CAIRN_CONFLICT',
      `cannot create repository at '${backend.location}': another process is creating one there; try again`,
    )
  }
  await removeStraySlots(backend, slot.name, operation)
  return repositoryId
}

/**
 * A slot that an earlier attempt left, which ended before its config, opens nothing: there was no
 * repository. Whoever is creating one right now takes it back, for the config is there; only where
 * listings lag might both go on, so that there it stays.
 */
async function removeStraySlots(
  backend: Backend,
  own: FileName,
  operation: OpOptions,
): Promise<void> {
  if (!backend.listsConsistently) return
  for (const { name } of await backend.list('keys', operation)) {
    if (name !== own) await backend.remove({ kind: 'keys', name }, operation)
  }
}

/** What no backup could cut by must not become part of a repository: it stays as it is for ever. */
function requireUsable(chunker: ChunkerSettings): void {
  try {
    checkChunkerParameters(chunker)
  } catch (cause) {
    throw new CairnError('CAIRN_USAGE', 'cannot create a repository with these chunk sizes', {
      cause,
    })
  }
}

function firstConfig(
  parts: CreateParts,
  options: CreateOptions,
  payload: SlotPayload,
  repositoryId: Uint8Array,
  slotName: FileName,
): Uint8Array {
  const nowNs = parts.clock.wallNs()
  const keyring = keyringFrom(payload, repositoryId, { newestEpoch: 1, idEpoch: 1 })
  if (typeof keyring === 'string') throw new CairnError('CAIRN_FAILED', keyring)
  const head = {
    repositoryId,
    revision: 1,
    created: rfc3339Seconds(nowNs),
    features: { read: [], write: [], prune: [] },
    idEpoch: 1,
  }
  const { check, sealPublic, epoch } = keyring.current
  const adminPublic = keyring.adminPublics.get(epoch) ?? new Uint8Array(32)
  const box: ConfigBox = {
    authors: [
      {
        id: authorIdOf(keyring.author.publicKey),
        publicKey: keyring.author.publicKey,
        role: 'admin',
        label: options.label,
        since: Number(nowNs / 1_000_000_000n),
      },
    ],
    chunker: options.chunker ?? CHUNKER_DEFAULT,
    dataPackBytes: options.dataPackBytes ?? DATA_PACK_BYTES_DEFAULT,
    metadataPackBytes: METADATA_PACK_BYTES_DEFAULT,
    padding: PADDING.tail,
    graceSeconds: GRACE_SECONDS_DEFAULT,
    dedupTrust: 0,
    aead: options.aead ?? AEAD_CHACHA20_POLY1305,
    owners: [{ slot: slotName, author: authorIdOf(keyring.author.publicKey) }],
    ...(options.idKeys === undefined ? {} : { idKeys: options.idKeys }),
  }
  const epochs = [{ epoch, sealPublic, adminPublic, check }]
  return sealConfig({ ...head, epochs, slots: [slotName] }, box, keyring, parts.random)
}
