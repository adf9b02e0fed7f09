/** A target in which another process swaps directories for links while a restore writes (M5). */

import { type ChildProcess, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import { hasDescriptorPaths } from '../../src/source/native-path.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import type { Target } from '../../src/source/target-files.ts'
import { temporaryRoot } from './target-fixture.ts'

const base = temporaryRoot()

const SWAPPER = `
const fs = require('node:fs')
const [root, outside] = process.argv.slice(1)
const attempt = (action) => { try { action() } catch {} }
process.stdout.write('ready')
for (;;) {
  for (const path of [root + '/d', root + '/d/sub']) {
    attempt(() => fs.renameSync(path, path + '.real'))
    attempt(() => fs.symlinkSync(path.endsWith('sub') ? outside + '/sub' : outside, path))
    attempt(() => fs.unlinkSync(path))
    attempt(() => fs.renameSync(path + '.real', path))
  }
}`

function startSwapper(root: string, outside: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', SWAPPER, root, outside], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', () => resolve(child))
  })
}

/** Everything a restore does to one file and its directories. Counts the operations that failed. */
function restoreOne(target: Target, index: number): { successes: number; failures: number } {
  const metadata = { mode: 0o666, mtimeNs: 7n }
  const content = Buffer.from('restored')
  const path = `d/sub/f${index % 500}`
  const operations = [
    () => target.makeDirectory('d'),
    () => target.makeDirectory('d/sub'),
    () => target.writeWholeFile(path, content, metadata, { overwrite: true }),
    () => target.makeSymlink(`d/sub/l${index % 50}`, content, { overwrite: true }),
    () => target.makeHardLink('d/sub/hard', path, { overwrite: true }),
    () => target.setMetadata('d/sub', 'directory', { mode: 0o755, mtimeNs: 7n }),
    () => target.setMetadata('d', 'directory', { mode: 0o755, mtimeNs: 7n }),
    () => index % 10 === 0 && target.remove('d/sub'),
  ]
  let failures = 0
  for (const operation of operations) {
    try {
      operation()
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toMatch(/^E[A-Z]+$/)
      failures++
    }
  }
  return { successes: operations.length - failures, failures }
}

test.skipIf(!hasDescriptorPaths())(
  'nothing leaves the target while directories are swapped for links (M5; skipped without /proc)',
  async () => {
    const root = join(base(), 'root')
    const outside = join(base(), 'outside')
    fs.mkdirSync(join(outside, 'sub'), { recursive: true, mode: 0o700 })
    fs.mkdirSync(join(root, 'd/sub'), { recursive: true })
    const look = () =>
      [outside, join(outside, 'sub')].map((path) => {
        const { mode, mtimeNs, uid, ino } = fs.statSync(path, { bigint: true })
        return { mode, mtimeNs, uid, ino, names: fs.readdirSync(path) }
      })
    const before = look()
    const files = nodeTargetFiles({ randomness: nodeRandomness() })
    const owner = files.openTarget(root)
    const child = await startSwapper(root, outside)
    let successes = 0
    let failures = 0
    try {
      const end = performance.now() + 2_000
      for (let index = 0; performance.now() < end; index++) {
        // A new one knows no directory yet, and so meets the links.
        const target = files.attachTarget(owner.rootFd, root)
        for (let round = 0; round < 5; round++) {
          const counts = restoreOne(target, index * 5 + round)
          successes += counts.successes
          failures += counts.failures
        }
        target.close()
      }
    } finally {
      child.kill('SIGKILL')
      owner.close()
    }
    expect(look()).toEqual(before)
    // Neither alone would show anything. Thousands of each, on a quiet machine.
    expect(successes).toBeGreaterThan(50)
    expect(failures).toBeGreaterThan(50)
  },
)
