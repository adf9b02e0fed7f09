/** A file system seam that records its calls and makes chosen ones fail. */

import type { LocalFileSystem } from '../../../src/storage/local/local-file-system.ts'
import { systemError } from './simulated-disk.ts'

export interface FileSystemCall {
  readonly verb: keyof LocalFileSystem
  readonly args: readonly unknown[]
}

export interface FaultyFileSystem {
  readonly fs: LocalFileSystem
  readonly calls: FileSystemCall[]
}

/**
 * `errnoFor` is asked before each call, with its number from 0, and names the error to fail with.
 * A close that fails has closed, as in the real world.
 */
export function faultyFileSystem(
  inner: LocalFileSystem,
  errnoFor: (call: FileSystemCall, number: number) => string | undefined,
): FaultyFileSystem {
  const calls: FileSystemCall[] = []
  const fs = new Proxy(inner, {
    get(target, key) {
      const verb = key as keyof LocalFileSystem
      const original: unknown = Reflect.get(target, key)
      if (typeof original !== 'function' || verb === 'fileSystemType') return original
      return async (...args: unknown[]) => {
        const call = { verb, args }
        const errno = errnoFor(call, calls.push(call) - 1)
        if (errno === undefined) return Reflect.apply(original, target, args)
        if (verb === 'close') await Reflect.apply(original, target, args)
        throw systemError(errno)
      }
    },
  })
  return { fs, calls }
}
