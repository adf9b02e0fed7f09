/** From a place and a secret to a keyring and the config in force (FORMAT.md 5 and 6). */

import { CairnError, errorChain, isCairnError } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import { loadBlake3 } from '../crypto/blake3.ts'
import { type ConfigBox, type DecodedConfig, decodeConfig } from '../format/config.ts'
import { LIMIT } from '../format/constants.ts'
import { decodeSlot, type Slot, type SlotPayload } from '../format/slot.ts'
import type { Backend } from '../storage/backend.ts'
import {
  type KeyState,
  keyStateOf,
  loadAll,
  loadConfigs,
  type Named,
  refuseNewer,
  type Revision,
  type StoredConfigs,
  validRevisions,
} from './config-revisions.ts'
import type { Keyring } from './keyring.ts'
import { openSlot, type Secret } from './slots.ts'

export interface OpenOptions {
  readonly secret: Secret
  /** The beginning of a slot's name: that slot is tried first. */
  readonly keyHint?: string
  readonly signal?: AbortSignal | undefined
  /** Told about what is damaged or suspicious but does not stop the opening. */
  readonly onWarning?: (message: string) => void
  /** Called whenever keys are being derived, which leaves this thread free. Must not throw. */
  readonly onDeriving?: () => void
}

export interface Unlocked {
  readonly keyring: Keyring
  /** The revision in force. */
  readonly config: DecodedConfig
  readonly configName: FileName
  /** That of the revision in force, with the authors of all revisions. */
  readonly box: ConfigBox
  readonly slotName: FileName
  /** What the slot protects: for making other slots from it. */
  readonly payload: SlotPayload
  /** What all revisions say of keys. */
  readonly keys: KeyState
}

async function requireConfigs(backend: Backend, options: OpenOptions): Promise<StoredConfigs> {
  const stored = await loadConfigs(backend, options)
  if (stored.configs.length > 0) return stored
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

/**
 * Where listings lag, the config of an init that was given up may land after another has created the
 * repository. That one was created later: whoever begins has to find nothing there.
 */
function newestFirst(a: DecodedConfig, b: DecodedConfig): number {
  return b.revision - a.revision || Date.parse(b.created) - Date.parse(a.created) || 0
}

/** The one hinted at first, then those of the newest revision: each trial may cost a derivation. */
function byHint(
  newest: readonly FileName[],
  hint: string | undefined,
): (a: Named<Slot>, b: Named<Slot>) => number {
  const rank = ({ name }: Named<Slot>) =>
    hint !== undefined && name.startsWith(hint) ? 0 : newest.includes(name) ? 1 : 2
  return (a, b) => rank(a) - rank(b)
}

interface Opened {
  readonly name: FileName
  readonly payload: SlotPayload
  /** Not empty; the one in force first. */
  readonly revisions: readonly Revision[]
  readonly keys: KeyState
}

/** The first slot that the secret opens, and that counts. */
async function unlock(
  slots: readonly Named<Slot>[],
  configs: readonly Named<DecodedConfig>[],
  options: OpenOptions,
): Promise<Opened | undefined> {
  const warn = options.onWarning ?? (() => {})
  const onDeriving = () => {
    loadBlake3() // The first that is needed of what takes milliseconds to load.
    options.onDeriving?.()
  }
  for (const { name, value: slot } of slots.slice(0, LIMIT.slotsTriedMax)) {
    try {
      const payload = await openSlot(slot, options.secret, { signal: options.signal, onDeriving })
      if (payload === undefined) continue
      const revisions = validRevisions(configs, payload, slot.repositoryId, warn)
      const keys = keyStateOf(revisions)
      if (revisions.length > 0 && !keys.slots.includes(name)) {
        warn(`key ${shortId(name)} was removed and opens nothing any more`)
        continue
      }
      return { name, payload, revisions, keys }
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_CORRUPT')) throw error
      warn(`key ${shortId(name)} cannot be used: ${errorChain(error)}`)
    }
  }
  return undefined
}

/** Tells of slots that are there and do not count, and of those that count and are not there. */
function warnOfSlots(
  present: ReadonlySet<FileName>,
  {
    slots,
    removed,
  }: { readonly slots: readonly FileName[]; readonly removed?: readonly FileName[] },
  warn: (message: string) => void,
): void {
  for (const name of present) {
    if (removed?.includes(name)) {
      warn(`key ${shortId(name)} was removed, but its file is there; it is ignored`)
    } else if (!slots.includes(name)) {
      warn(`key ${shortId(name)} is not listed in the config and is ignored`)
    }
  }
  for (const name of slots) {
    if (!present.has(name))
      warn(`key ${shortId(name)}, which the config lists, is missing or damaged`)
  }
}

/**
 * Opens a repository. Throws CAIRN_REPOSITORY_MISSING, CAIRN_WRONG_SECRET, CAIRN_FORMAT_TOO_NEW, or
 * CAIRN_CORRUPT if no config that the slot vouches for is left.
 */
export async function unlockRepository(backend: Backend, options: OpenOptions): Promise<Unlocked> {
  const warn = options.onWarning ?? (() => {})
  let stored = await requireConfigs(backend, options)
  const slots = await loadAll(backend, 'keys', decodeSlot, options)
  const present = new Set(slots.map(({ name }) => name))
  // Nothing vouches for these lists yet: they only save trying slots that cannot count.
  let listed = new Set(stored.configs.flatMap(({ value }) => value.slots))
  if (slots.some(({ name }) => !listed.has(name))) {
    // Keys may have been changed between the two listings: the revision is newer than the first.
    stored = await requireConfigs(backend, { ...options, onWarning: () => {} })
    listed = new Set(stored.configs.flatMap(({ value }) => value.slots))
  }
  const [newest] = stored.configs.map(({ value }) => value).sort(newestFirst)
  const usable = slots
    .filter(({ name }) => listed.has(name))
    .sort(byHint(newest?.slots ?? [], options.keyHint))
  if (usable.length === 0) {
    warnOfSlots(present, { slots: [...listed] }, warn)
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot open repository at '${backend.location}': none of its keys is left; restore the folder 'keys' from a copy`,
    )
  }
  const opened = await unlock(usable, stored.configs, options)
  if (opened === undefined) {
    warnOfSlots(present, { slots: newest?.slots ?? [] }, warn)
    throw new CairnError(
      'CAIRN_WRONG_SECRET',
      `wrong password or no key found for '${backend.location}'`,
    )
  }
  const [best] = opened.revisions
  if (best === undefined) {
    throw new CairnError(
      'CAIRN_CORRUPT',
      `cannot open repository at '${backend.location}': no config in it is signed by its admin key; restore the folder 'config' from a copy`,
    )
  }
  refuseNewer(stored.newer, best.keyring)
  warnOfSlots(present, opened.keys, warn)
  const unknown = best.config.features.read
  if (unknown.length > 0) {
    throw new CairnError(
      'CAIRN_FORMAT_TOO_NEW',
      `cannot open repository: it needs '${unknown.join("', '")}', which this program does not know; update cairn`,
    )
  }
  return {
    keyring: best.keyring,
    config: best.config,
    configName: best.name,
    box: { ...best.box, authors: opened.keys.authors },
    slotName: opened.name,
    payload: opened.payload,
    keys: opened.keys,
  }
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
  configs.sort(newestFirst)
  return configs[0]?.repositoryId
}
