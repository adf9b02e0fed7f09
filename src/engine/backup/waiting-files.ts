/** Files that the scan has found and that nobody reads yet, in order. */

import type { PendingFile } from './scan-options.ts'

/** `Array.shift` moves everything that is behind, once an array is large: taken files go in lots. */
const LOT = 2048

export class WaitingFiles {
  #files: (PendingFile | undefined)[] = []
  #first = 0
  #byteCount = 0

  get length(): number {
    return this.#files.length - this.#first
  }

  get byteCount(): number {
    return this.#byteCount
  }

  push(file: PendingFile): void {
    this.#files.push(file)
    this.#byteCount += file.stat.size
  }

  shift(): PendingFile | undefined {
    const file = this.#files[this.#first]
    if (file === undefined) return undefined
    this.#files[this.#first++] = undefined
    this.#byteCount -= file.stat.size
    if (this.#first === LOT || this.#first === this.#files.length) {
      this.#files = this.#files.slice(this.#first)
      this.#first = 0
    }
    return file
  }

  /** At most `count` of the next, which stay. */
  peek(count: number): PendingFile[] {
    const next = this.#files.slice(this.#first, this.#first + count)
    return next.filter((file) => file !== undefined)
  }
}
