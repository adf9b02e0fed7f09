/**
 * BLAKE3, plain and keyed, on the hot path: the native binding first, then WebAssembly, then plain
 * JavaScript. All three give the same bytes; each has to prove that before it is used.
 */

import { createRequire } from 'node:module'
import { CairnError } from '../base/errors.ts'

const BLAKE3_BYTES = 32

/**
 * The keyed BLAKE3 of `data`: written to the first 32 bytes of `out` and that is returned, or a new
 * array. `data` may be a view on WebAssembly or shared memory. Holds one hasher: not re-entrant,
 * which synchronous code cannot be anyway.
 */
export type KeyedBlake3 = (data: Uint8Array, out?: Uint8Array) => Uint8Array

export type Blake3Implementation = 'native' | 'wasm' | 'javascript'

export interface Blake3 {
  readonly implementation: Blake3Implementation
  /** The plain BLAKE3 of `data`, 32 bytes. */
  hash(data: Uint8Array): Uint8Array
  /** A function that hashes under `key` (32 bytes). Keep it: it is what makes small inputs fast. */
  keyed(key: Uint8Array): KeyedBlake3
  /** BLAKE3 derive_key of `keyMaterial` under an ASCII `context`: 32 bytes. */
  derive(context: string, keyMaterial: Uint8Array): Uint8Array
}

interface NativeHasher {
  reset(): void
  update(data: Uint8Array): unknown
  digest(format: 'hex'): string
}

interface NativeBinding {
  readonly Blake3Hasher: {
    new (): NativeHasher
    newKeyed(key: Buffer): NativeHasher
    deriveKey(context: string, keyMaterial: Uint8Array): Buffer
  }
}

/** The part of @noble/hashes that is used here. */
export type NobleBlake3 = (
  data: Uint8Array,
  options?: {
    readonly key?: Uint8Array
    readonly context?: Uint8Array
    readonly dkLen?: number
  },
) => Uint8Array

let noble: NobleBlake3 | undefined

/** Plain JavaScript. Loaded only where it is called: it would cost every thread 10 ms. */
export const nobleBlake3: NobleBlake3 = (data, options) => {
  noble ??= (
    createRequire(import.meta.url)('@noble/hashes/blake3.js') as { readonly blake3: NobleBlake3 }
  ).blake3
  return noble(data, options)
}

function nobleDerive(context: string, keyMaterial: Uint8Array): Uint8Array {
  return nobleBlake3(keyMaterial, { context: Buffer.from(context, 'latin1') })
}

interface WasmHasher {
  init(): WasmHasher
  load(state: Uint8Array): WasmHasher
  save(): Uint8Array
  update(data: Uint8Array): WasmHasher
  digest(format: 'binary'): Uint8Array
}

// What has been loaded in this thread: undefined = not tried, null = tried and not usable.
let native: Blake3 | null | undefined
let wasm: Blake3 | null | undefined

/**
 * The fastest implementation that works here, starting the search at `prefer`: native, wasm,
 * javascript. WebAssembly takes part only after `prepareBlake3()` has resolved in this thread.
 */
export function loadBlake3(prefer: Blake3Implementation = 'native'): Blake3 {
  if (prefer === 'native') {
    if (native === undefined) native = loadNative()
    if (native) return native
  }
  if (prefer !== 'javascript' && wasm) return wasm
  return javascript
}

/**
 * Loads the WebAssembly implementation if `loadBlake3()` would need it: compiling it is
 * asynchronous. To be awaited once per thread before the first `loadBlake3()`; costs nothing where
 * the native binding works. `always` loads it all the same.
 */
export async function prepareBlake3(always = false): Promise<void> {
  if (!always && loadBlake3().implementation === 'native') return
  if (wasm === undefined) wasm = await loadWasm()
}

function checkKey(key: Uint8Array): void {
  if (key.byteLength !== 32)
    throw new RangeError(`a BLAKE3 key has 32 bytes, not ${key.byteLength}`)
}

function loadNative(): Blake3 | null {
  try {
    const binding = createRequire(import.meta.url)('@napi-rs/blake-hash') as NativeBinding
    return proven(nativeBlake3(binding))
  } catch {
    return null // No prebuilt binary for this platform, or one that cannot be loaded.
  }
}

