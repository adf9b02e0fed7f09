/** How many cells of a terminal a text takes. */

import truncatedWidth from 'fast-string-truncated-width'

const ASCII = /^[\x20-\x7e]*$/

export function displayWidth(text: string): number {
  return ASCII.test(text) ? text.length : truncatedWidth(text).width
}

/** As much of the beginning of `text` as fits. */
export function truncateToWidth(text: string, width: number): string {
  if (ASCII.test(text)) return text.slice(0, width)
  return text.slice(0, truncatedWidth(text, { limit: width, ellipsis: '' }).index)
}

export function padToWidth(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}
