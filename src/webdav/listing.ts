/** A collection as a page for browsers. */

import { textOf } from '../base/bytes.ts'
import type { WebdavResource } from './resource.ts'
import { encodeName } from './url-path.ts'
import { escapeXml } from './xml.ts'

export interface ListingHtml {
  readonly begin: string
  row(one: WebdavResource): string
  readonly end: string
}

/** `path` is for people. */
export function listingHtml(path: string): ListingHtml {
  const title = escapeXml(path === '' ? '/' : path)
  return {
    begin: `<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>${title}</title></head>\n<body><h1>${title}</h1>\n<table>\n${path === '' ? '' : '<tr><td><a href="../">..</a></td></tr>\n'}`,
    row: (one) => {
      const slash = one.kind === 'collection' ? '/' : ''
      // With a dot before it, no name is taken for the scheme of a URL.
      const link = `./${encodeName(one.name)}${slash}`
      const size = one.kind === 'file' ? String(one.byteCount) : ''
      return `<tr><td><a href="${link}">${escapeXml(textOf(one.name))}${slash}</a></td><td align="right">${size}</td></tr>\n`
    },
    end: '</table></body></html>\n',
  }
}
