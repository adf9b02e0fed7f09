/** What the system shows as the type of a mounted repository. */
export const MOUNT_SUBTYPE = 'cairn'
export const MOUNT_TYPE = `fuse.${MOUNT_SUBTYPE}`
