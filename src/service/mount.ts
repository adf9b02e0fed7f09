/** `mount`: the repository as a file system, until it is unmounted or the command is stopped. */

import { byteStringOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { isWithin, partsOf } from '../base/paths.ts'
import { waitAtMost } from '../base/wait-at-most.ts'
import { type Mounted, mountFuse } from '../fuse/mount.ts'
import { prepareMountpoint } from '../fuse/mountpoint.ts'
import { MOUNT_SUBTYPE, MOUNT_TYPE } from './mount/mount-type.ts'
import { FuseServer } from '../fuse/server.ts'
import type { Access } from './access.ts'
import { readXattrsOf } from './browse/entry-xattrs.ts'
import { ErrorLog } from './browse/error-log.ts'
import { type Browsing, type BrowsingRequest, openBrowsing } from './browse/open-browsing.ts'
import { lookAhead } from './mount/look-ahead.ts'
import { MountedFiles } from './mount/mounted-files.ts'

/** How long looking ahead may keep who mounts waiting; after that both go on. */
const LOOK_AHEAD_WAIT_MS = 250
/** A storage that answers no sooner than this is told to readers as an error. */
const REQUEST_TIMEOUT_MS = 60_000
const ROOT = { uid: 0, gid: 0 }

export interface MountRequest extends BrowsingRequest {
  readonly mountpoint: string
  readonly allowOther: boolean
  readonly defaultPermissions: boolean
  readonly ownerRoot: boolean
  readonly onMounted: (mountpoint: string) => void
}

/** Returns once it is unmounted, by whomever. Throws CAIRN_FAILED where it cannot be mounted. */
export async function runMount(access: Access, request: MountRequest): Promise<void> {
  const mountpoint = await prepareMountpoint(request.mountpoint, {
    type: MOUNT_TYPE,
    apartFrom: access.path,
  })
  const browsing = await openBrowsing(access, 'mount the repository', {
    ...request,
    ...(request.ownerRoot ? { owner: ROOT } : {}),
  })
  try {
    await refuseInsideSource(browsing, mountpoint)
    await serve(access, request, { browsing, mountpoint })
  } finally {
    await browsing.close()
  }
}

/** The next backup of that source would otherwise read every backup there ever was. */
async function refuseInsideSource(
  { catalog, repository }: Browsing,
  mountpoint: string,
): Promise<void> {
  const { hostname } = repository.process
  for (const snapshot of await catalog.snapshots()) {
    if (snapshot.hostname !== hostname) continue
    const source = snapshot.paths.find((path) => path !== '/' && isWithin(mountpoint, path))
    if (source === undefined) continue
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot mount on '${mountpoint}': it lies inside '${source}', which is backed up; ` +
        'choose a directory outside',
    )
  }
}

/**
 * Looks at what the newest snapshot is about, while the kernel is asked to mount: who looks around
 * looks there first. Whatever fails fails again for who asks for it.
 */
async function lookAtNewest({ catalog }: Browsing, files: MountedFiles): Promise<void> {
  const [path] = (await catalog.snapshots()).at(-1)?.paths ?? []
  const names = partsOf(path ?? '')
  await lookAhead(files, ['at', 'now', ...names].map(byteStringOf))
}

interface Served {
  readonly browsing: Browsing
  readonly mountpoint: string
}

async function serve(access: Access, request: MountRequest, served: Served): Promise<void> {
  const { browsing, mountpoint } = served
  const { seams, signal } = access
  const { allowOther, defaultPermissions } = request
  const files = mountedFiles(request, browsing)
  const looking = lookAtNewest(browsing, files).catch(() => {})
  const log = new ErrorLog(seams.clock, (message) => access.warn(message))
  const mounted = await mountFuse({
    mountpoint,
    name: 'cairn',
    subtype: MOUNT_SUBTYPE,
    allowOther,
    defaultPermissions,
  })
  await waitAtMost(LOOK_AHEAD_WAIT_MS, looking, seams.clock)
  const server = new FuseServer(mounted.device, files, {
    onReady: () => {
      mounted.raiseReadAhead()
      request.onMounted(mountpoint)
    },
    onError: (error) => log.report(error),
    checksAccess: defaultPermissions,
    now: () => seams.clock.monotonicMs(),
    every: (ms, action) => seams.clock.every(ms, action),
    yield: () => seams.yield(),
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
  })
  const onAbort = () => void unmount(mounted, mountpoint, access)
  signal.addEventListener('abort', onAbort)
  try {
    if (signal.aborted) onAbort()
    await server.run()
  } finally {
    signal.removeEventListener('abort', onAbort)
    mounted.device.close()
  }
}

async function unmount(mounted: Mounted, mountpoint: string, access: Access): Promise<void> {
  const how = await mounted.unmount()
  if (how === 'in use') {
    access.warn(
      `'${mountpoint}' is still in use: it is unmounted, and this ends when the last program has ` +
        'left it; a second Ctrl-C ends it now',
    )
  } else if (how === 'failed') {
    // Without the device, whoever still uses the mount gets an error.
    mounted.device.close()
    access.warn(`cannot unmount '${mountpoint}': run 'umount -l ${mountpoint}' as root`)
  }
}

function mountedFiles(request: MountRequest, browsing: Browsing): MountedFiles {
  const { blobs, nodes, root, made } = browsing
  return new MountedFiles({
    root,
    blobs,
    nodes,
    ...made,
    ownerRoot: request.ownerRoot,
    statfs: () => ({ byteCount: browsing.storedBytes(), fileCount: 0 }),
    xattrs: (entry) => readXattrsOf(entry, blobs),
  })
}
