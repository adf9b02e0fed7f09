/**
 * Runs once before all tests: builds what the tests that start `bin/cairn.js` and threads run, so
 * that they never test what was built yesterday. Files come into `dist` whole and only if they
 * differ: whoever runs `cairn` from there at the same time is not disturbed.
 */

import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const dist = join(root, 'dist')

function isSame(path: string, other: string): boolean {
  return existsSync(other) && readFileSync(path).equals(readFileSync(other))
}

function moveChanged(from: string): void {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const place = join(dist, path.slice(from.length))
    if (isSame(path, place)) continue
    mkdirSync(dirname(place), { recursive: true })
    renameSync(path, place)
  }
}

export default function setUp(): void {
  mkdirSync(dist, { recursive: true })
  const fresh = mkdtempSync(join(dist, '.build-'))
  try {
    const built = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.json', '--outDir', fresh], {
      cwd: root,
      encoding: 'utf8',
    })
    if (!existsSync(join(fresh, 'cli/main.js'))) {
      throw new Error('cairn could not be built', { cause: built.error ?? built.stderr })
    }
    // A type error is `npm test`'s to report: what was emitted is the code as it is now.
    if (built.status !== 0) process.stderr.write(`the build has errors:\n${built.stdout}\n`)
    const bundled = spawnSync('node_modules/.bin/rolldown', ['-c', 'rolldown.config.ts'], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, BUNDLE_DIR: fresh },
    })
    if (bundled.status !== 0) {
      throw new Error('cairn could not be bundled', { cause: bundled.error ?? bundled.stderr })
    }
    moveChanged(fresh)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}
