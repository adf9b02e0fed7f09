/** The C library, for the calls that Node lacks. The one place that loads koffi: about 10 ms a thread. */

import { createRequire } from 'node:module'

export type Koffi = typeof import('koffi')
export type Library = ReturnType<Koffi['load']>

const LIBRARY_NAMES: Readonly<Record<string, readonly string[]>> = {
  x64: ['libc.so.6', 'libc.musl-x86_64.so.1'],
  arm64: ['libc.so.6', 'libc.musl-aarch64.so.1'],
}

function loadKoffi(): Koffi {
  return createRequire(import.meta.url)('koffi') as Koffi
}

/** Where in memory a buffer begins, or undefined where there is no koffi for this machine. */
export function addressOf(buffer: ArrayBuffer): bigint | undefined {
  try {
    return loadKoffi().address(buffer)
  } catch {
    return undefined
  }
}

/**
 * The library and what binds it. Throws where there is no koffi for this machine, or where the
 * library is not known.
 */
export function cLibrary(): { readonly koffi: Koffi; readonly library: Library } {
  const names = process.platform === 'linux' ? LIBRARY_NAMES[process.arch] : undefined
  let failure: unknown = new Error(
    `the C library of ${process.platform} ${process.arch} is not known`,
  )
  if (names === undefined) throw failure
  const koffi = loadKoffi()
  for (const name of names) {
    try {
      return { koffi, library: koffi.load(name) }
    } catch (error) {
      failure = error
    }
  }
  throw failure
}
