/** Names of users and groups, from the files that hold them: Node has no getpwuid. */

import { readFileSync } from 'node:fs'

export interface AccountNames {
  userName(uid: number): string | undefined
  groupName(gid: number): string | undefined
  userId(name: string): number | undefined
  groupId(name: string): number | undefined
}

/** Each file is read once, when a name is first asked for. Accounts of a directory service have none. */
export function accountNames(passwdPath = '/etc/passwd', groupPath = '/etc/group'): AccountNames {
  let users: Map<number, string> | undefined
  let groups: Map<number, string> | undefined
  return {
    userName: (uid) => (users ??= readNames(passwdPath)).get(uid),
    groupName: (gid) => (groups ??= readNames(groupPath)).get(gid),
    userId: (name) => idOf((users ??= readNames(passwdPath)), name),
    groupId: (name) => idOf((groups ??= readNames(groupPath)), name),
  }
}

function idOf(names: ReadonlyMap<number, string>, name: string): number | undefined {
  for (const [id, known] of names) if (known === name) return id
  return undefined
}

/** `name:x:id:…` a line in both files. As in the C library, the first line of an id counts. */
function readNames(path: string): Map<number, string> {
  const names = new Map<number, string>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return names // No such file: ids without names.
  }
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':')
    if (!name || id === undefined || !/^\d{1,10}$/.test(id)) continue
    if (!names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}
