/**
 * Where snapshots appear: paths out of templates such as `hosts/%h/%T`, as restic's mount has them.
 * Beside names with times, `latest` links to the newest.
 */

import { type ByteString, byteStringOf } from '../../base/bytes.ts'
import { shortId } from '../../base/ids.ts'
import { partsOf } from '../../base/paths.ts'
import type { Candidate } from '../select-snapshots.ts'
import { formatGoTime } from './go-time.ts'

export const PATH_TEMPLATES = ['ids/%i', 'snapshots/%T', 'hosts/%h/%T', 'tags/%t/%T'] as const

export type LayoutNode =
  | LayoutDirectory
  | { readonly kind: 'snapshot'; readonly candidate: Candidate }
  | { readonly kind: 'link'; readonly target: ByteString }

export interface LayoutDirectory {
  readonly kind: 'directory'
  readonly children: Map<ByteString, LayoutNode>
}

/** What is wrong with a template, or undefined. */
export function templateProblem(template: string): string | undefined {
  const unknown = /%[^iIuhtT]|%$/.exec(template)
  if (unknown !== null) return `'${unknown[0]}' is none of %i %I %u %h %t %T`
  const names = template.split('/')
  if (names.some((name) => name === '.' || name === '..')) return 'it leaves its directory'
  return undefined
}

/** A name out of what somebody wrote: no slash, no reference to a directory. */
function safeName(text: string): string {
  if (/^\.{1,2}$/.test(text)) return '_'.repeat(text.length)
  return text.replace(/[/\0]/g, '_')
}

/** The paths of a snapshot by a template: one for each tag where there is `%t`. */
function pathsOf({ snapshot, ...candidate }: Candidate, template: string, timeTemplate: string) {
  const tags = template.includes('%t') ? candidate.tags : ['']
  const time = formatGoTime(candidate.timeNs, timeTemplate)
  return tags.map((tag) => {
    const values: Readonly<Record<string, string>> = {
      '%i': shortId(candidate.id),
      '%I': candidate.id,
      '%u': snapshot.content?.username ?? '',
      '%h': candidate.hostname,
      '%t': tag,
      '%T': time,
    }
    return partsOf(template)
      .map((part) => safeName(part.replace(/%[iIuhtT]/g, (token) => safeName(values[token] ?? ''))))
      .filter((part) => part !== '')
  })
}

/** The directories of all templates. `candidates` are oldest first. */
export function layOut(
  candidates: readonly Candidate[],
  templates: readonly string[],
  timeTemplate: string,
): LayoutDirectory {
  const root: LayoutDirectory = { kind: 'directory', children: new Map() }
  for (const template of templates) {
    const fixed = template.split('%')[0]?.split('/').slice(0, -1) ?? []
    directoryAt(
      root,
      fixed.filter((part) => part !== ''),
    ) // There even without snapshots.
    const hasLatest = template.split('/').at(-1)?.includes('%T') === true
    for (const candidate of candidates) {
      for (const path of pathsOf(candidate, template, timeTemplate)) {
        place(root, path, candidate, hasLatest)
      }
    }
  }
  return root
}

function directoryAt(root: LayoutDirectory, path: readonly string[]): LayoutDirectory | undefined {
  let at = root
  for (const part of path) {
    const name = byteStringOf(part)
    const known = at.children.get(name)
    if (known !== undefined && known.kind !== 'directory') return undefined
    const next = known ?? { kind: 'directory', children: new Map() }
    at.children.set(name, next)
    at = next
  }
  return at
}

function place(
  root: LayoutDirectory,
  path: readonly string[],
  candidate: Candidate,
  hasLatest: boolean,
): void {
  const last = path.at(-1)
  const directory = directoryAt(root, path.slice(0, -1))
  if (last === undefined || directory === undefined) return
  const name = freeName(directory, byteStringOf(last))
  directory.children.set(name, { kind: 'snapshot', candidate })
  if (hasLatest) directory.children.set('latest', { kind: 'link', target: name })
}

/** Snapshots of the same second are told apart by a number. */
function freeName(directory: LayoutDirectory, name: ByteString): ByteString {
  for (let i = 0; ; i++) {
    const tried = i === 0 ? name : `${name}-${i}`
    if (!directory.children.has(tried)) return tried
  }
}
