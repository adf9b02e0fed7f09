/**
 * The folders of a repository on a file system, and the question whether they are there at all.
 *
 * An unmounted disk leaves no folder, or an empty one. Neither may look like a repository that
 * simply lacks a file, because somebody deletes or uploads by such answers. So whenever something is
 * missing, this looks for what must be there.
 */

import { dirname, join } from 'node:path'
import { CairnError } from '../../base/errors.ts'
import type { FileKind, FileRef } from '../backend.ts'
import { FILE_KINDS } from '../backend.ts'
import { repositoryPath } from '../file-errors.ts'
import { type DirectorySync, syncDirectory } from './directory-sync.ts'
import { errnoOf, type LocalFileSystem, type LocalStat } from './local-file-system.ts'

export class Place {
  readonly root: string
  readonly temporary: string
  readonly #fs: LocalFileSystem
  readonly #sync: DirectorySync
  /** Directories that are there and whose parents have been told to the next flush. */
  readonly #known = new Set<string>()
  /** Whether this object has seen a repository here: from then on it must not be gone. */
  #seen = false

  constructor(root: string, fs: LocalFileSystem, sync: DirectorySync) {
    this.root = root
    this.temporary = join(root, 'tmp')
    this.#fs = fs
    this.#sync = sync
  }

  pathOf(file: FileRef): string {
    return join(this.root, repositoryPath(file))
  }

  folderOf(kind: FileKind): string {
    return join(this.root, kind)
  }

  /** Call it when a folder of the repository has turned out to be there. */
  noteSeen(): void {
    this.#seen = true
  }

  /** What is at `path`, following links, or undefined. */
  async statIfThere(path: string): Promise<LocalStat | undefined> {
    return absentIsUndefined(this.#fs.stat(path))
  }

  /** What is at `path` itself, or undefined. */
  async lstatIfThere(path: string): Promise<LocalStat | undefined> {
    return absentIsUndefined(this.#fs.lstat(path))
  }

  /**
   * Returns if something that was not found in `kind` is truly absent; rejects if the repository
   * itself is gone. `ifNever` is the code for a place where this object has never seen one.
   */
  async confirmAbsent(kind: FileKind, ifNever: MissingCode = 'CAIRN_STORAGE_DOWN'): Promise<void> {
    const folder = await this.statIfThere(this.folderOf(kind))
    if (folder !== undefined) {
      this.#seen = true
      return
    }
    if (this.#seen) return this.requireRepository()
    await this.#requireRoot(ifNever)
  }

  /** Rejects unless the repository's directory and its config folder are there. */
  async requireRepository(): Promise<void> {
    await this.#requireRoot('CAIRN_STORAGE_DOWN')
    const config = await this.statIfThere(this.folderOf('config'))
    if (config?.type === 'directory') return
    throw new CairnError(
      'CAIRN_STORAGE_DOWN',
      `'${this.root}' holds no repository: its folder 'config' is missing; ` +
        'check the path and that the disk is mounted',
      { details: { path: this.root, errno: 'ENOENT' } },
    )
  }

  async #requireRoot(ifMissing: MissingCode): Promise<void> {
    const root = await this.statIfThere(this.root)
    if (root?.type === 'directory') return
    const found = root === undefined ? 'is not there' : 'is not a directory'
    throw new CairnError(
      root === undefined ? (this.#seen ? 'CAIRN_STORAGE_DOWN' : ifMissing) : REFUSED,
      `the repository '${this.root}' ${found}; check the path and that the disk is mounted`,
      { details: { path: this.root, errno: root === undefined ? 'ENOENT' : 'ENOTDIR' } },
    )
  }

  /**
   * Makes the folder of `file` if need be. In both cases the next flush takes in the folders above:
   * another process may have made it a moment ago.
   */
  async prepareFolderOf(file: FileRef): Promise<string> {
    const kindFolder = this.folderOf(file.kind)
    await this.#prepareKindFolder(kindFolder)
    const folder = dirname(this.pathOf(file))
    if (folder !== kindFolder) await this.#prepare(folder)
    return folder
  }

  /** Copies of a repository may lack empty folders. An unmounted disk must not be given any. */
  async #prepareKindFolder(folder: string): Promise<void> {
    if (this.#known.has(folder)) return
    if ((await this.statIfThere(folder)) === undefined) await this.requireRepository()
    await this.#prepare(folder)
    this.#seen = true
  }

  async prepareTemporary(): Promise<void> {
    await this.requireRepository()
    await makeDirectory(this.#fs, this.temporary)
  }

  async #prepare(folder: string): Promise<void> {
    if (this.#known.has(folder)) return
    await makeDirectory(this.#fs, folder)
    this.#sync.add(dirname(folder))
    this.#known.add(folder)
  }

  /** Something was not found in a folder that had been there: it will be looked for again. */
  forgetFolders(): void {
    this.#known.clear()
  }

  /** Makes the whole layout, repeatably, and leaves all of it to the next flush. */
  async create(): Promise<void> {
    await this.#makeRoot()
    const folders = [...FILE_KINDS.map((kind) => this.folderOf(kind)), this.temporary]
    for (const folder of folders) {
      await makeDirectory(this.#fs, folder)
      const made = await this.#fs.stat(folder)
      if (made.type !== 'directory') throw notADirectory(folder)
      this.#sync.add(folder)
    }
    this.#sync.add(this.root)
    this.#seen = true
  }

  async #makeRoot(): Promise<void> {
    const missing: string[] = []
    let at = this.root
    for (;;) {
      const there = await this.statIfThere(at)
      if (there !== undefined && there.type !== 'directory') throw notADirectory(at)
      if (there !== undefined || dirname(at) === at) break
      missing.push(at)
      at = dirname(at)
    }
    for (const directory of missing.reverse()) {
      await makeDirectory(this.#fs, directory)
      this.#sync.add(dirname(directory))
    }
    await this.#adoptAncestors()
  }

  /**
   * An earlier create may have made folders above and stopped before its flush, so all of them are
   * synced again. The parent has to be; only where it may not even be read, as /home often, it is
   * somebody else's and has been there for long. Those further up may be anything, read-only or of
   * a network, and a complaint of theirs is no reason to fail.
   */
  async #adoptAncestors(): Promise<void> {
    const parent = dirname(this.root)
    try {
      await this.#fs.close(await this.#fs.openDirectory(parent))
      this.#sync.add(parent)
    } catch (error) {
      if (!['EACCES', 'EPERM'].includes(errnoOf(error) ?? '')) throw error
    }
    for (let at = dirname(parent); ; at = dirname(at)) {
      await syncDirectory(this.#fs, at).catch(() => {})
      if (dirname(at) === at) return
    }
  }
}

type MissingCode = 'CAIRN_STORAGE_DOWN' | 'CAIRN_REPOSITORY_MISSING'

const REFUSED = 'CAIRN_STORAGE_REFUSED'

function notADirectory(path: string): CairnError {
  return new CairnError(
    REFUSED,
    `cannot make a repository: '${path}' is not a directory; choose another path`,
    { details: { path, errno: 'ENOTDIR' } },
  )
}

async function makeDirectory(fs: LocalFileSystem, path: string): Promise<void> {
  try {
    await fs.makeDirectory(path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}

async function absentIsUndefined(stat: Promise<LocalStat>): Promise<LocalStat | undefined> {
  try {
    return await stat
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
