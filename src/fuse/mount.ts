/** Mounts and unmounts: by mount(2) for who may call it, else by `fusermount3`. */

import { closeSync, constants, openSync, statSync, writeFileSync } from 'node:fs'
import { constants as system } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { CairnError } from '../base/errors.ts'
import { FuseDevice } from './device.ts'
import { mountByFusermount, unmountByFusermount } from './fusermount.ts'
import { fuseLibc } from './libc.ts'
import { findMount } from './mount-table.ts'

const MS_RDONLY = 1
const MS_NOSUID = 2
const MS_NODEV = 4
const MNT_DETACH = 2
/** Four requests: while one is answered, the next are on their way, and what they need is decoded. */
const READ_AHEAD_KIB = 4_096

export interface MountOptions {
  /** An existing directory, absolute, without symbolic links. */
  readonly mountpoint: string
  /** What `mount` shows as the source. */
  readonly name: string
  /** The type is `fuse.` and this. */
  readonly subtype: string
  /** Other users may look in. */
  readonly allowOther: boolean
  /** The kernel checks permissions by mode, owner and ACL. */
  readonly defaultPermissions: boolean
}

/** How an unmount went. In use, it is gone from the tree, and ends when the last user lets go. */
export type Unmounted = 'done' | 'in use' | 'failed'

export interface Mounted {
  readonly device: FuseDevice
  /** Lets the kernel read ahead further than it does by itself, where this process may say so. */
  raiseReadAhead(): void
  unmount(): Promise<Unmounted>
}

/** Throws CAIRN_FAILED with what is missing. */
export async function mountFuse(options: MountOptions): Promise<Mounted> {
  const { mountpoint, name, subtype } = options
  const descriptor =
    mountDirectly(options) ??
    (await mountByFusermount(mountpoint, [
      'ro',
      'nosuid',
      'nodev',
      `fsname=${name}`,
      `subtype=${subtype}`,
      ...permissionOptions(options),
    ]))
  const device = new FuseDevice(descriptor)
  return {
    device,
    raiseReadAhead: () => raiseReadAhead(mountpoint),
    unmount: () => unmountAt(mountpoint),
  }
}

/** Undefined if this process may not mount. */
function mountDirectly(options: MountOptions): number | undefined {
  const { mountpoint, name, subtype } = options
  if (process.geteuid?.() !== 0) return undefined
  const descriptor = openDevice()
  const { mode } = statSync(mountpoint)
  const data = [
    `fd=${descriptor}`,
    `rootmode=${(mode & constants.S_IFMT).toString(8)}`,
    `user_id=${process.geteuid()}`,
    `group_id=${process.getegid?.() ?? 0}`,
    ...permissionOptions(options),
  ].join(',')
  const libc = fuseLibc()
  const flags = MS_RDONLY | MS_NOSUID | MS_NODEV
  if (libc.mount(name, cString(mountpoint), `fuse.${subtype}`, flags, data) === 0) return descriptor
  const errno = libc.errno()
  closeSync(descriptor)
  if (errno === system.errno.EPERM) return undefined
  throw new CairnError(
    'CAIRN_FAILED',
    `cannot mount on '${mountpoint}': ${getSystemErrorName(-errno)}`,
  )
}

function permissionOptions({ allowOther, defaultPermissions }: MountOptions): string[] {
  return [
    ...(allowOther ? ['allow_other'] : []),
    ...(defaultPermissions ? ['default_permissions'] : []),
  ]
}

function openDevice(): number {
  try {
    return openSync('/dev/fuse', 'r+')
  } catch (error) {
    throw new CairnError(
      'CAIRN_FAILED',
      "cannot open /dev/fuse: this machine has no FUSE; 'modprobe fuse' loads it, and a container " +
        "needs --device /dev/fuse; 'cairn serve webdav' and 'cairn restore' work without",
      { cause: error },
    )
  }
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`)
}

export async function unmountAt(mountpoint: string): Promise<Unmounted> {
  const libc = fuseLibc()
  const target = cString(mountpoint)
  // The kernel does not ask the file system for this.
  if (libc.umount2(target, 0) === 0) return 'done'
  if (await unmountByFusermount(mountpoint, false)) return 'done'
  if (libc.umount2(target, MNT_DETACH) === 0) return 'in use'
  return (await unmountByFusermount(mountpoint, true)) ? 'in use' : 'failed'
}

function raiseReadAhead(mountpoint: string): void {
  const device = findMount(mountpoint)?.device
  if (device === undefined) return
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, `${READ_AHEAD_KIB}\n`)
  } catch {
    // Not root, or no such file in this container: the kernel's own 128 KiB will do.
  }
}
