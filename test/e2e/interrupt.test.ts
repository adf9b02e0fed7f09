/** Ctrl-C and worse in the middle of a backup: nothing is listed that is not whole, the next run works. */

import { readFileSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { expect, test } from 'vitest'
import { type Box, newRepository, type Started, summaryOf } from '../support/run-cairn.ts'

const FILES = 60
const FILE_BYTES = 1 << 20
const END_MS_MAX = 2000
/** scrypt takes 128 MiB; nothing else takes as much before the keys are there. */
const DERIVING_BYTES_MIN = 110 << 20

/** Text that does not repeat but compresses: at the highest level that takes seconds. */
function fill(box: Box): void {
  let state = 12_345
  for (let n = 0; n < FILES; n++) {
    const bytes = Buffer.alloc(FILE_BYTES)
    for (let at = 0; at < bytes.length; at++) {
      // splitmix32, so that no file is like another.
      state = (state + 0x9e37_79b9) | 0
      const mixed = Math.imul(state ^ (state >>> 16), 0x21f0_aaad)
      bytes[at] = 97 + ((mixed ^ (mixed >>> 15)) & 15)
    }
    box.write(`d${n % 6}/f${n}`, bytes)
  }
}

const BACKUP = ['backup', '--compression', 'max', '--pack-size', '1', 'source']

/** A machine that has other things to do as well takes as much longer. */
function endMsMax(): number {
  const [load = 0] = loadavg()
  return END_MS_MAX * Math.max(1, load / availableParallelism())
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs))
}

/** Starts a backup and returns once it has stored its first packs. */
async function startedBackup(): Promise<{ box: Box; running: Started }> {
  const box = await newRepository()
  fill(box)
  const running = box.start(BACKUP)
  while (filesOf(box, 'packs').length < 3) {
    await sleep(20)
    expect(running.child.exitCode).toBeNull()
  }
  return { box, running }
}

function filesOf(box: Box, kind: string): string[] {
  return box.repositoryFiles(kind).filter((path) => /[0-9a-f]{64}$/.test(path))
}

async function expectWorking(box: Box): Promise<void> {
  const before = await box.snapshots()
  expect(before.filter((snapshot) => snapshot.partial !== true)).toEqual([])
  for (const { id } of before) {
    // What an interrupted run had of itself can be restored, but only by its id.
    await box.succeed(['restore', id, '--target', 'partial'])
    expect((await box.run(['restore', 'latest', '--target', 'none'])).code).toBe(1)
  }
  const finished = await box.succeed([...BACKUP, '--json', '--compression', 'fastest'])
  const found = summaryOf(finished)
  expect(found).toMatchObject({ files_new: FILES + 1 })
  // What had been stored is not stored again.
  expect(found.data_added).toBeLessThan(FILES * FILE_BYTES)
  const { stdout } = await box.succeed(['ls', '-q', 'latest'])
  expect(stdout.split('\n').filter((line) => line.includes('/f'))).toHaveLength(FILES)
  const [snapshot, ...others] = await box.snapshots()
  expect(others).toEqual([])
  expect(snapshot).not.toHaveProperty('partial')
  expect(snapshot).not.toHaveProperty('unconfirmed')
  const check = await box.run(['check', '--read-data'])
  expect({ code: check.code, stderr: check.stderr }).toEqual({ code: 0, stderr: '' })
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s: exit 130 within 2 s, and the next backup goes on',
  async (name) => {
    const { box, running } = await startedBackup()
    const startMs = performance.now()
    running.child.kill(name)
    const { code, stderr, stdout } = await running.finished
    expect(performance.now() - startMs).toBeLessThan(endMsMax())
    expect(code).toBe(130)
    expect(stderr).toContain(`signal ${name} received`)
    expect(stderr).toMatch(/interrupted: .*run it again.*\n$/)
    expect(stdout).not.toContain('saved')
    // It has said goodbye: nothing to wait for before a prune.
    expect(filesOf(box, 'sessions')).toEqual([])
    await expectWorking(box)
  },
)

test('a second SIGINT ends it at once', async () => {
  const { box, running } = await startedBackup()
  running.child.kill('SIGINT')
  await sleep(5)
  running.child.kill('SIGINT')
  expect((await running.finished).code).toBe(130)
  // Not even to say goodbye was there time, as there is after one signal.
  expect(filesOf(box, 'sessions')).toHaveLength(1)
  await expectWorking(box)
})

test('SIGHUP without a terminal, as under nohup, ends nothing', async () => {
  const box = await newRepository()
  const { child, finished } = box.start(['backup', '--stdin'], { holdsInput: true })
  const before = filesOf(box, 'sessions').length
  while (filesOf(box, 'sessions').length === before) await sleep(20)
  child.kill('SIGHUP')
  await sleep(200)
  child.stdin?.end('all of it')
  expect(await finished).toMatchObject({ code: 0, stderr: '' })
})

test('SIGKILL: the next backup goes on where it was', async () => {
  const { box, running } = await startedBackup()
  running.child.kill('SIGKILL')
  expect((await running.finished).signal).toBe('SIGKILL')
  await expectWorking(box)
})

test('SIGKILL and the cache is gone as well', async () => {
  const { box, running } = await startedBackup()
  running.child.kill('SIGKILL')
  await running.finished
  rmSync(box.cache, { recursive: true })
  await expectWorking(box)
})

test.each([
  ['--stdin-from-command', ['--stdin-from-command', '--', 'sleep', '20']],
  ['--stdin', ['--stdin']],
])('SIGINT ends a backup that waits for its input: %s', async (_title, options) => {
  const box = await newRepository()
  const { child, finished } = box.start(['backup', ...options], { holdsInput: true })
  const sessions = () => box.repositoryFiles('sessions').length
  const before = sessions()
  while (sessions() === before) await sleep(20)
  await sleep(200)
  child.kill('SIGINT')
  const late = sleep(endMsMax()).then(() => ({ code: 'it still runs' }))
  expect(await Promise.race([finished, late])).toMatchObject({ code: 130 })
  expect(await box.snapshots()).toEqual([])
})

function residentBytes({ child }: Started): number {
  const [, pages = '0'] = readFileSync(`/proc/${child.pid}/statm`, 'latin1').split(' ')
  return Number(pages) * 4096
}

test('SIGINT while the keys are being derived', async () => {
  const box = await newRepository({ withPassword: true })
  for (const command of [['snapshots'], ['backup', 'source'], ['ls', 'latest']]) {
    const running = box.start(command)
    while (residentBytes(running) < DERIVING_BYTES_MIN) {
      await sleep(2)
      expect(running.child.exitCode).toBeNull()
    }
    const startMs = performance.now()
    running.child.kill('SIGINT')
    const { code, stdout } = await running.finished
    expect({ command, code, stdout }).toMatchObject({ command, code: 130 })
    expect(performance.now() - startMs).toBeLessThan(endMsMax())
  }
  expect(await box.snapshots()).toEqual([])
})
