/** From a place and a secret to a keyring and the config in force (FORMAT.md 5 and 6). */

import { concat, equalBytes, toHex } from '../base/bytes.ts'
import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import { AEAD, createAead, positionNonce } from '../crypto/aead.ts'
import { derive } from '../crypto/derive.ts'
import {
  type ConfigBox,
  type DecodedConfig,
  decodeConfig,
  decodeConfigBox,
} from '../format/config.ts'
import { LIMIT } from '../format/constants.ts'
import { decodeSlot, type Slot, type SlotPayload } from '../format/slot.ts'
import type { Backend } from '../storage/backend.ts'
import { nameOf } from './initialize.ts'
import { isConfigSigned, type Keyring, keyringOf } from './keyring.ts'
import { openSlot, type Secret } from './slots.ts'

export interface OpenOptions {
  readonly secret: Secret
  /** The beginning of a slot's name: that slot is tried first. */
  readonly keyHint?: string
  readonly signal?: AbortSignal
  /** Told about what is damaged or suspicious but does not stop the opening. */
  readonly onWarning?: (message: string) => void
}

export interface Unlocked {
  readonly keyring: Keyring
  readonly config: DecodedConfig
  readonly configName: FileName
  readonly box: ConfigBox
  readonly slotName: FileName
}

interface Named<T> {
  readonly name: FileName
  readonly value: T
}

