/**
 * Every command of a run makes contexts of its own for compression and hashing, as a process would.
 * Here thousands of them live in one process and one after the other, so they share: a context
 * keeps nothing from one call to the next, and a call is synchronous.
 */

import { createRequire } from 'node:module'

interface Zstd {
  CCtx: new () => object
  DCtx: new () => object
}

interface Blake3 {
  Blake3Hasher: Hashers
}

interface Hashers {
  new (): object
  newKeyed(key: Buffer): object
}

interface Limits {
  readonly initial: number
  readonly maximum: number
}

interface Memory {
  readonly buffer: ArrayBuffer
}

const HASHERS_MAX = 1000

export function shareNatives(): void {
  poolMemories()
  const require = createRequire(import.meta.url)
  const zstd = loaded<Zstd>(() => require('zstd-napi/binding.js') as Zstd)
  if (zstd !== undefined) {
    zstd.CCtx = alwaysTheSame(zstd.CCtx)
    zstd.DCtx = alwaysTheSame(zstd.DCtx)
  }
  const blake3 = loaded<Blake3>(() => require('@napi-rs/blake-hash') as Blake3)
  if (blake3 !== undefined) blake3.Blake3Hasher = withSharedKeyed(blake3.Blake3Hasher)
}

/** Of the run that is under way, and of those before it. */
const lent: Memory[] = []
const spare: Memory[] = []

/** Gives what a run has used of memories to the next: nothing of it works any more. */
export function recycleMemories(): void {
  spare.push(...lent.splice(0))
}

/** Each backup has an arena of 4 MiB and the address space around it. What is in it is overwritten. */
function poolMemories(): void {
  const api = (globalThis as { WebAssembly?: { Memory: new (limits: Limits) => Memory } })
    .WebAssembly
  if (api === undefined) return
  const { Memory } = api
  const pages = (memory: Memory) => memory.buffer.byteLength / 65_536
  api.Memory = class {
    readonly buffer!: ArrayBuffer

    constructor(limits: Limits) {
      const at = spare.findIndex((memory) => pages(memory) === limits.initial)
      const memory = spare.splice(at, at < 0 ? 0 : 1)[0] ?? new Memory(limits)
      lent.push(memory)
      // oxlint-disable-next-line no-constructor-return -- that is the purpose
      return memory
    }
  }
}

/** Undefined where it is not installed: then the fallbacks are used, and are not shared. */
function loaded<T>(load: () => T): T | undefined {
  try {
    return load()
  } catch {
    return undefined
  }
}

function alwaysTheSame<T extends object>(create: new () => T): new () => T {
  const one = new create()
  return class {
    constructor() {
      // oxlint-disable-next-line no-constructor-return -- that is the purpose
      return one
    }
  } as new () => T
}

/** A hasher begins anew with every input, so that one does for all who have its key. */
function withSharedKeyed(Hasher: Hashers): Hashers {
  const hashers = new Map<string, object>()
  return class {
    static newKeyed(key: Buffer): object {
      const id = key.toString('latin1')
      const known = hashers.get(id)
      if (known !== undefined) return known
      if (hashers.size >= HASHERS_MAX) hashers.clear()
      const made = Hasher.newKeyed(key)
      hashers.set(id, made)
      return made
    }

    constructor() {
      // oxlint-disable-next-line no-constructor-return -- that is the purpose
      return new Hasher()
    }
  }
}
