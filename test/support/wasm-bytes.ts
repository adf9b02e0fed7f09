/** A view on WebAssembly memory, which is where the hot path keeps what it reads. */

interface WasmApi {
  readonly Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer }
}

export function wasmBytes(byteCount: number): Uint8Array {
  const { Memory } = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly
  const { buffer } = new Memory({ initial: Math.ceil((byteCount + 100) / 65_536) })
  return new Uint8Array(buffer, 100, byteCount)
}
