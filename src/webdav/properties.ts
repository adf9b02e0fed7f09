/** Properties of resources, and the replies to PROPFIND (RFC 4918, 9.1 and 15). */

import { escapeXml, parseXml, type XmlElement } from './xml.ts'
import type { WebdavResource } from './resource.ts'

const DAV = 'DAV:'

export interface PropertyName {
  readonly namespace: string
  readonly name: string
}

/** What a PROPFIND wants to know. */
export type Wanted =
  | { readonly kind: 'all' | 'names' }
  | { readonly kind: 'some'; readonly names: readonly PropertyName[] }

/** Reads the body of a PROPFIND. Undefined if it is none. */
export function parsePropfind(body: string): Wanted | undefined {
  if (body.trim() === '') return { kind: 'all' }
  const root = parseXml(body)
  if (root === undefined || !isDav(root, 'propfind')) return undefined
  if (root.children.some((child) => isDav(child, 'propname'))) return { kind: 'names' }
  const some = root.children.find((child) => isDav(child, 'prop'))
  if (some !== undefined) return { kind: 'some', names: some.children }
  return root.children.some((child) => isDav(child, 'allprop')) ? { kind: 'all' } : undefined
}

function isDav({ namespace, name }: XmlElement, wanted: string): boolean {
  return namespace === DAV && name === wanted
}

export function httpDate(ms: number): string {
  // What Date cannot say is shown as the earliest that clients understand.
  return new Date(Math.abs(ms) > 8.64e15 ? 0 : ms).toUTCString()
}

/** Values by name, as XML. Undefined for what a resource does not have. */
const PROPERTIES: Readonly<
  Record<string, (resource: WebdavResource, text: string) => string | undefined>
> = {
  resourcetype: ({ kind }) => (kind === 'collection' ? '<D:collection/>' : ''),
  displayname: (_resource, text) => escapeXml(text),
  getlastmodified: ({ mtimeMs }) => httpDate(mtimeMs),
  getcontentlength: (one) => (one.kind === 'file' ? String(one.byteCount) : undefined),
  getcontenttype: (one) => (one.kind === 'file' ? 'application/octet-stream' : undefined),
  getetag: (one) => (one.kind === 'file' ? escapeXml(`"${one.tag}"`) : undefined),
  supportedlock: () => '',
}

export const MULTISTATUS_BEGIN =
  '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:">\n'
export const MULTISTATUS_END = '</D:multistatus>\n'

/** The part of a multistatus on one resource. `text` is its name for people. */
export function propertyResponse(
  resource: WebdavResource,
  { path, text, wanted }: { readonly path: string; readonly text: string; readonly wanted: Wanted },
): string {
  const found: string[] = []
  const missing: string[] = []
  const names =
    wanted.kind === 'some'
      ? wanted.names
      : Object.keys(PROPERTIES).map((name) => ({ namespace: DAV, name }))
  for (const { namespace, name } of names) {
    const isOwn = namespace === DAV && Object.hasOwn(PROPERTIES, name)
    const value = isOwn ? PROPERTIES[name]?.(resource, text) : undefined
    if (value !== undefined) {
      found.push(wanted.kind === 'names' ? `<D:${name}/>` : `<D:${name}>${value}</D:${name}>`)
    } else if (wanted.kind === 'some') {
      missing.push(
        namespace === DAV ? `<D:${name}/>` : `<${name} xmlns="${escapeXml(namespace)}"/>`,
      )
    }
  }
  const isFound = found.length > 0 || missing.length === 0
  return [
    `<D:response><D:href>${escapeXml(path)}</D:href>`,
    isFound ? propstat(found, '200 OK') : '',
    missing.length > 0 ? propstat(missing, '404 Not Found') : '',
    '</D:response>\n',
  ].join('')
}

function propstat(properties: readonly string[], status: string): string {
  return `<D:propstat><D:prop>${properties.join('')}</D:prop><D:status>HTTP/1.1 ${status}</D:status></D:propstat>`
}
