/** How the C library keeps memory that was freed. */

import { cLibrary } from '../base/c-library.ts'

/** glibc's, of malloc.h. */
const M_ARENA_MAX = -8
const ARENAS = 2

/**
 * From now on threads share two heaps, where glibc would give each of them one of its own, and hardly
 * ever take back what is free in it. Does nothing where there is another C library. Loads koffi:
 * about 10 ms.
 */
export function shareHeaps(): void {
  if (process.platform !== 'linux') return
  try {
    const mallopt = cLibrary().library.func('int mallopt(int, int)') as (
      parameter: number,
      value: number,
    ) => number
    mallopt(M_ARENA_MAX, ARENAS)
  } catch {
    // No koffi, or a C library without it: more memory is used.
  }
}