function nativeBlake3({ Blake3Hasher }: NativeBinding): Blake3 {
  // A digest as hex, decoded into a fixed buffer, takes 2.0 us for 4 KiB; as a Buffer, which is
  // memory outside the heap with a finalizer, 3.2 us.
  const scratch = Buffer.alloc(BLAKE3_BYTES)
  const run =
    (hasher: NativeHasher): KeyedBlake3 =>
    (data, out = new Uint8Array(BLAKE3_BYTES)) => {
      hasher.reset()
      hasher.update(data)
      scratch.write(hasher.digest('hex'), 'hex')
      out.set(scratch)
      return out
    }
  const plain = run(new Blake3Hasher())
  return {
    implementation: 'native',
    hash: (data) => plain(data),
    keyed: (key) => {
      checkKey(key)
      return run(Blake3Hasher.newKeyed(Buffer.from(key)))
    },
    derive: (context, keyMaterial) => Uint8Array.from(Blake3Hasher.deriveKey(context, keyMaterial)),
  }
}

async function loadWasm(): Promise<Blake3 | null> {
  try {
    const { createBLAKE3 } = await import('hash-wasm')
    const marker = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i)
    return proven(
      wasmBlake3(
        (await createBLAKE3(256)) as WasmHasher,
        (await createBLAKE3(256, marker)) as WasmHasher,
        marker,
      ),
    )
  } catch {
    return null // No WebAssembly here, or a hash-wasm whose state looks different.
  }
}

/**
 * hash-wasm binds a key to an instance, and making one is asynchronous. The state it saves is the
 * reference C struct, which starts with the key and repeats it as the first chaining value; a
 * saved state of a `marker` key thus becomes that of any key. `proven` catches a changed layout.
 */
function wasmBlake3(plain: WasmHasher, keyed: WasmHasher, marker: Uint8Array): Blake3 {
  const template = Buffer.from(keyed.init().save())
  const keyAt = template.indexOf(marker)
  const chainAt = template.indexOf(marker, keyAt + 32)
  return {
    implementation: 'wasm',
    hash: (data) => plain.init().update(data).digest('binary'),
    keyed: (key) => {
      checkKey(key)
      const state = new Uint8Array(template)
      state.set(key, keyAt)
      state.set(key, chainAt)
      return (data, out) => {
        const digest = keyed.load(state).update(data).digest('binary')
        if (out === undefined) return digest
        out.set(digest)
        return out
      }
    },
    derive: nobleDerive,
  }
}

const javascript: Blake3 = {
  implementation: 'javascript',
  hash: (data) => nobleBlake3(data),
  keyed: (key) => {
    checkKey(key)
    const ownKey = Uint8Array.from(key)
    return (data, out) => {
      const digest = nobleBlake3(data, { key: ownKey })
      if (out === undefined) return digest
      out.set(digest)
      return out
    }
  },
  derive: nobleDerive,
}

/** The first bytes of the official test vectors for an input of 1,025 bytes: two chunks. */
const PROOF = {
  hash: 'd00278ae47eb27b3',
  keyed: '357dc55de0c7e382',
  derived: 'effaa245f065fbf8',
}
const PROOF_CONTEXT = 'BLAKE3 2019-12-27 16:29:52 test vectors context'

/** `candidate`, if it computes BLAKE3. A wrong hash would scatter wrong ids over a repository. */
function proven(candidate: Blake3): Blake3 {
  const input = Uint8Array.from({ length: 1025 }, (_, i) => i % 251)
  const keyed = candidate.keyed(Buffer.from('whats the Elvish word for friend'))
  keyed(input.subarray(0, 7)) // So that a state left behind by one call would show in the next.
  const found = {
    hash: Buffer.from(candidate.hash(input)).toString('hex', 0, 8),
    keyed: Buffer.from(keyed(input)).toString('hex', 0, 8),
    derived: Buffer.from(candidate.derive(PROOF_CONTEXT, input)).toString('hex', 0, 8),
  }
  const isSame =
    found.hash === PROOF.hash && found.keyed === PROOF.keyed && found.derived === PROOF.derived
  if (!isSame) {
    throw new CairnError(
      'CAIRN_FAILED',
      `cannot use ${candidate.implementation} BLAKE3: wrong hash`,
    )
  }
  return candidate
}
