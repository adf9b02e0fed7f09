/**
 * Walks the tree to restore, depth first: makes directories, restores what is no regular file, and
 * hands files on in windows. Nothing that a tree says is trusted: names, order, depth and types are
 * checked here, and an entry that fails is told and passed over.
 */

import { type ByteString, bytesOf } from '../../base/bytes.ts'
import { CairnError, isCairnError, throwIfAborted } from '../../base/errors.ts'
import { LIMIT } from '../../format/constants.ts'
import { ENTRY_TYPE, type NodeRoot, type TreeEntry } from '../../format/tree.ts'
import { readDirectory } from '../../repository/tree-reader.ts'
import type { SourceStat } from '../../source/source-files.ts'
import { Directories, type RestoredDirectory } from './directories.ts'
import { decideOverwrite, type Decision } from './overwrite.ts'
import { join, type RestoreContext } from './restore-context.ts'
import { Selection } from './selection.ts'
import { SpecialEntries } from './special-entries.ts'
import { wantedXattrs } from './wanted-xattrs.ts'
import { type FileTask, type LinkGroup, Window } from './window.ts'

export interface WalkOptions {
  readonly context: RestoreContext
  readonly directories: Directories
  readonly selection: Selection
  /** Takes a window. Resolves when another may be filled. */
  readonly onWindow: (window: Window) => Promise<void>
}

interface Frame {
  readonly directory: RestoredDirectory
  readonly leaves: AsyncGenerator<TreeEntry[]>
  entries: readonly TreeEntry[]
  next: number
  lastName: ByteString | undefined
}

export class Walk {
  readonly #context: RestoreContext
  readonly #directories: Directories
  readonly #selection: Selection
  readonly #onWindow: WalkOptions['onWindow']
  readonly #stack: Frame[] = []
  /** Grows with the files that have several names, which are few. */
  readonly #links = new Map<bigint, LinkGroup>()
  readonly #specials: SpecialEntries
  #window = new Window()

  constructor(options: WalkOptions) {
    this.#context = options.context
    this.#directories = options.directories
    this.#selection = options.selection
    this.#onWindow = options.onWindow
    this.#specials = new SpecialEntries(options.context)
  }

  async run(): Promise<void> {
    const { environment, root, signal } = this.#context.options
    this.#enter(this.#directories.root(), root)
    for (let frame = this.#stack.at(-1); frame !== undefined; frame = this.#stack.at(-1)) {
      const entry = frame.entries[frame.next++]
      if (entry !== undefined) {
        const { xattrsId } = entry
        this.#visit(frame, xattrsId === undefined ? entry : await this.#complete(frame, entry))
        if (this.#window.isFull) await this.#flush()
      } else if (!(await this.#nextLeaf(frame))) {
        this.#stack.pop()
        this.#window.leave(frame.directory)
      } else {
        throwIfAborted(signal)
        await environment.yield()
      }
    }
    await this.#flush()
  }

  /** The entry, with the attributes that it keeps elsewhere: where they are set while it is visited. */
  async #complete({ directory }: Frame, entry: TreeEntry): Promise<TreeEntry> {
    if (entry.type === ENTRY_TYPE.file || entry.type === ENTRY_TYPE.directory) return entry
    const { xattrsId: _, ...inline } = entry
    const path = join(directory.path, entry.name)
    const xattrs = (await wantedXattrs(this.#context, { path, entry })) ?? []
    return { ...inline, xattrs: xattrs.map(([name, value]) => [bytesOf(name), value]) }
  }

  async #flush(): Promise<void> {
    const window = this.#window
    this.#window = window.next()
    await this.#onWindow(window)
  }

  #enter(directory: RestoredDirectory, root: NodeRoot): void {
    const { blobs, signal } = this.#context.options
    const fail = (error: Error) => {
      directory.isDamaged = true
      this.#context.reporter.failure(directory.path, error)
    }
    const leaves = readDirectory(blobs, root, {
      signal,
      onRefused: ({ name, problem }) => {
        directory.isDamaged = true
        this.#refuse(join(directory.path, name), `its name is refused: ${problem}`)
      },
      onDamage: (cause) => fail(damagedDirectory(cause)),
    })
    this.#stack.push({ directory, leaves, entries: [], next: 0, lastName: undefined })
  }

  /** False at the end of the directory. */
  async #nextLeaf(frame: Frame): Promise<boolean> {
    if (frame.directory.state === 'refused') return false
    try {
      const leaf = await frame.leaves.next()
      frame.entries = leaf.done === true ? [] : leaf.value
      frame.next = 0
      return leaf.done !== true
    } catch (error) {
      frame.directory.isDamaged = true
      this.#context.reporter.failure(frame.directory.path, damagedDirectory(error))
      return false
    }
  }

