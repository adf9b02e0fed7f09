/** The lists of paths to back up that --files-from, --files-from-verbatim and -raw name. */

import { byteString, type ByteString, textOf } from '../base/bytes.ts'
import { CairnError } from '../base/errors.ts'
import { partsOf } from '../base/paths.ts'
import { compileComponent } from './glob-component.ts'
import { meaningfulLines, textLines } from './pattern-file.ts'
import type { SourceFiles } from './source-files.ts'
import { errorCode } from './system-error.ts'

export interface FilesFrom {
  readonly paths: ByteString[]
  /** Lines that no file matched: said to the user, and left out. */
  readonly unmatched: ByteString[]
}

/** A pattern a line, expanded against the file system; `#` comments and empty lines say nothing. */
export function parseFilesFrom(bytes: Uint8Array, files: SourceFiles): FilesFrom {
  const paths: ByteString[] = []
  const unmatched: ByteString[] = []
  for (const line of meaningfulLines(bytes)) {
    const found = expandGlob(line, files)
    for (const path of found) paths.push(path)
    if (found.length === 0) unmatched.push(line)
  }
  return { paths, unmatched }
}

/** A path a line, every byte of it. */
export function parseFilesFromVerbatim(bytes: Uint8Array): ByteString[] {
  return textLines(bytes).filter((line) => line !== '')
}

/** Paths that each end with a zero byte, as from `find -print0`. */
export function parseFilesFromRaw(bytes: Uint8Array): ByteString[] {
  const paths = byteString(bytes).split('\0')
  if (paths.pop() !== '') {
    throw new CairnError(
      'CAIRN_USAGE',
      'cannot read the list of files: the last zero byte is missing',
    )
  }
  if (paths.includes('')) {
    throw new CairnError('CAIRN_USAGE', 'cannot read the list of files: it has an empty name')
  }
  return paths
}

/** The paths that match `pattern`, in order. Here `**` is no more than `*`, as in restic. */
export function expandGlob(pattern: ByteString, files: SourceFiles): ByteString[] {
  let bases: ByteString[] = [pattern.startsWith('/') ? '/' : '']
  const components = partsOf(pattern)
  // A malformed pattern is an error even where nothing would have been compared with it.
  const matchers = components.map((component) => {
    const matcher = compileComponent(component)
    if (matcher === undefined) {
      throw new CairnError('CAIRN_USAGE', `invalid pattern '${textOf(pattern)}'`)
    }
    return matcher
  })
  components.forEach((component, index) => {
    const matcher = matchers[index]
    if (matcher === undefined || !/[\\[*?]/.test(component)) {
      bases = bases.map((base) => join(base, component))
    } else {
      bases = bases.flatMap((base) =>
        namesIn(base, files)
          .filter(matcher)
          .map((name) => join(base, name)),
      )
    }
  })
  return bases.filter((path) => path !== '' && exists(path, files))
}

function join(base: ByteString, name: ByteString): ByteString {
  return base === '' || base.endsWith('/') ? base + name : `${base}/${name}`
}

/** Of a directory, also behind a link; nothing of what cannot be listed, as a shell does it. */
function namesIn(base: ByteString, files: SourceFiles): ByteString[] {
  try {
    return files.readDirectory(base === '' ? '.' : join(base, '.'))
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return []
  }
}

function exists(path: ByteString, files: SourceFiles): boolean {
  try {
    return files.lstat(path) !== undefined
  } catch (error) {
    if (errorCode(error) === undefined) throw error
    return false
  }
}