/** Loads and decodes every file of a kind; what cannot be used is told and left out. */
async function loadAll<T>(
  backend: Backend,
  kind: 'config' | 'keys',
  decode: (bytes: Uint8Array) => T,
  options: OpenOptions,
): Promise<Named<T>[]> {
  const operation = options.signal === undefined ? {} : { signal: options.signal }
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
      if (!isCairnError(error, 'CAIRN_CORRUPT') && !isCairnError(error, 'CAIRN_FORMAT_TOO_NEW'))
        throw error
      failure = new CairnError(error.code, `${kind}/${shortId(name)} cannot be used`, {
        cause: error,
      })
      options.onWarning?.(`${kind}/${shortId(name)} cannot be used: ${errorChain(error)}`)
    }
  }
  if (loaded.length === 0 && failure !== undefined) throw failure
  return loaded.sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function requireConfigs(
  backend: Backend,
  options: OpenOptions,
): Promise<Named<DecodedConfig>[]> {
  const configs = await loadAll(backend, 'config', decodeConfig, options)
  if (configs.length > 0) return configs
  const keys = await backend.list('keys')
  const packs = await backend.list('packs')
  if (packs.length > 0) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot open repository at '${backend.location}': its config is missing; restore the folder 'config' from a copy`,
    )
  }
  const hint = keys.length > 0 ? ' (an interrupted init left a key there)' : ''
  throw new CairnError(
    'CAIRN_REPOSITORY_MISSING',
    `there is no repository at '${backend.location}'${hint}; create one with 'cairn init' or 'cairn backup --init'`,
  )
}

function byHint(hint: string | undefined): (a: Named<Slot>, b: Named<Slot>) => number {
  const rank = ({ name }: Named<Slot>) => (hint !== undefined && name.startsWith(hint) ? 0 : 1)
  return (a, b) => rank(a) - rank(b)
}

/** The first slot that the secret opens. */
async function unlock(
  slots: readonly Named<Slot>[],
  options: OpenOptions,
): Promise<Named<SlotPayload> | undefined> {
  for (const { name, value } of slots.slice(0, LIMIT.slotsTriedMax)) {
    try {
      const payload = await openSlot(value, options.secret, options.signal)
      if (payload !== undefined) return { name, value: payload }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      options.onWarning?.(`key ${shortId(name)} cannot be used: ${errorChain(error)}`)
    }
  }
  return undefined
}

function openBox(config: DecodedConfig, keyring: Keyring): ConfigBox {
  const key = derive('config box', concat(keyring.current.sharedObjects, config.salt))
  const aead = createAead(AEAD.chacha20Poly1305)
  const plain = aead.open(key, positionNonce(0, 0), undefined, config.box)
  if (plain === undefined) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot open config: its contents are damaged')
  }
  return decodeConfigBox(plain)
}

interface Candidate {
  readonly name: FileName
  readonly config: DecodedConfig
  readonly keyring: Keyring
}

/** The configs that the slot vouches for, best first: highest revision, then smallest name. */
function candidates(
  configs: readonly Named<DecodedConfig>[],
  slot: Named<SlotPayload>,
  repositoryId: Uint8Array,
  warn: (message: string) => void,
): Candidate[] {
  const good: Candidate[] = []
  for (const { name, value: config } of configs) {
    if (!equalBytes(config.repositoryId, repositoryId)) continue
    const keyring = keyringOf(slot.value, config)
    if (typeof keyring === 'string') warn(`config ${shortId(name)} is not in force: ${keyring}`)
    else if (!isConfigSigned(config, keyring))
      warn(`config ${shortId(name)} is not in force: its signature is not valid`)
    else good.push({ name, config, keyring })
  }
  good.sort((a, b) => b.config.revision - a.config.revision)
  if (good[0] !== undefined && good[0].config.revision === good[1]?.config.revision) {
    warn(`two configs have revision ${good[0].config.revision}; ${shortId(good[0].name)} is used`)
  }
  return good
}

/**
 * Opens a repository. Throws CAIRN_REPOSITORY_MISSING, CAIRN_WRONG_SECRET, CAIRN_FORMAT_TOO_NEW, or
 * CAIRN_CORRUPT if no config that the slot vouches for is left.
 */
export async function unlockRepository(backend: Backend, options: OpenOptions): Promise<Unlocked> {
  const warn = options.onWarning ?? (() => {})
  const configs = await requireConfigs(backend, options)
  const slots = await loadAll(backend, 'keys', decodeSlot, options)
  const listed = new Set(configs.flatMap(({ value }) => value.slots))
  for (const { name } of slots) {
    if (!listed.has(name)) warn(`key ${shortId(name)} is not listed in the config and is ignored`)
  }
  const usable = slots.filter(({ name }) => listed.has(name)).sort(byHint(options.keyHint))
  const found = new Set(slots.map(({ name }) => name))
  for (const name of listed) {
    if (!found.has(name))
      warn(`key ${shortId(name)}, which the config lists, is missing or damaged`)
  }
  if (usable.length === 0) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot open repository at '${backend.location}': none of its keys is left; restore the folder 'keys' from a copy`,
    )
  }
  const slot = await unlock(usable, options)
  if (slot === undefined) {
    throw new CairnError('CAIRN_WRONG_SECRET', 'wrong password or no key found')
  }
  const head = usable.find(({ name }) => name === slot.name)?.value
  const repositoryId = head?.repositoryId ?? new Uint8Array()
  const [best] = candidates(configs, slot, repositoryId, warn)
  if (best === undefined) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot open repository ${toHex(repositoryId).slice(0, 8)}: no config in it is signed by its admin key; restore the folder 'config' from a copy`,
    )
  }
  const unknown = best.config.features.read
  if (unknown.length > 0) {
    throw new CairnError(
      'CAIRN_FORMAT_TOO_NEW',
      `cannot open repository: it needs '${unknown.join("', '")}', which this program does not know; update cairn`,
    )
  }
  const { name, config, keyring } = best
  return { keyring, config, configName: name, box: openBox(config, keyring), slotName: slot.name }
}

/**
 * The id of the repository, before any key is at hand: for finding its cache. Nothing but a hint,
 * since nothing vouches for it yet. Undefined if there is no config that can be decoded.
 */
export async function peekRepositoryId(backend: Backend): Promise<Uint8Array | undefined> {
  const configs: DecodedConfig[] = []
  for (const { name } of await backend.list('config')) {
    try {
      const bytes = await backend.load({ kind: 'config', name })
      if (bytes !== undefined) configs.push(decodeConfig(bytes))
    } catch (error) {
      if (!isCairnError(error)) throw error
    }
  }
  configs.sort((a, b) => b.revision - a.revision)
  return configs[0]?.repositoryId
}