  #refuse(path: ByteString, problem: string): void {
    this.#context.reporter.error(
      path,
      new CairnError('CAIRN_CORRUPT', `cannot restore: ${problem}`),
    )
  }

  #visit(frame: Frame, entry: TreeEntry): void {
    const { directory } = frame
    const { lastName } = frame
    if (directory.state === 'refused') return
    const path = join(directory.path, entry.name)
    if (lastName !== undefined && entry.name <= lastName) {
      directory.isDamaged = true
      return this.#refuse(path, 'its name is refused: it is out of order or there twice')
    }
    frame.lastName = entry.name
    directory.wanted?.add(entry.name)
    const isSelected = this.#selection.selects(path)
    if (isSelected && this.#context.kept.holds(path)) {
      const problem = new CairnError('CAIRN_INCOMPLETE', 'cannot restore: the repository is there')
      return this.#context.reporter.error(path, problem)
    }
    if (entry.type === ENTRY_TYPE.directory) return this.#visitDirectory(frame, entry, isSelected)
    if (!isSelected) return
    if (entry.unknownCritical === true) {
      return this.#refuse(path, 'it needs a newer version of cairn')
    }
    if (!this.#directories.make(directory)) return
    try {
      this.#restore(directory, path, entry)
    } catch (error) {
      this.#context.reporter.failure(path, error)
    }
  }

  #visitDirectory(frame: Frame, entry: TreeEntry, isSelected: boolean): void {
    const directory = this.#directories.child(frame.directory, entry, isSelected)
    const { path } = directory
    if (!this.#selection.maySelectBelow(path, isSelected)) return
    if (entry.unknownCritical === true) {
      return this.#refuse(path, 'it needs a newer version of cairn')
    }
    if (this.#stack.length > LIMIT.depthMax) {
      return this.#refuse(path, `it is more than ${LIMIT.depthMax} directories deep`)
    }
    if (entry.subtree === undefined) return this.#refuse(path, 'it is a directory without contents')
    if (isSelected && !this.#directories.make(directory)) return
    this.#enter(directory, entry.subtree)
  }

  #restore(directory: RestoredDirectory, path: ByteString, entry: TreeEntry): void {
    const { options, reporter, target } = this.#context
    let existing = this.#directories.stat(directory, entry.name)
    const decision = decideOverwrite(entry, existing, options.overwrite)
    if (decision === 'skip') return reporter.skip(entry.linkGroup === undefined ? entry.size : 0)
    if (decision === 'blocked') {
      if (!options.delete || this.#context.kept.isIn(path)) {
        throw new CairnError('CAIRN_INCOMPLETE', 'cannot restore: a directory is in its place')
      }
      if (!options.dryRun) target?.remove(path)
      existing = undefined
    }
    if (entry.type === ENTRY_TYPE.file) {
      this.#restoreFile({ directory, path, entry, existing, decision })
    } else {
      const besidePath = decision === 'beside' ? this.#beside(directory, path) : undefined
      this.#specials.restore({ path, entry, existing, besidePath })
    }
  }

  #restoreFile(found: {
    readonly directory: RestoredDirectory
    readonly path: ByteString
    readonly entry: TreeEntry
    readonly existing: SourceStat | undefined
    readonly decision: Decision
  }): void {
    const { directory, path, entry, existing, decision } = found
    const check = decision === 'compare' || decision === 'adopt' ? decision : 'none'
    const keepsBoth = existing !== undefined && this.#context.options.overwrite === 'keep-both'
    const besidePath = keepsBoth ? this.#beside(directory, path) : undefined
    const isBeside = decision === 'beside' && besidePath !== undefined
    const task: FileTask = {
      entry,
      directory,
      path: isBeside ? besidePath : path,
      state: 'pending',
      check,
      replaces: existing !== undefined && !isBeside,
      besidePath,
    }
    const { linkGroup } = entry
    const known = linkGroup === undefined ? undefined : this.#links.get(linkGroup)
    this.#context.reporter.expect(known === undefined ? entry.size : 0)
    if (known !== undefined) return this.#window.addLink({ ...task, first: known })
    if (linkGroup !== undefined) this.#links.set(linkGroup, { task })
    this.#window.add(task)
  }

  /** A free name next to what is to stay. */
  #beside(directory: RestoredDirectory, path: ByteString): ByteString {
    for (let count = 1; ; count++) {
      const beside = count === 1 ? `${path}.restored` : `${path}.restored-${count}`
      const name = beside.slice(beside.lastIndexOf('/') + 1)
      if (this.#directories.stat(directory, name) === undefined) return beside
    }
  }
}

function damagedDirectory(cause: unknown): Error {
  if (cause instanceof Error && !isCairnError(cause, 'CAIRN_CORRUPT')) return cause
  return new CairnError('CAIRN_CORRUPT', 'cannot read directory', { cause })
}
