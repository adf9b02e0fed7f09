/** The type bits of a mode: POSIX's sys/stat.h, with Linux's numbers on every system. */
export const MODE_TYPE = {
  fifo: 0o010000,
  chardevice: 0o020000,
  directory: 0o040000,
  blockdevice: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
} as const
