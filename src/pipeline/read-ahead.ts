/**
 * Has the system read the next files of a batch while one of them is worked on. Files that are on the
 * disk would be waited for one after the other: a first backup of 55,000 that were not in the page
 * cache took 1.4 times as long. One that is in the cache would only be opened twice; so the first
 * files of a batch are read without, and tell by the time that takes.
 */

import type { ByteString } from '../base/bytes.ts'
import type { Clock } from '../base/seams.ts'
import type { SourceFiles } from '../source/source-files.ts'

/** Files begun before they are needed: enough to keep a disk busy, and 16 MiB at most. */
const FILES_AHEAD = 16
/** Files that are read without, and how many of them must have been slow. */
const TRIAL_FILES = 4
const SLOW_FILES_MIN = 2
/** Batches that rely on what one has shown. */
const BATCHES_PER_TRIAL = 8

/** A read that takes longer than this, and a millisecond for each MiB, is one from the disk. */
const SLOW_MS = 0.1
const MIB = 1 << 20

export class ReadAhead {
  readonly #source: SourceFiles
  readonly #clock: Clock
  #paths: readonly ByteString[] = []
  /** How many files of the batch are begun or past. */
  #begun = 0
  #isOn = false
  /** Batches that are yet to be read ahead without a trial. */
  #batchesLeft = 0
  #trialsLeft = 0
  #slowCount = 0
  #readStart = 0

  constructor(source: SourceFiles, clock: Clock) {
    this.#source = source
    this.#clock = clock
  }

  /** A batch begins. */
  begin(paths: readonly ByteString[]): void {
    this.#paths = paths
    this.#begun = 0
    this.#slowCount = 0
    this.#isOn = this.#batchesLeft > 0
    if (this.#isOn) this.#batchesLeft--
    const isTrial = !this.#isOn && this.#source.readAhead !== undefined
    this.#trialsLeft = isTrial ? TRIAL_FILES : 0
  }

  /** File `index` of the batch is about to be opened. */
  next(index: number): void {
    if (!this.#isOn) return
    const end = Math.min(this.#paths.length, index + 1 + FILES_AHEAD)
    for (let i = Math.max(this.#begun, index + 1); i < end; i++) {
      this.#source.readAhead?.(this.#paths[i] ?? '')
    }
    this.#begun = end
  }

  /** The first read of a file begins. */
  readBegins(): void {
    if (this.#trialsLeft > 0) this.#readStart = this.#clock.monotonicMs()
  }

  /** It has ended, with so many bytes. */
  readEnded(byteCount: number): void {
    if (this.#trialsLeft === 0) return
    this.#trialsLeft--
    const took = this.#clock.monotonicMs() - this.#readStart
    if (took > SLOW_MS + byteCount / MIB) this.#slowCount++
    if (this.#slowCount < SLOW_FILES_MIN) return
    this.#trialsLeft = 0
    this.#isOn = true
    this.#batchesLeft = BATCHES_PER_TRIAL
  }
}
