/** The real source files, with something going wrong at a moment that a test chooses. */

import type { ByteString } from '../../src/base/bytes.ts'
import type { Environment } from '../../src/engine/environment.ts'
import type { ExtendedMetadata } from '../../src/source/extended-metadata.ts'
import type { SourceStat } from '../../src/source/source-files.ts'

/** Each is called before the real thing, and may change the file or throw in its stead. */
export interface SourceFaults {
  readonly onLstat?: (path: ByteString) => void
  readonly onReadDirectory?: (path: ByteString) => void
  readonly onReadLink?: (path: ByteString) => void
  readonly onOpen?: (path: ByteString) => void
  readonly onRead?: (path: ByteString, position: number, length: number) => void
  readonly onClose?: (path: ByteString) => void
  /** In the place of what the system says of the names of a directory. */
  readonly names?: (path: ByteString, names: ByteString[]) => ByteString[]
  readonly stat?: (path: ByteString, stat: SourceStat) => SourceStat
  readonly extended?: (path: ByteString) => ExtendedMetadata | undefined
}

export function withSourceFaults(environment: Environment, faults: SourceFaults): Environment {
  const { source } = environment
  return {
    ...environment,
    source: {
      ...source,
      hasExtended: source.hasExtended,
      lstat: (path) => {
        faults.onLstat?.(path)
        const stat = source.lstat(path)
        return stat === undefined ? undefined : (faults.stat?.(path, stat) ?? stat)
      },
      readDirectory: (path) => {
        faults.onReadDirectory?.(path)
        const names = source.readDirectory(path)
        return faults.names?.(path, names) ?? names
      },
      readLink: (path) => {
        faults.onReadLink?.(path)
        return source.readLink(path)
      },
      extended: (path, stat) => faults.extended?.(path) ?? source.extended(path, stat),
      open: (path) => {
        faults.onOpen?.(path)
        const opened = source.open(path)
        return {
          stat: faults.stat?.(path, opened.stat) ?? opened.stat,
          statNow: () => faults.stat?.(path, opened.statNow()) ?? opened.statNow(),
          read: (into, offset, length, position) => {
            faults.onRead?.(path, position, length)
            return opened.read(into, offset, length, position)
          },
          mayHaveHoles: opened.mayHaveHoles,
          nextData: (position) => opened.nextData(position),
          extended: () => faults.extended?.(path) ?? opened.extended(),
          close: () => {
            opened.close()
            faults.onClose?.(path)
          },
        }
      },
    },
  }
}
