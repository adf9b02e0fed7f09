/**
 * Runs once before all tests: builds what the tests that start `bin/cairn.js` and threads run, so
 * that they never test what was built yesterday.
 */

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))

export default function setUp(): void {
  const built = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.json'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (built.status === 0) return
  // A type error is `npm test`'s to report; what was emitted is the code as it is now.
  process.stderr.write(`the build has errors:\n${built.stdout}${built.stderr}\n`)
  if (built.error !== undefined || !existsSync(`${root}/dist/cli/main.js`)) {
    throw new Error('cairn could not be built', { cause: built.error })
  }
}
