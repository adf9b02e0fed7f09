/** Options of the commands that show a repository as a tree. */

import { parseSize } from '../../base/units.ts'
import { PATH_TEMPLATES, templateProblem } from '../../service/browse/snapshot-layout.ts'
import { list, mapped, nonEmpty, usage, type Values } from '../option.ts'

const CACHE_BYTES_DEFAULT = 256 << 20
const CACHE_BYTES_MIN = 16 << 20

function readCacheSize(value: string | undefined, spelling: string): number {
  if (value === undefined) return CACHE_BYTES_DEFAULT
  const byteCount = parseSize(value)
  if (byteCount < CACHE_BYTES_MIN) throw usage(`${spelling} needs 16M at least`)
  return byteCount
}

function readTemplates(values: readonly string[], spelling: string): readonly string[] {
  for (const template of values) {
    const problem = templateProblem(template)
    if (problem !== undefined) {
      throw usage(`'${template}' is not a value of ${spelling}: ${problem}`)
    }
  }
  return values.length === 0 ? PATH_TEMPLATES : values
}

export const BROWSE_OPTIONS = {
  'path-template': mapped(list('where snapshots appear (repeatable)', 'template'), readTemplates),
  'time-template': nonEmpty('how %T looks, by the time 2006-01-02T15:04:05Z07:00', 'template'),
  'cache-size': mapped(nonEmpty('memory for what has been read (256M)', 'size'), readCacheSize),
} as const

export type BrowseArguments = Values<typeof BROWSE_OPTIONS>

export function checkTimeTemplate({ timeTemplate }: BrowseArguments): void {
  if (timeTemplate?.includes('/') === true) {
    throw usage('--time-template makes a name: it cannot have a slash')
  }
}
