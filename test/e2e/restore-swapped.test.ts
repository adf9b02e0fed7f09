/**
 * Somebody who may write to the target swaps its directories for links to a place outside, again and
 * again, while root restores into it (M5, M18, P5). `CAIRN_SWAP_SECONDS=60` for the long run.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, linkSync } from 'node:fs'
import { lstatSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { isRoot, newRepository } from '../support/run-cairn.ts'

const SECONDS = Number(process.env['CAIRN_SWAP_SECONDS'] ?? 4)
const DIRECTORIES = ['a', 'a/b', 'a/b/c', 'd']

/** Swaps until it is killed. */
const SWAPPER = `
const fs = require('node:fs')
const { join } = require('node:path')
const [target, outside, names] = process.argv.slice(1)
const attempt = (action) => { try { action() } catch {} }
process.stdout.write('ready')
for (let round = 0; ; round++) {
  for (const name of names.split(',')) {
    const path = join(target, name)
    attempt(() => fs.renameSync(path, path + '.real'))
    attempt(() => fs.symlinkSync(join(outside, name), path))
    if (round % 3 === 0) for (let spin = 0; spin < 20000; spin++);
    attempt(() => fs.unlinkSync(path))
    attempt(() => fs.renameSync(path + '.real', path))
    attempt(() => fs.symlinkSync(join(outside, 'victim'), join(path, 'f' + (round % 50))))
    attempt(() => fs.linkSync(join(outside, 'victim'), join(path, 'hard')))
  }
}`

/** Everything below a directory that a restore could change. */
function describe(directory: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of [
    '.',
    ...readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort(),
  ]) {
    const path = join(directory, name)
    const { mode, uid, gid, mtimeNs, ctimeNs, ino } = lstatSync(path, { bigint: true })
    // Another link to a file changes its ctime: that is the attacker's doing.
    const changed = name === 'victim' ? '' : ctimeNs
    const link = lstatSync(path).isSymbolicLink() ? readlinkSync(path) : ''
    const content = lstatSync(path).isFile() ? readFileSync(path, 'utf8') : link
    found[name] = `${ino} ${mode.toString(8)} ${uid}:${gid} ${mtimeNs} ${changed} ${content}`
  }
  return found
}

async function startSwapper(target: string, outside: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', SWAPPER, target, outside, DIRECTORIES.join(',')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.stdout.once('data', resolve)
  })
  return child
}

test.skipIf(!isRoot)(
  `M5 M18 P5: ${SECONDS} s of swapped directories, and nothing outside is touched (skipped unless root)`,
  async () => {
    const box = await newRepository()
    for (const directory of DIRECTORIES) {
      for (let f = 0; f < 50; f++) box.write(`${directory}/f${f}`, `${directory} ${f}`)
      symlinkSync('f1', join(box.source, directory, 'link'))
      linkSync(join(box.source, directory, 'f2'), join(box.source, directory, 'hard'))
    }
    await box.succeed(['backup', '-q', box.source])
    const outside = join(box.path, 'outside')
    for (const directory of DIRECTORIES) mkdirSync(join(outside, directory), { recursive: true })
    for (const directory of DIRECTORIES) {
      for (let f = 0; f < 50; f += 2) writeFileSync(join(outside, directory, `f${f}`), 'precious')
    }
    writeFileSync(join(outside, 'victim'), 'precious', { mode: 0o600 })
    const target = join(box.path, 'target')
    const args = ['restore', `latest:${box.source}`, '-q', '-t', target, '--delete']
    await box.succeed(args)
    const before = describe(outside)
    const swapper = await startSwapper(target, outside)
    const codes = new Map<number | undefined, number>()
    const end = performance.now() + SECONDS * 1000
    for (let round = 0; performance.now() < end; round++) {
      const policy = ['always', 'if-changed', 'if-newer', 'keep-both'][round % 4] ?? ''
      const { code } = await box.run([...args, '--overwrite', policy])
      codes.set(code, (codes.get(code) ?? 0) + 1)
      expect(describe(outside), `run ${round}`).toEqual(before)
    }
    swapper.kill('SIGKILL')
    // The links have been met: otherwise this shows nothing.
    expect(codes.get(3) ?? 0).toBeGreaterThan(0)
    expect([...codes.keys()].filter((code) => code !== 0 && code !== 3)).toEqual([])
  },
)
