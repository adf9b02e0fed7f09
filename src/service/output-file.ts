/** A file that a command writes its output to: whole under its name, or not at all. */

import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises'
import process from 'node:process'
import { CairnError } from '../base/errors.ts'

export interface OutputFile {
  write(bytes: Uint8Array): Promise<void>
  /** Makes it durable and gives it its name. */
  commit(): Promise<void>
  /** Removes what was written, as far as it has been written to a file of its own. */
  discard(): Promise<void>
}

function failure(path: string, cause: unknown): CairnError {
  return new CairnError('CAIRN_FAILED', `cannot write '${path}'`, { cause })
}

async function about<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw failure(path, error)
  }
}

/** Undefined if there is nothing. Links are followed: the file behind them is replaced. */
async function existing(path: string) {
  try {
    return { path: await realpath(path), stats: await stat(path) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw failure(path, error)
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at)
    at += bytesWritten
  }
}

/** A pipe or a device is written as it comes. Throws CAIRN_FAILED. */
export async function openOutputFile(path: string): Promise<OutputFile> {
  const found = await existing(path)
  if (found?.stats.isDirectory() === true) {
    throw new CairnError('CAIRN_FAILED', `cannot write '${path}': it is a directory`)
  }
  if (found !== undefined && !found.stats.isFile()) {
    const handle = await about(path, open(path, 'w'))
    return {
      write: (bytes) => about(path, writeAll(handle, bytes)),
      commit: () => about(path, handle.close()),
      discard: () => about(path, handle.close()),
    }
  }
  const final = found?.path ?? path
  const temporary = `${final}.${process.pid}.part`
  const handle = await about(temporary, open(temporary, 'wx', found?.stats.mode ?? 0o666))
  return {
    write: (bytes) => about(path, writeAll(handle, bytes)),
    commit: async () => {
      await about(path, handle.sync())
      await about(path, handle.close())
      await about(path, rename(temporary, final))
    },
    discard: async () => {
      await handle.close()
      await rm(temporary, { force: true })
    },
  }
}
