/** Restores what is neither a regular file nor a directory, several names of one as links. */

import type { ByteString } from '../../base/bytes.ts'
import { equalBytes } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { ENTRY_TYPE, type TreeEntry } from '../../format/tree.ts'
import type { EntryType, SourceStat } from '../../source/source-files.ts'
import type { Target } from '../../source/target-files.ts'
import { isSameSpecial } from '../diff/same-entry.ts'
import { isSameTime, reportUnset, type RestoreContext, targetMetadata } from './restore-context.ts'
import { inlineXattrs } from './wanted-xattrs.ts'

type SpecialType = Exclude<EntryType, 'file' | 'directory' | 'other'>

const SPECIAL_TYPES: ReadonlyMap<number, SpecialType> = new Map([
  [ENTRY_TYPE.symlink, 'symlink'],
  [ENTRY_TYPE.fifo, 'fifo'],
  [ENTRY_TYPE.socket, 'socket'],
  [ENTRY_TYPE.chardevice, 'chardevice'],
  [ENTRY_TYPE.blockdevice, 'blockdevice'],
])

export interface SpecialTask {
  readonly path: ByteString
  readonly entry: TreeEntry
  readonly existing: SourceStat | undefined
  /** Where it goes instead, if what is there differs and is to stay. */
  readonly besidePath: ByteString | undefined
}

interface Restored {
  readonly path: ByteString
  readonly entry: TreeEntry
}

export class SpecialEntries {
  readonly #context: RestoreContext
  /** The last of each `linkGroup` that was made: grows with those of several names, which are few. */
  readonly #made = new Map<bigint, Restored>()

  constructor(context: RestoreContext) {
    this.#context = context
  }

  /** Throws what concerns this entry only. */
  restore(task: SpecialTask): void {
    const { entry } = task
    const { linkGroup } = entry
    const type = SPECIAL_TYPES.get(entry.type)
    if (type === undefined) {
      throw new CairnError('CAIRN_CORRUPT', `cannot restore entry: unknown type ${entry.type}`)
    }
    this.#context.reporter.expect(0)
    const other = linkGroup === undefined ? undefined : this.#made.get(linkGroup)
    // What an attacker put into one group is restored as it is.
    const isLink = other !== undefined && isSameSpecial(other.entry, entry)
    if (isLink && this.#link(task, type, other.path)) return
    const path = this.#restoreAlone(task, type)
    if (linkGroup !== undefined && path !== undefined) this.#made.set(linkGroup, { path, entry })
  }

  /** False if it is to be restored on its own: that tells what is wrong, if it fails as well. */
  #link(task: SpecialTask, type: SpecialType, other: ByteString): boolean {
    const { options, reporter, target } = this.#context
    const { existing, besidePath } = task
    if (besidePath !== undefined && isSame(target, task, type)) return false
    const path = besidePath ?? task.path
    const overwrite = existing !== undefined && besidePath === undefined
    try {
      if (!options.dryRun) target?.makeHardLink(path, other, { overwrite, type })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === undefined || code.startsWith('ERR_')) throw error
      return false
    }
    reporter.restored(path, overwrite)
    return true
  }

  /** Returns where it is; undefined if that is not to have further names. */
  #restoreAlone(task: SpecialTask, type: SpecialType): ByteString | undefined {
    const { options, reporter, target } = this.#context
    const { entry, existing, besidePath } = task
    const isAlike = isSame(target, task, type)
    // By its other names it may be somebody else's, whose metadata must not change.
    const isShared = existing !== undefined && existing.linkCount > 1
    if (isAlike && isShared && besidePath !== undefined) {
      reporter.keep(task.path, 0)
      return undefined
    }
    const isThere = isAlike && !isShared
    const path = isThere ? task.path : (besidePath ?? task.path)
    const isUpdate = existing !== undefined && path === task.path
    if (!options.dryRun && target !== undefined) {
      if (!isThere) make(target, { path, entry, overwrite: isUpdate }, type)
      const metadata = targetMetadata(this.#context, entry, inlineXattrs(entry))
      reportUnset(reporter, path, target.setMetadata(path, type, metadata, { isNew: !isThere }))
    }
    if (isThere) reporter.keep(path, 0)
    else reporter.restored(path, isUpdate)
    return path
  }
}

function isSame(
  target: Target | undefined,
  { path, entry, existing }: SpecialTask,
  type: SpecialType,
): boolean {
  if (existing === undefined || target === undefined || existing.type !== type) return false
  if (type !== 'symlink') return existing.rdev === deviceNumber(entry)
  // The time tells whose link it is; one that somebody else made alike is made anew.
  const isOurs = isSameTime(entry.mtime, existing.mtimeNs)
  return isOurs && entry.target !== undefined && equalBytes(target.readLink(path), entry.target)
}

function make(
  target: Target,
  { path, entry, overwrite }: { path: ByteString; entry: TreeEntry; overwrite: boolean },
  type: SpecialType,
): void {
  const options = { overwrite }
  if (type !== 'symlink') return target.makeSpecial(path, type, deviceNumber(entry), options)
  const text = entry.target
  if (text === undefined || text.length === 0 || text.includes(0)) {
    throw new CairnError('CAIRN_CORRUPT', 'cannot restore symlink: its target is no path')
  }
  target.makeSymlink(path, text, options)
}

/** Linux' encoding: 12 + 20 bits split over the word. */
function deviceNumber({ device }: TreeEntry): bigint {
  if (device === undefined) return 0n
  const major = BigInt(device.major)
  const minor = BigInt(device.minor)
  return (
    ((major & 0xfffn) << 8n) |
    ((major & 0xfffff000n) << 32n) |
    (minor & 0xffn) |
    ((minor & 0xffffff00n) << 12n)
  )
}
