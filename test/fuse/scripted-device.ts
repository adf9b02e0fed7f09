/** A `/dev/fuse` that gives the requests of a test, and keeps the replies. */

import { FuseServer, type FuseServerOptions } from '../../src/fuse/server.ts'
import type { RequestDevice } from '../../src/fuse/device.ts'
import type { FuseFileSystem } from '../../src/fuse/file-system.ts'

/** A reply as a kernel would read it: struct fuse_out_header, and what follows. */
export interface Reply {
  readonly unique: number
  /** Positive; 0 is success. */
  readonly errno: number
  readonly body: Buffer
}

export class ScriptedDevice implements RequestDevice {
  readonly replies: Reply[] = []
  /** Nobody waits for what is replied from now on. */
  isDeaf = false
  readonly #requests: Buffer[] = []
  #isUnmounted = false
  #wake = () => {}

  request(bytes: Buffer): void {
    this.#requests.push(bytes)
    this.#wake()
  }

  unmount(): void {
    this.#isUnmounted = true
    this.#wake()
  }

  read(into: Buffer): number | undefined {
    const next = this.#requests.shift()
    if (next === undefined) return this.#isUnmounted ? undefined : 0
    next.copy(into)
    return next.length
  }

  write(pieces: readonly Uint8Array[]): boolean {
    if (this.isDeaf) return false
    const bytes = Buffer.concat(pieces)
    const declared = bytes.readUInt32LE(0)
    if (declared !== bytes.length) {
      throw new Error(`a reply of ${bytes.length} bytes says ${declared}`)
    }
    this.replies.push({
      unique: Number(bytes.readBigUInt64LE(8)),
      errno: Math.abs(bytes.readInt32LE(4)),
      body: bytes.subarray(16),
    })
    return true
  }

  readSoon(into: Buffer): number | undefined {
    return this.read(into)
  }

  wait(): Promise<void> {
    if (this.#requests.length > 0 || this.#isUnmounted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  close(): void {}
}

/** struct fuse_in_header and `body`. */
export function requestOf(
  opcode: number,
  { unique, node = 1 }: { readonly unique: number; readonly node?: number },
  body: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(40)
  head.writeUInt32LE(40 + body.length, 0)
  head.writeUInt32LE(opcode, 4)
  head.writeBigUInt64LE(BigInt(unique), 8)
  head.writeBigUInt64LE(BigInt(node), 16)
  return Buffer.concat([head, body])
}

/** 64-bit and 32-bit arguments, as bigint and number. */
export function words(...values: readonly (bigint | number)[]): Buffer {
  return Buffer.concat(
    values.map((value) => {
      const bytes = Buffer.alloc(typeof value === 'bigint' ? 8 : 4)
      if (typeof value === 'bigint') bytes.writeBigUInt64LE(value)
      else bytes.writeUInt32LE(value)
      return bytes
    }),
  )
}

export interface Served {
  readonly device: ScriptedDevice
  readonly errors: unknown[]
  /** What the server asks for time: a test sets it and calls `tick`. */
  readonly time: { nowMs: number }
  tick(): void
  /** Gives requests, waits until the server has nothing left to do, and returns the replies since. */
  exchange(...requests: readonly Buffer[]): Promise<Reply[]>
  end(): Promise<void>
}

export function serve(files: FuseFileSystem, options: Partial<FuseServerOptions> = {}): Served {
  const device = new ScriptedDevice()
  const errors: unknown[] = []
  const time = { nowMs: 0 }
  let tick = () => {}
  const server = new FuseServer(device, files, {
    onError: (error) => errors.push(error),
    checksAccess: true,
    now: () => time.nowMs,
    every: (_ms, action) => {
      tick = action
      return () => {}
    },
    yield: () => new Promise((resolve) => setImmediate(resolve)),
    requestTimeoutMs: 60_000,
    ...options,
  })
  const ended = server.run()
  return {
    device,
    errors,
    time,
    tick: () => tick(),
    exchange: async (...requests) => {
      for (const request of requests) device.request(request)
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
      return device.replies.splice(0)
    },
    end: async () => {
      device.unmount()
      await ended
    },
  }
}
