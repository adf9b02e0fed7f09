/**
 * The calls of the C library that a FUSE server needs and Node lacks. Loaded on first use. `errno`
 * must be asked for right after a call that failed.
 */

import { cLibrary, type Koffi, type Library } from '../base/c-library.ts'

export interface FuseLibc {
  errno(): number
  /** Bytes read, or -1. */
  read(descriptor: number, into: Buffer, byteCount: number): number
  fcntl(descriptor: number, command: number, argument: number): number
  /** `polls` is an array of struct pollfd. Blocks this thread for up to `timeoutMs`. */
  poll(polls: Buffer, count: number, timeoutMs: number): number
  /** The same in a thread of its own; resolves with what `poll` returns. */
  pollLater(polls: Buffer, count: number, timeoutMs: number): Promise<number>
  /** For waits shorter than a millisecond: `timeout` is a struct timespec. */
  ppoll(polls: Buffer, count: number, timeout: Buffer): number
  mount(source: string, target: Buffer, type: string, flags: number, data: string): number
  umount2(target: Buffer, flags: number): number
  /** `pair` takes two descriptors of 32 bits. */
  socketpair(domain: number, type: number, protocol: number, pair: Buffer): number
  /** One message with one descriptor in its ancillary data: the descriptor, or -1. */
  receiveDescriptor(socket: number): number
}

let loaded: FuseLibc | undefined

/** Throws where koffi or the C library cannot be loaded. */
export function fuseLibc(): FuseLibc {
  loaded ??= load()
  return loaded
}

function load(): FuseLibc {
  const { koffi, library } = cLibrary()
  return bind(koffi, library)
}

function bind(koffi: Koffi, library: Library): FuseLibc {
  const poll = library.func(
    'int poll(uint8_t *, unsigned long, int)',
  ) as unknown as FuseLibc['poll'] & {
    async(
      polls: Buffer,
      count: number,
      timeoutMs: number,
      done: (error: Error | null, result: number) => void,
    ): void
  }
  return {
    errno: () => koffi.errno(),
    // ssize_t, which is as wide as a pointer.
    read: library.func('intptr_t read(int, uint8_t *, size_t)') as unknown as FuseLibc['read'],
    fcntl: library.func('int fcntl(int, int, int)') as unknown as FuseLibc['fcntl'],
    poll: (polls, count, timeoutMs) => poll(polls, count, timeoutMs),
    pollLater: (polls, count, timeoutMs) =>
      new Promise((resolve, reject) => {
        poll.async(polls, count, timeoutMs, (error, result) =>
          error === null ? resolve(result) : reject(error),
        )
      }),
    ppoll: bindPpoll(library),
    mount: library.func(
      'int mount(const char *, const uint8_t *, const char *, unsigned long, const char *)',
    ) as unknown as FuseLibc['mount'],
    umount2: library.func('int umount2(const uint8_t *, int)') as unknown as FuseLibc['umount2'],
    socketpair: library.func(
      'int socketpair(int, int, int, uint8_t *)',
    ) as unknown as FuseLibc['socketpair'],
    receiveDescriptor: bindReceive(koffi, library),
  }
}

function bindPpoll(library: Library): FuseLibc['ppoll'] {
  const ppoll = library.func('int ppoll(uint8_t *, unsigned long, uint8_t *, void *)') as (
    polls: Buffer,
    count: number,
    timeout: Buffer,
    mask: null,
  ) => number
  return (polls, count, timeout) => ppoll(polls, count, timeout, null)
}

/** struct cmsghdr: length, level and type, then the descriptor. */
const CONTROL_BYTES = 24
const CONTROL_DESCRIPTOR_AT = 16
const MSG_CMSG_CLOEXEC = 0x4000_0000

function bindReceive(koffi: Koffi, library: Library): FuseLibc['receiveDescriptor'] {
  const iovec = koffi.struct({ base: 'uint8_t *', byteCount: 'size_t' })
  const message = koffi.struct({
    name: 'void *',
    nameBytes: 'uint32_t',
    vectors: koffi.pointer(iovec),
    vectorCount: 'size_t',
    control: 'uint8_t *',
    controlBytes: 'size_t',
    flags: 'int',
  })
  const recvmsg = library.func('recvmsg', 'intptr_t', ['int', koffi.pointer(message), 'int']) as (
    socket: number,
    message: unknown,
    flags: number,
  ) => number
  return (socket) => {
    const control = Buffer.alloc(CONTROL_BYTES)
    const received = recvmsg(
      socket,
      {
        name: null,
        nameBytes: 0,
        vectors: [{ base: Buffer.alloc(1), byteCount: 1 }],
        vectorCount: 1,
        control,
        controlBytes: CONTROL_BYTES,
        flags: 0,
      },
      MSG_CMSG_CLOEXEC,
    )
    if (received <= 0 || control.readUInt32LE(0) < CONTROL_DESCRIPTOR_AT + 4) return -1
    return control.readInt32LE(CONTROL_DESCRIPTOR_AT)
  }
}
