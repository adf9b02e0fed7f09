/** The real source files, with something going wrong at a moment that a test chooses. */

import type { ByteString } from '../../src/base/bytes.ts'
import type { Environment } from '../../src/engine/environment.ts'
import type { ExtendedMetadata } from '../../src/source/extended-metadata.ts'
import type { SourceStat } from '../../src/source/source-files.ts'

/** Each is called before the real thing, and may change the file or throw in its stead. */
export interface SourceFaults {
  readonly onLook?: (path: ByteString) => void
  readonly onOpenDirectory?: (path: ByteString) => void
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
      openDirectory: (path, follow) => {
        faults.onOpenDirectory?.(path)
        const directory = source.openDirectory(path, follow)
        const below = (name: ByteString) => (path === '/' ? `/${name}` : `${path}/${name}`)
        return {
          stat: faults.stat?.(path, directory.stat) ?? directory.stat,
          names: () => {
            faults.onReadDirectory?.(path)
            const names = directory.names()
            return faults.names?.(path, names) ?? names
          },
          look: (name, followLink) => {
            faults.onLook?.(below(name))
            const stat = directory.look(name, followLink)
            return stat === undefined ? undefined : (faults.stat?.(below(name), stat) ?? stat)
          },
          readLink: (name) => {
            faults.onReadLink?.(below(name))
            return directory.readLink(name)
          },
          extended: (name, stat) =>
            faults.extended?.(below(name)) ?? directory.extended(name, stat),
          ownExtended: () => faults.extended?.(path) ?? directory.ownExtended(),
          close: () => directory.close(),
        }
      },
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

/** Directories above `root`, which others may change at any time, look the same every time. */
export function withSteadyParents(environment: Environment, root: ByteString): Environment {
  const moment = 1_700_000_000_000_000_000n
  const stat = (path: ByteString, seen: SourceStat): SourceStat => {
    if (path !== '/' && !root.startsWith(`${path}/`)) return seen
    return { ...seen, mtimeNs: moment, ctimeNs: moment }
  }
  return withSourceFaults(environment, { stat })
}
