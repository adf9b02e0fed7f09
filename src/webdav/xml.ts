/**
 * As much XML as WebDAV needs: text is written escaped, and of what clients send the elements are
 * read, with their namespaces. Document types and entities of one's own are refused: nobody needs
 * them here, and they are how XML is abused.
 */

/** Text for content and attributes. What XML cannot say at all becomes U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

export interface XmlElement {
  readonly namespace: string
  readonly name: string
  readonly children: XmlElement[]
}

type Namespaces = Readonly<Record<string, string>>

interface Open {
  readonly tag: string
  readonly element: XmlElement
  readonly namespaces: Namespaces
}

const TOKEN =
  /<(?:\?[^]*?\?|!--[^]*?--|!\[CDATA\[[^]*?\]\]|(\/?)([^\s/>!?]+)([^>]*?)(\/?))>|[^<]+/gy
const NAME = /^[^\s<>&"'=/:]+(?::[^\s<>&"'=/:]+)?$/
const ATTRIBUTE = /\s+([^\s=]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/gy

/** The outermost element, or undefined if it is not well-formed or deeper than anybody needs. */
export function parseXml(text: string, depthMax = 20): XmlElement | undefined {
  const stack: Open[] = []
  let root: XmlElement | undefined
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text)
    if (token === null) return undefined
    const [all, slash, tag, rest = '', empty] = token
    const around = stack.at(-1)
    if (tag === undefined) {
      // Text stands in elements only, and is of no interest.
      if (!all.startsWith('<') && around === undefined && all.trim() !== '') return undefined
      continue
    }
    if (slash === '/') {
      if (around?.tag !== tag || rest.trim() !== '') return undefined
      stack.pop()
      continue
    }
    if (stack.length >= depthMax || (around === undefined && root !== undefined)) return undefined
    const opened = openElement(tag, rest, around?.namespaces ?? {})
    if (opened === undefined) return undefined
    root ??= opened.element
    around?.element.children.push(opened.element)
    if (empty !== '/') stack.push(opened)
  }
  return stack.length === 0 ? root : undefined
}

function openElement(tag: string, attributes: string, outer: Namespaces): Open | undefined {
  if (!NAME.test(tag)) return undefined
  const namespaces: Record<string, string> = { ...outer }
  ATTRIBUTE.lastIndex = 0
  while (ATTRIBUTE.lastIndex < attributes.trimEnd().length) {
    const attribute = ATTRIBUTE.exec(attributes)
    if (attribute === null) return undefined
    const [, name = '', double, single] = attribute
    const value = double ?? single ?? ''
    if (name === 'xmlns') namespaces[''] = value
    else if (name.startsWith('xmlns:')) {
      if (value === '') return undefined // A prefix cannot be taken back.
      namespaces[name.slice(6)] = value
    }
  }
  const [prefix, local] = tag.includes(':') ? tag.split(':') : ['', tag]
  // Only what was declared: a prefix may be the name of what every object has.
  const isDeclared = Object.hasOwn(namespaces, prefix ?? '')
  const namespace = isDeclared ? namespaces[prefix ?? ''] : undefined
  if (local === undefined || (prefix !== '' && namespace === undefined)) return undefined
  return { tag, element: { namespace: namespace ?? '', name: local, children: [] }, namespaces }
}
