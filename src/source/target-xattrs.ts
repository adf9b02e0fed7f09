/**
 * Makes the extended attributes of a file what they are to be. POSIX ACLs and capabilities are among
 * them: Linux keeps both as attributes.
 */

import type { ByteString } from '../base/bytes.ts'
import { libcSet, type XattrCalls } from './libc-set.ts'
import { compilePatterns } from './patterns.ts'
import { errorCode, systemError } from './system-error.ts'
import type { WantedXattrs } from './target-files.ts'

const ACCESS_ACL = 'system.posix_acl_access'
export const DEFAULT_ACL = 'system.posix_acl_default'

/**
 * Where a file comes from. `new`: it has what a file has that was just made. `inheriting`: perhaps
 * an ACL as well, of the directory it was made in. `existing`: it may have anything.
 */
export type Origin = 'new' | 'inheriting' | 'existing'

/** Patterns of names, as for paths; at most one of the lists has any. */
export interface XattrPatterns {
  readonly include: readonly ByteString[]
  readonly exclude: readonly ByteString[]
}

/** Throws CAIRN_USAGE for a malformed pattern. */
export function xattrSelector({ include, exclude }: XattrPatterns): (name: ByteString) => boolean {
  if (include.length > 0) {
    const included = compilePatterns(include)
    return (name) => included.matches(`/${name}`)
  }
  if (exclude.length === 0) return () => true
  const excluded = compilePatterns(exclude)
  return (name) => !excluded.matches(`/${name}`)
}

/** What belongs to whoever owns the file, and not to the system, as labels of SELinux do. */
function isRemovable(name: ByteString): boolean {
  return (
    name.startsWith('user.') ||
    name.startsWith('trusted.') ||
    name === 'security.capability' ||
    name === ACCESS_ACL ||
    name === DEFAULT_ACL
  )
}

/** Goes on after an error, and throws the first in the end. */
export function setXattrs<Subject>(
  callsOf: (c: NonNullable<ReturnType<typeof libcSet>>) => XattrCalls<Subject>,
  subject: Subject,
  { list, selects }: WantedXattrs,
  { origin, shown }: { readonly origin: Origin; readonly shown: ByteString },
): void {
  const wanted = list.filter(([name]) => selects(name))
  if (wanted.length === 0 && origin !== 'existing') return
  const c = libcSet()
  if (c === undefined) {
    if (wanted.length === 0) return
    throw systemError('ENOSYS', 'setxattr', shown)
  }
  const calls = callsOf(c)
  const failures: unknown[] = []
  const attempt = (action: () => void) => {
    try {
      action()
    } catch (error) {
      failures.push(error)
    }
  }
  attempt(() => removeOthers(calls, subject, { wanted, selects, origin, shown }))
  for (const [name, value] of wanted) {
    attempt(() => {
      if (name === '' || name.includes('\0')) throw systemError('EINVAL', 'setxattr', shown)
      calls.set(subject, name, value, shown)
    })
  }
  if (failures.length > 0) throw failures[0]
}

/** What is new has no ACL but what is wanted for it, not even one that nobody asked to restore. */
export function removeInherited<Subject>(
  callsOf: (c: NonNullable<ReturnType<typeof libcSet>>) => XattrCalls<Subject>,
  subject: Subject,
  shown: ByteString,
): void {
  const c = libcSet()
  if (c === undefined) return
  try {
    for (const name of [ACCESS_ACL, DEFAULT_ACL]) callsOf(c).remove(subject, name, shown)
  } catch (error) {
    if (!isUnsupported(error)) throw error
  }
}

function removeOthers<Subject>(
  calls: XattrCalls<Subject>,
  subject: Subject,
  options: {
    readonly wanted: WantedXattrs['list']
    readonly selects: WantedXattrs['selects']
    readonly origin: Origin
    readonly shown: ByteString
  },
): void {
  const { wanted, selects, origin, shown } = options
  if (origin !== 'existing') return
  try {
    for (const name of calls.list(subject, shown)) {
      if (!isRemovable(name) || !selects(name) || wanted.some(([own]) => own === name)) continue
      calls.remove(subject, name, shown)
    }
  } catch (error) {
    if (!isUnsupported(error)) throw error // Else there is nothing to remove.
  }
}

export function isUnsupported(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOTSUP' || code === 'EOPNOTSUPP' || code === 'ENOSYS'
}
