/** What a restore owes to people who interrupt it, watch it, or have no rights. */

import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { seeded } from '../support/seeded.ts'
import { type Box, isRoot, newRepository } from '../support/run-cairn.ts'

const KILLS = Number(process.env['CAIRN_KILLS'] ?? 8)

function fill(box: Box, files: number, largeBytes: number): void {
  const random = seeded(5)
  for (let f = 0; f < files; f++) {
    const bytes = Buffer.alloc(f === 0 ? largeBytes : 1000 + Math.floor(random() ** 3 * 300_000))
    for (let at = 0; at + 4 <= bytes.length; at += 4) bytes.writeUInt32LE(random() * 2 ** 32, at)
    box.write(`d${f % 9}/file-${f}`, bytes)
  }
}

function wrongFiles(source: string, target: string): string[] {
  return readdirSync(target, { recursive: true, encoding: 'utf8' }).filter((name) => {
    if (name.includes('.cairn-restore-') || !statSync(join(target, name)).isFile()) return false
    return !readFileSync(join(target, name)).equals(readFileSync(join(source, name)))
  })
}

test(`R4 P1: ${KILLS} kills of a restore: no half file under its name, and the next run completes it`, async () => {
  const box = await newRepository()
  fill(box, 400, 40 << 20)
  await box.succeed(['backup', '-q', box.source])
  const target = join(box.path, 'target')
  const random = seeded(6)
  let partial = 0
  for (let kill = 0; kill < KILLS; kill++) {
    if (kill % 3 === 0) rmSync(target, { recursive: true, force: true })
    const args = ['restore', `latest:${box.source}`, '-q', '-t', target]
    const { child, finished } = box.start([...args, ...(kill % 2 === 0 ? ['--sparse'] : [])])
    // From the first file on, where there is something to interrupt.
    while (!existsSync(target) || readdirSync(target).length === 0) {
      if (child.exitCode !== null) break
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await new Promise((resolve) => setTimeout(resolve, random() * 250))
    child.kill('SIGKILL')
    if ((await finished).signal === 'SIGKILL') partial++
    expect(wrongFiles(box.source, target), `kill ${kill}`).toEqual([])
  }
  expect(partial).toBeGreaterThan(0)
  await box.succeed(['restore', `latest:${box.source}`, '-q', '-t', target])
  const { stdout } = spawnSync('diff', ['-r', box.source, target], { encoding: 'utf8' })
  expect(stdout).toBe('')
  const left = readdirSync(target, { recursive: true, encoding: 'utf8' })
  expect(left.filter((name) => name.includes('.cairn-restore-'))).toEqual([])
})

const OBSERVER = `
const fs = require('node:fs')
const { join } = require('node:path')
const root = process.argv[1]
const seen = new Set()
function look(directory) {
  let names = []
  try { names = fs.readdirSync(directory) } catch { return }
  for (const name of names) {
    const path = join(directory, name)
    try {
      if (fs.lstatSync(path).isDirectory()) look(path)
      else { fs.closeSync(fs.openSync(path)); seen.add(path) }
    } catch {}
  }
}
process.stdout.write('ready')
process.stdin.on('end', () => { process.stdout.write(JSON.stringify([...seen])); process.exit() }).resume()
;(function again() { look(root); setImmediate(again) })()
`

test.skipIf(!isRoot)(
  'R8: nobody else can read a private file at any moment, whatever the umask (skipped unless root)',
  async () => {
    const box = await newRepository()
    for (let f = 0; f < 300; f++) {
      chmodSync(box.write(`d${f % 5}/secret-${f}`, Buffer.alloc(1 + f * 700, f)), 0o600)
    }
    chmodSync(join(box.source, 'a.txt'), 0o600)
    for (let d = 0; d < 5; d++) chmodSync(join(box.source, `d${d}`), 0o755)
    chmodSync(box.write('d1/secret-large', Buffer.alloc(30 << 20, 7)), 0o600)
    await box.succeed(['backup', '-q', box.source])
    chmodSync(box.path, 0o755)
    const target = join(box.path, 'target')
    // The directories are there, and open to everybody.
    for (let d = 0; d < 5; d++) mkdirSync(join(target, `d${d}`), { recursive: true })
    const ids = ['--reuid=65534', '--regid=65534', '--clear-groups', '--', process.execPath]
    const observer = spawn('setpriv', [...ids, '-e', OBSERVER, target], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => void observer.kill('SIGKILL'))
    let said = ''
    observer.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
    while (said === '') await new Promise((resolve) => setTimeout(resolve, 5))
    const before = process.umask(0)
    try {
      await box.succeed(['restore', `latest:${box.source}`, '-q', '-t', target])
    } finally {
      process.umask(before)
    }
    observer.stdin.end()
    await new Promise((resolve) => observer.once('close', resolve))
    expect(said).toBe('ready[]')
    expect(statSync(join(target, 'd1/secret-large')).mode & 0o777).toBe(0o600)
  },
)

test.skipIf(!isRoot)(
  'R7: an ordinary user gets everything but what takes rights, told once a kind, exit 0 (skipped unless root)',
  async () => {
    const box = await newRepository()
    for (let f = 0; f < 20; f++)
      chmodSync(box.write(`d/f${f}`, `content ${f}`), f === 0 ? 0o4755 : 0o640)
    symlinkSync('f1', join(box.source, 'd/link'))
    await box.succeed(['backup', '-q', box.source])
    chmodSync(box.path, 0o755)
    const place = join(box.path, 'other')
    mkdirSync(place)
    const all = spawnSync('chown', [
      '-R',
      '65534:65534',
      place,
      box.repository,
      join(box.path, 'key'),
    ])
    expect(all.status).toBe(0)
    const target = join(place, 'target')
    const { code, stderr } = await box.run(
      ['restore', `latest:${box.source}`, '-q', '--no-cache', '-t', target],
      { asOther: true },
    )
    expect(code, stderr).toBe(0)
    expect(
      stderr.match(/the owner of \d+ files\/dirs could not be set: an ordinary user may not/g),
    ).toHaveLength(1)
    expect(stderr.trim().split('\n').length).toBeLessThan(4)
    for (let f = 0; f < 20; f++) {
      expect(readFileSync(join(target, `d/f${f}`), 'utf8')).toBe(`content ${f}`)
      // Setuid is not given to a file of another owner.
      expect(statSync(join(target, `d/f${f}`)).mode & 0o7777).toBe(f === 0 ? 0o755 : 0o640)
    }
  },
)

test.skipIf(!isRoot)(
  'R12: from a repository that cannot be written, with its password alone, without a cache (skipped unless root)',
  async () => {
    const box = await newRepository({ withPassword: true })
    box.write('d/f', 'content')
    await box.succeed(['backup', '-q', box.source])
    chmodSync(box.path, 0o755)
    const place = join(box.path, 'other')
    mkdirSync(place)
    expect(spawnSync('chown', ['65534', place]).status).toBe(0)
    // All may read it, and nobody but root may write to it: the restore is not root's.
    expect(spawnSync('chmod', ['-R', 'a+rX,go-w', box.repository]).status).toBe(0)
    const before = box.repositoryFiles()
    const { code, stderr } = await box.run(
      ['restore', `latest:${box.source}`, '-q', '-t', join(place, 'target')],
      { asOther: true, environment: { XDG_CACHE_HOME: join(place, 'absent'), HOME: place } },
    )
    expect(code, stderr).toBe(0)
    expect(readFileSync(join(place, 'target/d/f'), 'utf8')).toBe('content')
    expect(box.repositoryFiles()).toEqual(before)
  },
)

test('a dry run prints the plan, and writes nothing', async () => {
  const box = await newRepository()
  box.write('d/new', 'new')
  await box.succeed(['backup', '-q', box.source])
  const target = join(box.path, 'target')
  const args = ['restore', `latest:${box.source}`, '-t', target, '--delete']
  mkdirSync(target)
  writeFileSync(join(target, 'a.txt'), 'older')
  writeFileSync(join(target, 'gone'), 'gone')
  const plan = await box.succeed([...args, '--dry-run'])
  for (const line of ['updated   /a.txt', 'restored  /d/new', 'restored  /d', 'deleted   /gone']) {
    expect(plan.stdout).toContain(line)
  }
  expect(readdirSync(target).sort()).toEqual(['a.txt', 'gone'])
  expect(readFileSync(join(target, 'a.txt'), 'utf8')).toBe('older')
  const done = await box.succeed([...args, '-vv'])
  const actions = (text: string) =>
    text
      .split('\n')
      .filter((line) => /^[a-z]+ +\//.test(line))
      .sort()
  expect(actions(plan.stdout)).toEqual(actions(done.stdout))
})

test('M14: names cannot give orders to the terminal', async () => {
  const box = await newRepository()
  box.write('\x1b[2J\x1b]0;owned\x07\n/fake line', 'x')
  await box.succeed(['backup', '-q', box.source])
  for (const more of [['-vv'], ['--dry-run'], ['--json', '-vv']]) {
    const target = join(box.path, `target${more[0]}`)
    const args = ['restore', `latest:${box.source}`, '-t', target, ...more]
    const { stdout, stderr } = await box.succeed(args)
    expect(stdout).toContain('2J')
    expect(stdout + stderr).not.toContain('\x1b')
    expect(stdout).not.toMatch(/^\/fake/m)
  }
})

test('a target that cannot be a directory is named, and nothing of the program is shown', async () => {
  const box = await newRepository()
  box.write('a')
  await box.succeed(['backup', '-q', 'source'])
  const file = join(box.path, 'file')
  writeFileSync(file, 'mine')
  for (const target of [file, join(file, 'below')]) {
    const { code, stderr } = await box.run(['restore', 'latest', '-t', target])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^Fatal: cannot use '.*' as the directory to restore to: E[A-Z]+: .*\n$/)
  }
  expect(readFileSync(file, 'utf8')).toBe('mine')
})

test('a pattern to include that matches nothing is told', async () => {
  const box = await newRepository()
  box.write('letter.txt')
  await box.succeed(['backup', '-q', 'source'])
  const restore = ['restore', 'latest', '-t', join(box.path, 'out'), '--include']
  const mistyped = await box.run([...restore, 'lettre.txt'])
  expect(mistyped).toMatchObject({ code: 0, stderr: expect.stringMatching(/nothing was restored/) })
  expect(await box.run([...restore, 'letter.txt'])).toMatchObject({ code: 0, stderr: '' })
})

test('a name that is not UTF-8 is shown by its bytes where it is backed up and restored', async () => {
  const box = await newRepository()
  writeFileSync(Buffer.concat([Buffer.from(`${box.source}/odd-`), Buffer.of(0xff)]), 'odd')
  const { stdout } = await box.succeed(['backup', '-vv', 'source'])
  expect(stdout).toContain(String.raw`/odd-\xff"`)
  const target = join(box.path, 'out')
  const restored = await box.succeed(['restore', 'latest', '-vv', '-t', target])
  expect(restored.stdout).toContain(String.raw`restored  "/source/odd-\xff"`)
})
