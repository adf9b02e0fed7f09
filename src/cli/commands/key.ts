/** `cairn key` */

import { shortId } from '../../base/ids.ts'
import { formatTime } from '../../base/units.ts'
import { openRepositoryAccess, type RepositoryAccess } from '../../service/access.ts'
import {
  addKey,
  changePassword,
  exportKey,
  type KeyInfo,
  listKeys,
  removeKey,
} from '../../service/keys.ts'
import type { CommandContext, GlobalArguments } from '../command.ts'
import type {
  KeyAddArguments,
  KeyExportArguments,
  KeyListArguments,
  KeyPasswdArguments,
  KeyRemoveArguments,
} from '../options/key.ts'
import { type JsonValue, writeJsonLine } from '../render/json-lines.ts'
import { printable } from '../render/printable.ts'
import { recoverySheet, recoverySheetJson } from '../render/recovery-sheet.ts'
import { tableLines } from '../render/table.ts'

async function withAccess<T>(
  args: GlobalArguments,
  context: CommandContext,
  action: (access: RepositoryAccess) => Promise<T>,
): Promise<T> {
  const access = await openRepositoryAccess(args, context)
  try {
    return await action(access)
  } finally {
    await access.close()
  }
}

/** JSON with --json, else the line, else nothing. */
function say({ json, quiet, stdout }: CommandContext, value: JsonValue, line: string): void {
  if (json) writeJsonLine(stdout, value)
  else if (!quiet) stdout.write(`${line}\n`)
}

export async function keyAdd(args: KeyAddArguments, context: CommandContext): Promise<number> {
  const role = args.role ?? 'admin'
  const id = await withAccess(args, context, (access) =>
    addKey(access, { ...args, role }, !context.json),
  )
  const value = { message_type: 'key_added', id, role }
  say(context, value, `saved new ${role} key with ID ${shortId(id)}`)
  return 0
}

export async function keyPasswd(
  args: KeyPasswdArguments,
  context: CommandContext,
): Promise<number> {
  const id = await withAccess(args, context, (access) =>
    changePassword(access, args, !context.json),
  )
  say(context, { message_type: 'key_changed', id }, `saved new key as ${shortId(id)}`)
  return 0
}

export async function keyRemove(
  args: KeyRemoveArguments,
  context: CommandContext,
): Promise<number> {
  const [prefix = ''] = args.operands
  const id = await withAccess(args, context, (access) => removeKey(access, prefix))
  say(context, { message_type: 'key_removed', id }, `removed key ${shortId(id)}`)
  return 0
}

function keyJson({ id, isCurrent, role, username, hostname, createdNs }: KeyInfo): JsonValue {
  return {
    current: isCurrent,
    id,
    userName: username,
    hostName: hostname,
    created: createdNs === undefined ? '' : formatTime(createdNs),
    role: role ?? '',
  }
}

export async function keyList(args: KeyListArguments, context: CommandContext): Promise<number> {
  const keys = await withAccess(args, context, listKeys)
  if (context.json) {
    writeJsonLine(context.stdout, keys.map(keyJson))
    return 0
  }
  const rows = keys.map((key) => [
    [`${key.isCurrent ? '*' : ' '}${shortId(key.id)}`],
    [printable(key.username)],
    [printable(key.hostname)],
    [key.createdNs === undefined ? 'damaged' : formatTime(key.createdNs)],
    [key.role ?? ''],
  ])
  const columns = [' ID', 'User', 'Host', 'Created', 'Role'].map((title) => ({ title }))
  context.stdout.write(`${tableLines({ columns, rows }).join('\n')}\n`)
  if (keys.length === 1 && !context.quiet) {
    context.stdout.write(
      "There is one key only. 'cairn key add' makes another; 'cairn key export' prints a copy to keep elsewhere.\n",
    )
  }
  return 0
}

export async function keyExport(
  args: KeyExportArguments,
  context: CommandContext,
): Promise<number> {
  const exported = await withAccess(args, context, exportKey)
  if (context.json) writeJsonLine(context.stdout, recoverySheetJson(exported))
  else context.stdout.write(recoverySheet(exported))
  return 0
}
