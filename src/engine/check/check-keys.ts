/**
 * Checks the config and the key slots (FORMAT.md 5 and 6). A slot opens only with its own secret:
 * of the others, the name, the form and the repository are checked.
 */

import { equalBytes } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { type FileName, shortId } from '../../base/ids.ts'
import { type DecodedConfig, decodeConfig } from '../../format/config.ts'
import { decodeSlot, type Slot } from '../../format/slot.ts'
import { nameOf } from '../../repository/stored-files.ts'
import { isConfigSigned } from '../../repository/keyring.ts'
import { type CheckContext } from './check-context.ts'
import { loadFolder } from './check-objects.ts'

interface Named<T> {
  readonly name: FileName
  readonly value: T
}

function corrupt(message: string): never {
  throw new CairnError('CAIRN_CORRUPT', message)
}

async function load<T>(
  { repository, signal }: CheckContext,
  kind: 'config' | 'keys',
  name: FileName,
  decode: (bytes: Uint8Array) => T,
): Promise<Named<T> | undefined> {
  const bytes = await repository.backend.load({ kind, name }, undefined, { signal })
  if (bytes === undefined) return undefined
  if (nameOf(bytes) !== name) corrupt('its bytes do not have its name')
  return { name, value: decode(bytes) }
}

export async function checkConfigAndKeys(context: CheckContext): Promise<void> {
  const configs = await loadFolder(context, 'config', (name) =>
    load(context, 'config', name, (bytes) => decodeOwnConfig(context, bytes)),
  )
  const slots = await loadFolder(context, 'keys', (name) =>
    load(context, 'keys', name, (bytes) => decodeOwnSlot(context, bytes)),
  )
  checkRevisions(context, configs)
  checkSlotNames(context, slots)
}

function decodeOwnConfig({ repository }: CheckContext, bytes: Uint8Array): DecodedConfig {
  const config = decodeConfig(bytes)
  const { keyring } = repository
  if (!equalBytes(config.repositoryId, keyring.repositoryId)) {
    corrupt('it belongs to another repository')
  }
  if (!isConfigSigned(config, keyring)) corrupt('its signature is not valid')
  return config
}

function decodeOwnSlot({ repository }: CheckContext, bytes: Uint8Array): Slot {
  const slot = decodeSlot(bytes)
  if (!equalBytes(slot.repositoryId, repository.keyring.repositoryId)) {
    corrupt('it belongs to another repository')
  }
  return slot
}

function checkRevisions(
  { repository, findings }: CheckContext,
  configs: readonly Named<DecodedConfig>[],
): void {
  const { configName, config } = repository.unlocked
  const object = { kind: 'config' as const, name: configName }
  if (!configs.some(({ name }) => name === configName)) {
    const message = `config/${shortId(configName)}, which was in force, is damaged or gone`
    findings.error(object, message, 'run the check again; restore it from a copy if this stays')
  }
  for (const { name, value } of configs) {
    if (name === configName || value.revision < config.revision) continue
    findings.note(
      { kind: 'config', name },
      `config/${shortId(name)} has revision ${value.revision} too; ${shortId(configName)} is in force`,
      "two administrators changed it at once; the keys of both count: run 'cairn key list'",
    )
  }
}

function checkSlotNames({ repository, findings }: CheckContext, slots: readonly Named<Slot>[]) {
  const listed = new Set(repository.unlocked.keys.slots)
  const present = new Set(slots.map(({ name }) => name))
  const damaged = new Set(
    findings.all.filter(({ object }) => object.kind === 'keys').map(({ object }) => object.name),
  )
  for (const name of listed) {
    if (present.has(name) || damaged.has(name)) continue
    const message = `keys/${shortId(name)}, a key that the config lists, is missing`
    findings.error({ kind: 'keys', name }, message, 'restore it from a copy, or make a new key')
  }
  for (const name of present) {
    if (listed.has(name)) continue
    findings.note(
      { kind: 'keys', name },
      `keys/${shortId(name)} is not listed in the config: a key that was removed, and is ignored`,
      'remove the file',
    )
  }
}
