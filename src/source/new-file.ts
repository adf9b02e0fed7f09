/** A file of a target while it is being written, under its temporary name. */

import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs'
import type { ByteString } from '../base/bytes.ts'
import { assert } from '../base/errors.ts'
import { type Directory, type DirectoryAccess, parentOf } from './directory-handles.ts'
import { setFlags } from './inode-flags.ts'
import { descriptorPath, hasDescriptorPaths } from './native-path.ts'
import { newFileTraits } from './new-file-traits.ts'
import { errorAbout, errorCode } from './system-error.ts'
import type { CommitOptions, MetadataFailure, TargetFile } from './target-files.ts'
import { type TargetMetadata, temporaryName } from './target-files.ts'
import { attempted, setByDescriptor } from './target-metadata.ts'
import { giveName, removeTemporary } from './target-names.ts'

const CREATE_FLAGS =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** The names are random and cannot be planted: this many collisions are a broken file system. */
const TEMPORARY_TRIES = 16

export interface Temporary {
  readonly temporary: ByteString
  readonly descriptor: number
}

/** Makes names that nobody else does, and files by them. */
export class TemporaryNames {
  readonly #token: string
  #count = 0

  /** `token`: 16 random hex digits. */
  constructor(token: string) {
    this.#token = token
  }

  next(): ByteString {
    return temporaryName(this.#token, this.#count++)
  }

  /** Creates an empty file of mode 0600. `shown` is the path for errors. */
  create(directory: Directory, shown: ByteString): Temporary {
    for (let tries = 1; ; tries++) {
      const temporary = this.next()
      try {
        return { temporary, descriptor: openSync(directory.path(temporary), CREATE_FLAGS, 0o600) }
      } catch (error) {
        const isTaken = errorCode(error) === 'EEXIST' && tries < TEMPORARY_TRIES
        if (!isTaken) throw errorAbout(shown, error)
      }
    }
  }
}

/** Writes all of it: a single call may write less, as before a disk is full. */
export function writeFully(
  descriptor: number,
  bytes: Uint8Array,
  range: { readonly offset: number; readonly length: number; readonly position: number },
): void {
  for (let done = 0; done < range.length; ) {
    const { offset, length, position } = range
    done += writeSync(descriptor, bytes, offset + done, length - done, position + done)
  }
}

export interface NewFileOptions extends Temporary {
  readonly access: DirectoryAccess
  readonly path: ByteString
}

export class NewFile implements TargetFile {
  readonly #access: DirectoryAccess
  readonly #path: ByteString
  readonly #temporary: ByteString
  /** Undefined once closed. */
  #descriptor: number | undefined
  /** To be set when the file has its name, by a second descriptor: the first one is closed before. */
  #flags: { readonly flags: number; readonly descriptor: number } | undefined
  #isDone = false

  constructor(options: NewFileOptions) {
    this.#access = options.access
    this.#path = options.path
    this.#temporary = options.temporary
    this.#descriptor = options.descriptor
  }

  #open(): number {
    assert(this.#descriptor !== undefined, 'a target file is written before it is committed')
    return this.#descriptor
  }

  get shared(): number {
    return this.#open()
  }

  write(bytes: Uint8Array, offset: number, length: number, position: number): void {
    try {
      writeFully(this.#open(), bytes, { offset, length, position })
    } catch (error) {
      throw errorAbout(this.#path, error)
    }
  }

  truncate(byteCount: number): void {
    try {
      ftruncateSync(this.#open(), byteCount)
    } catch (error) {
      throw errorAbout(this.#path, error)
    }
  }

  setMetadata(metadata: TargetMetadata): readonly MetadataFailure[] {
    const descriptor = this.#open()
    const { flags = 0, ...others } = metadata
    if (flags !== 0 && this.#flags === undefined && hasDescriptorPaths()) {
      const second = openSync(descriptorPath(descriptor), constants.O_RDONLY)
      this.#flags = { flags, descriptor: second }
    }
    const directory = this.#access.reach(parentOf(this.#path))
    const { origin } = newFileTraits(directory)
    return setByDescriptor(descriptor, others, { shown: this.#path, origin })
  }

  commit({ overwrite }: CommitOptions): readonly MetadataFailure[] {
    assert(!this.#isDone, 'a target file is committed once')
    try {
      this.#closeWritten() // Some file systems report a full disk only here.
      const name = this.#path.slice(this.#path.lastIndexOf('/') + 1)
      const directory = this.#access.reach(parentOf(this.#path))
      const temporary = this.#temporary
      giveName({ directory, temporary, name, overwrite, shown: this.#path })
      this.#isDone = true
      return this.#setFlags()
    } catch (error) {
      throw errorAbout(this.#path, error)
    }
  }

  #setFlags(): readonly MetadataFailure[] {
    if (this.#flags === undefined) return []
    const { flags, descriptor } = this.#flags
    this.#flags = undefined
    try {
      return attempted('flags', this.#path, () => setFlags(descriptor, flags, this.#path))
    } finally {
      closeSync(descriptor)
    }
  }

  discard(): void {
    if (this.#isDone) return
    this.#isDone = true
    try {
      this.#closeWritten()
    } finally {
      if (this.#flags !== undefined) closeSync(this.#flags.descriptor)
      this.#flags = undefined
      removeTemporary(this.#access.reach(parentOf(this.#path)), this.#temporary)
    }
  }

  #closeWritten(): void {
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
