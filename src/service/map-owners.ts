/** Whose files are to be: by number, or by the name that the number had where they come from. */

import type { Owner } from '../engine/restore/restore-options.ts'
import type { SnapshotContent } from '../format/snapshot.ts'
import { type AccountNames, accountNames } from '../source/account-names.ts'

/** A name that is not known here keeps its number. */
export function ownersByName(
  { userNames, groupNames }: Pick<SnapshotContent, 'userNames' | 'groupNames'>,
  accounts: AccountNames = accountNames(),
): (owner: Owner) => Owner {
  const uid = remembered(userNames, (name) => accounts.userId(name))
  const gid = remembered(groupNames, (name) => accounts.groupId(name))
  return (owner) => ({ uid: uid(owner.uid), gid: gid(owner.gid) })
}

function remembered(
  names: ReadonlyMap<number, string>,
  find: (name: string) => number | undefined,
): (id: number) => number {
  const known = new Map<number, number>()
  return (id) => {
    let here = known.get(id)
    if (here === undefined) {
      const name = names.get(id)
      here = (name === undefined ? undefined : find(name)) ?? id
      known.set(id, here)
    }
    return here
  }
}
