/** The mistakes that `npm run mutants` makes can still be made: it takes too long to run it here. */

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { MUTANTS } from './mutants.mjs'

test.each(MUTANTS)('mutant $name can be put into the tree', ({ edits, profiles, tests }) => {
  expect(profiles ?? tests).toBeDefined()
  for (const { file, find, replace } of edits) {
    expect(readFileSync(file, 'utf8').split(find), `${file}: ${find}`).toHaveLength(2)
    expect(replace).not.toBe(find)
  }
})
