/**
 * Directories of the target: made before anything in them, with mode 0700; finished after
 * everything in them, deepest first.
 */

import type { ByteString } from '../../base/bytes.ts'
import { CairnError } from '../../base/errors.ts'
import { isWithin } from '../../base/paths.ts'
import type { TreeEntry } from '../../format/tree.ts'
import type { SourceStat } from '../../source/source-files.ts'
import { isTemporaryName, type Target } from '../../source/target-files.ts'
import { mayChangeDirectory, mayReplaceByDirectory } from './overwrite.ts'
import { join, reportUnset, type RestoreContext, targetMetadata } from './restore-context.ts'
import type { Selection } from './selection.ts'
import { wantedXattrs } from './wanted-xattrs.ts'

export interface RestoredDirectory {
  readonly path: ByteString
  /** Undefined for the restored root, whose metadata is nobody's. */
  readonly entry: TreeEntry | undefined
  readonly parent: RestoredDirectory | undefined
  readonly isSelected: boolean
  /** `refused`: it cannot be had, nor anything in it. */
  state: 'unmade' | 'created' | 'existing' | 'refused'
  /** What was there before the directory was made usable. */
  before: SourceStat | undefined
  /** The names in it before; undefined if it was not there. */
  names: ReadonlySet<ByteString> | undefined
  /** Names in the snapshot; only kept where what is not among them is deleted. */
  readonly wanted: Set<ByteString> | undefined
  /** Not all of its entries are known: nothing is deleted in it. */
  isDamaged: boolean
  isFinished: boolean
}

/** A file system that takes two names for one: what is in one directory is not for the other. */
function nameIsTaken(): CairnError {
  return new CairnError(
    'CAIRN_INCOMPLETE',
    'cannot restore directory: its name is that of another one on this file system',
  )
}

export class Directories {
  readonly #context: RestoreContext
  readonly #selection: Selection

  constructor(context: RestoreContext, selection: Selection) {
    this.#context = context
    this.#selection = selection
  }

