/** `key`: the slots of a repository, and the secrets that open them. */

import { toHex } from '../base/bytes.ts'
import { CairnError, isDamage } from '../base/errors.ts'
import { type FileName, shortId } from '../base/ids.ts'
import type { Role } from '../format/constants.ts'
import { decodeSlot } from '../format/slot.ts'
import { addSlot, removeSlot, replaceSlot } from '../repository/change-keys.ts'
import type { Repository } from '../repository/repository.ts'
import type { RepositoryAccess } from './access.ts'
import { readSecret, type Secret } from './secrets.ts'

/** As the command line has them. */
export interface NewKeyArguments {
  readonly newPasswordFile: string | undefined
  readonly newKeyFile: string | undefined
  readonly newInsecureNoPassword: boolean
  readonly user: string | undefined
  readonly host: string | undefined
}

export interface KeyInfo {
  readonly id: FileName
  readonly isCurrent: boolean
  readonly role: Role | undefined
  readonly username: string
  readonly hostname: string
  /** Undefined for a slot that is damaged or missing. */
  readonly createdNs: bigint | undefined
}

/** The secret of a new slot; the environment has only that of the slot in use. */
async function newSecret(
  access: RepositoryAccess,
  args: NewKeyArguments,
  mayAsk: boolean,
): Promise<Secret> {
  return await readSecret({
    passwordFile: args.newPasswordFile,
    keyFile: args.newKeyFile,
    insecureNoPassword: args.newInsecureNoPassword,
    optionPrefix: '--new-',
    environment: {},
    prompt: mayAsk ? 'twice' : 'never',
    promptMessage: 'enter new password:',
    warn: (message) => access.warn(message),
    signal: access.signal,
  })
}

function labelOf({ process }: Repository, args: NewKeyArguments): string {
  return `${args.user ?? process.username}@${args.host ?? process.hostname}`
}

/** Returns the id of the new key. `mayAsk` says whether there may be a prompt. */
export async function addKey(
  access: RepositoryAccess,
  args: NewKeyArguments & { readonly role: Role },
  mayAsk: boolean,
): Promise<FileName> {
  const repository = await access.open()
  const secret = await newSecret(access, args, mayAsk)
  const label = labelOf(repository, args)
  return await addSlot(repository, { secret, role: args.role, label }, access.signal)
}

/** Returns the id of the key that took the place of the one in use. */
export async function changePassword(
  access: RepositoryAccess,
  args: NewKeyArguments,
  mayAsk: boolean,
): Promise<FileName> {
  const repository = await access.open()
  const secret = await newSecret(access, args, mayAsk)
  return await replaceSlot(repository, { secret, label: labelOf(repository, args) }, access.signal)
}

/** Removes the key whose id begins with `prefix`, and returns its id. */
export async function removeKey(access: RepositoryAccess, prefix: string): Promise<FileName> {
  const repository = await access.open()
  const present = await repository.backend.list('keys', { signal: access.signal })
  const names = new Set([...repository.unlocked.keys.slots, ...present.map(({ name }) => name)])
  const [found, other] = [...names].filter((name) => name.startsWith(prefix.toLowerCase()))
  if (found === undefined || prefix === '') {
    throw new CairnError('CAIRN_FAILED', `there is no key '${prefix}'; see 'cairn key list'`)
  }
  if (other !== undefined) {
    throw new CairnError(
      'CAIRN_USAGE',
      `more than one key begins with '${prefix}'; write more of it`,
    )
  }
  await removeSlot(repository, found, access.signal)
  return found
}

/** The label is `user@host`; a user may have an @ in it, a host has none. */
function splitLabel(label: string): { readonly username: string; readonly hostname: string } {
  const at = label.lastIndexOf('@')
  return at < 0
    ? { username: label, hostname: '' }
    : { username: label.slice(0, at), hostname: label.slice(at + 1) }
}

function ownerLabel({ unlocked, box }: Repository, name: FileName): string {
  if (name === unlocked.slotName) return unlocked.payload.label
  const owner = unlocked.keys.owners.find(({ slot }) => slot === name)
  const id = owner === undefined ? undefined : toHex(owner.author)
  return box.authors.find((author) => toHex(author.id) === id)?.label ?? ''
}

/** The keys that count, in order of age. */
export async function listKeys(access: RepositoryAccess): Promise<KeyInfo[]> {
  const repository = await access.open()
  const keys: KeyInfo[] = []
  for (const id of repository.unlocked.keys.slots) {
    const head = await readHead(repository, id, access.signal)
    const createdMs = head === undefined ? Number.NaN : Date.parse(head.created)
    keys.push({
      id,
      isCurrent: id === repository.unlocked.slotName,
      role: head?.role,
      ...splitLabel(ownerLabel(repository, id)),
      createdNs: Number.isNaN(createdMs) ? undefined : BigInt(createdMs) * 1_000_000n,
    })
  }
  return keys.sort((a, b) => Number((a.createdNs ?? 0n) - (b.createdNs ?? 0n)))
}

async function readHead(repository: Repository, name: FileName, signal: AbortSignal) {
  const bytes = await repository.backend.load({ kind: 'keys', name }, undefined, { signal })
  try {
    return bytes === undefined ? undefined : decodeSlot(bytes)
  } catch (error) {
    if (!isDamage(error)) throw error
    return undefined // Opening the repository has said so.
  }
}

export interface ExportedFile {
  readonly kind: 'config' | 'keys'
  readonly name: FileName
  readonly bytes: Uint8Array
}

export interface ExportedKey {
  readonly repositoryId: string
  readonly location: string
  readonly key: FileName
  readonly role: Role
  /** What opens it: `password` or `key file`. */
  readonly secret: 'password' | 'key file'
  readonly files: readonly ExportedFile[]
}

/** The slot in use, still locked by its secret, and the config in force. */
export async function exportKey(access: RepositoryAccess): Promise<ExportedKey> {
  const repository = await access.open()
  const { slotName, configName } = repository.unlocked
  const files: ExportedFile[] = []
  for (const file of [
    { kind: 'config', name: configName },
    { kind: 'keys', name: slotName },
  ] as const) {
    const bytes = await access.backend.load(file, undefined, { signal: access.signal })
    if (bytes === undefined) {
      throw new CairnError('CAIRN_CORRUPT', `${file.kind}/${shortId(file.name)} has vanished`)
    }
    files.push({ ...file, bytes })
  }
  const { kind } = await access.secret('once')
  if (repository.keyring.role === 'writer') {
    access.warn('a writer key restores nothing: export an admin or reader key as well')
  }
  return {
    repositoryId: repository.id,
    location: access.backend.location,
    key: slotName,
    role: repository.keyring.role,
    secret: kind === 'key' ? 'key file' : 'password',
    files,
  }
}
