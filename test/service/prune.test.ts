/** What `prune` is told by whom: the command line, or the repository's config. */

import { expect, test } from 'vitest'
import { pruneArguments } from '../../src/library/arguments.ts'
import { settingsOf } from '../../src/service/prune.ts'

const BOX = { graceSeconds: 7 * 24 * 3600 }

function graceOf(options: { readonly graceMs?: number }): number {
  return settingsOf({ ...pruneArguments(options), level: undefined }, BOX, 1).graceMs
}

test('marked packs stay as long as the config says, unless another time is asked for', () => {
  expect(graceOf({})).toBe(7 * 24 * 3_600_000)
  expect(graceOf({ graceMs: 3_600_000 })).toBe(3_600_000)
  expect(graceOf({ graceMs: 0 })).toBe(0)
})