  get #isDry(): boolean {
    return this.#context.options.dryRun
  }

  root(): RestoredDirectory {
    const { target } = this.#context
    const root: RestoredDirectory = {
      path: '',
      entry: undefined,
      parent: undefined,
      isSelected: false,
      state: target === undefined ? 'created' : 'existing',
      before: undefined,
      names: undefined,
      wanted: this.#wantedIn(''),
      isDamaged: false,
      isFinished: false,
    }
    if (target !== undefined) this.#look(root, target)
    return root
  }

  child(parent: RestoredDirectory, entry: TreeEntry, isSelected: boolean): RestoredDirectory {
    const path = join(parent.path, entry.name)
    return {
      path,
      entry,
      parent,
      isSelected,
      state: 'unmade',
      before: undefined,
      names: undefined,
      wanted: this.#wantedIn(path),
      isDamaged: false,
      isFinished: false,
    }
  }

  /** Makes the directory and those above it. False, and told once, if that cannot be done. */
  make(directory: RestoredDirectory): boolean {
    if (directory.state === 'unmade') {
      const { parent } = directory
      if (parent !== undefined && !this.make(parent)) directory.state = 'refused'
      else this.#make(directory)
    }
    return directory.state !== 'refused'
  }

  #make(directory: RestoredDirectory): void {
    const { reporter, target } = this.#context
    if (directory.isSelected) reporter.expect(0)
    try {
      const before = this.existing(directory)
      if (before !== undefined && before.type !== 'directory') {
        this.#replace(directory, before)
      } else if (before !== undefined) directory.before = before
      const isThere = directory.before !== undefined
      directory.state = isThere ? 'existing' : 'created'
      if (!this.#isDry) directory.state = target?.makeDirectory(directory.path) ?? 'created'
      if (directory.state === 'existing' && !isThere) throw nameIsTaken()
      if (directory.state === 'existing' && target !== undefined) this.#look(directory, target)
    } catch (error) {
      directory.state = 'refused'
      reporter.failure(directory.path, error)
    }
  }

  #replace(directory: RestoredDirectory, before: SourceStat): void {
    const { options, target } = this.#context
    const { entry, path } = directory
    if (entry === undefined || !mayReplaceByDirectory(entry, before, options.overwrite)) {
      throw new CairnError(
        'CAIRN_INCOMPLETE',
        `cannot restore directory: a ${before.type} is in its place`,
      )
    }
    if (!this.#isDry) target?.remove(path)
  }

  /** What is at the place of a directory whose parent has been made. */
  existing({ parent, path }: RestoredDirectory): SourceStat | undefined {
    const name = path.slice(path.lastIndexOf('/') + 1)
    return parent === undefined ? undefined : this.stat(parent, name)
  }

  /** What is at a name of a directory that has been made. */
  stat(directory: RestoredDirectory, name: ByteString): SourceStat | undefined {
    if (directory.names?.has(name) !== true) return undefined
    return this.#context.target?.lstat(join(directory.path, name))
  }

  /** Reads the names that are there, and clears away what a killed restore has left. */
  #look(directory: RestoredDirectory, target: Target): void {
    const names = new Set(target.readDirectory(directory.path))
    for (const name of names) {
      if (!isTemporaryName(name)) continue
      const path = join(directory.path, name)
      if (target.lstat(path)?.type === 'directory') continue
      if (!this.#isDry) target.remove(path)
      names.delete(name)
    }
    directory.names = names
  }

  /** Only what is at or below the snapshot's own paths is complete in it. */
  #wantedIn(path: ByteString): Set<ByteString> | undefined {
    const { options } = this.#context
    if (!options.delete) return undefined
    const root = options.rootPath === '/' ? '' : options.rootPath
    const absolute = path === '' ? options.rootPath : `${root}/${path}`
    const isComplete = options.sourcePaths.some((source) => isWithin(absolute, source))
    return isComplete ? new Set() : undefined
  }

  /** Makes a finished directory usable again; it is to be finished once more. */
  reopen({ path }: RestoredDirectory): void {
    const { reporter, target } = this.#context
    try {
      if (!this.#isDry && path !== '') target?.makeDirectory(path)
    } catch (error) {
      reporter.failure(path, error)
    }
  }

  /** To be called when all in it is done. */
  async finish(directory: RestoredDirectory): Promise<void> {
    const { reporter } = this.#context
    if (directory.state === 'unmade' || directory.state === 'refused') return
    try {
      if (!directory.isFinished) this.#deleteUnwanted(directory)
      await this.#setMetadata(directory)
      if (!directory.isSelected || directory.isFinished) return
      directory.isFinished = true
      reporter.restored(directory.path, directory.before !== undefined)
    } catch (error) {
      reporter.failure(directory.path, error)
    }
  }

  #deleteUnwanted(directory: RestoredDirectory): void {
    const { names, wanted, isDamaged } = directory
    if (names === undefined || wanted === undefined || isDamaged) return
    const { reporter, target, kept } = this.#context
    for (const name of names) {
      const path = join(directory.path, name)
      if (wanted.has(name) || !this.#selection.selects(path) || kept.isIn(path)) continue
      try {
        if (!this.#isDry) target?.remove(path)
        reporter.deleted(path)
      } catch (error) {
        reporter.failure(path, error)
      }
    }
  }

  async #setMetadata({
    path,
    entry,
    isSelected,
    isFinished,
    before,
  }: RestoredDirectory): Promise<void> {
    const { options, reporter, target } = this.#context
    if (entry === undefined || this.#isDry || target === undefined) return
    const isOurs =
      before === undefined || (isSelected && mayChangeDirectory(entry, before, options.overwrite))
    if (isOurs) {
      const xattrs = await wantedXattrs(this.#context, { path, entry })
      const metadata = targetMetadata(this.#context, entry, xattrs)
      const isNew = before === undefined && !isFinished
      const failures = target.setMetadata(path, 'directory', metadata, { isNew })
      reportUnset(reporter, path, failures)
      return
    }
    // It was opened up to be worked in.
    const flags = target.liftedFlags.get(path)
    if ((before.mode & 0o700) !== 0o700 || flags !== undefined) {
      const kept = flags === undefined ? {} : { flags }
      target.setMetadata(path, 'directory', { mode: before.mode, ...kept })
    }
  }
}
