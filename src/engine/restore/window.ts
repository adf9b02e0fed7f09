/** A stretch of the walk that is restored together, so that memory does not grow with a snapshot. */

import type { ByteString } from '../../base/bytes.ts'
import { LIMIT, REFERENCE_BYTES } from '../../format/constants.ts'
import type { TreeEntry } from '../../format/tree.ts'
import type { RestoredDirectory } from './directories.ts'

export type TaskState =
  | 'pending'
  /** Written by this restore. */
  | 'restored'
  /** Was there and the same. */
  | 'kept'
  | 'failed'

/** A regular file to restore. */
export interface FileTask {
  readonly entry: TreeEntry
  readonly directory: RestoredDirectory
  path: ByteString
  state: TaskState
  /** What to find out about an existing file before it is written anew. */
  check: 'none' | 'compare' | 'adopt'
  /** Whether something is there that the file replaces. */
  replaces: boolean
  /** A free name for it, if what is there is to stay. */
  readonly besidePath: ByteString | undefined
}

/** Another name of a file that was met before. */
export interface LinkTask extends FileTask {
  readonly first: LinkGroup
}

/** The entries of one `linkGroup`: the file that the others are linked to. */
export interface LinkGroup {
  task: FileTask
}

/** A share of it for each blob, one for the file. */
export function weightOf(entry: TreeEntry): number {
  if (entry.contentList !== undefined)
    return Math.max(LIMIT.inlineReferencesMax, Math.ceil(entry.size / 131_072))
  return 1 + (entry.content?.length ?? 0) / REFERENCE_BYTES
}

const WEIGHT_MAX = 128 * 1024
/** Workers should not wait until 128 k blobs have been planned. */
const WEIGHT_FIRST = 4 * 1024
const WEIGHT_GROWTH = 4

export class Window {
  readonly files: FileTask[] = []
  readonly links: LinkTask[] = []
  /** Deepest first. */
  readonly left: RestoredDirectory[] = []
  readonly #weightMax: number
  #weight = 0

  constructor(weightMax = WEIGHT_FIRST) {
    this.#weightMax = weightMax
  }

  add(task: FileTask): void {
    this.files.push(task)
    this.#weight += weightOf(task.entry)
  }

  addLink(task: LinkTask): void {
    this.links.push(task)
    this.#weight++
  }

  leave(directory: RestoredDirectory): void {
    this.left.push(directory)
    this.#weight++
  }

  get isFull(): boolean {
    return this.#weight >= this.#weightMax
  }

  next(): Window {
    return new Window(Math.min(WEIGHT_MAX, this.#weightMax * WEIGHT_GROWTH))
  }
}
