/** The mirror among real processes and threads, which run JavaScript compiled from src/. */

import { type ChildProcess, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { FileName } from '../../../src/base/ids.ts'
import {
  decodeIndexFile,
  encodeIndexFile,
  type IndexedPack,
  type IndexFile,
} from '../../../src/format/index-file.ts'
import { applyToBase, openIndexMirror } from '../../../src/pipeline/index/index-mirror.ts'
import { MemoryIndex } from '../../../src/pipeline/index/memory-index.ts'
import { answer, idsOfPacks, listingOf, ModelIndex, Random, randomPacks } from './random-packs.ts'
import { compilePipeline } from './compiled.ts'

const repositoryId = new Uint8Array(16).fill(7)
let compiled = ''
let root = ''
let directory = ''
const children: ChildProcess[] = []

beforeAll(() => {
  compiled = compilePipeline()
  writeScript('hold.mjs', HOLD)
  writeScript('open.mjs', OPEN)
  writeScript('lookup.mjs', LOOKUP)
})
afterAll(() => fs.rmSync(compiled, { recursive: true, force: true }))
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-processes-'))
  directory = join(root, 'index')
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  fs.rmSync(root, { recursive: true, force: true })
})

function writeScript(name: string, text: string): void {
  fs.writeFileSync(join(compiled, name), text)
}

/** Holds LevelDB's lock on a directory until it is killed. */
const HOLD = `
import { Level } from 'level'
const db = new Level(process.argv[2])
await db.open()
console.log('held')
setInterval(() => {}, 1000)
`

/** Opens the mirror of the index files in a folder, finds all ids in ids.bin, prints what came of it. */
const OPEN = `
import { readdirSync, readFileSync, existsSync } from 'node:fs'
import { openIndexMirror } from './src/pipeline/index/index-mirror.js'
import { decodeIndexFile } from './src/format/index-file.js'
const [root, start] = process.argv.slice(2)
while (start !== undefined && !existsSync(start)) await new Promise((resolve) => setTimeout(resolve, 1))
const load = async (name) => decodeIndexFile(readFileSync(root + '/files/' + name), () => {})
const mirror = await openIndexMirror({
  directory: root + '/index',
  repositoryId: new Uint8Array(16).fill(7),
  indexFiles: readdirSync(root + '/files'),
  load,
})
let found = 0
if (mirror !== undefined) {
  const listed = new Map()
  for (const number of mirror.index.packNumbers()) {
    const { name, byteCount } = mirror.index.pack(number)
    listed.set(name, byteCount)
  }
  mirror.index.setStates(listed, new Set())
  const ids = readFileSync(root + '/ids.bin')
  for (let at = 0; at < ids.length; at += 32) found += mirror.index.find(ids.subarray(at, at + 32)).length
}
console.log(JSON.stringify({ isThere: mirror !== undefined, applied: mirror?.applied, found }))
await mirror?.dispose()
`

const LOOKUP = `
import { parentPort, workerData } from 'node:worker_threads'
import { openLookup } from './src/pipeline/index/open-lookup.js'
const lookup = await openLookup(workerData.share)
const ids = Buffer.from(workerData.ids)
const found = []
for (let at = 0; at < ids.length; at += 32) found.push(lookup.findPack(ids.subarray(at, at + 32)))
await lookup.close()
parentPort.postMessage(found)
`

/** Starts a script; resolves with the first line that it prints. */
function run(script: string, ...args: string[]): { child: ChildProcess; line: Promise<string> } {
  const child = spawn(process.execPath, [join(compiled, script), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const line = new Promise<string>((resolve) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
    })
    child.on('exit', (code, signal) => resolve(`exit ${code ?? signal}`))
  })
  return { child, line }
}

function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.on('exit', () => resolve())
  })
}

/** Writes the index files of some packs to a folder that all processes see. */
function publish(packs: readonly IndexedPack[], fileCount: number): FileName[] {
  fs.mkdirSync(join(root, 'files'), { recursive: true })
  fs.writeFileSync(join(root, 'ids.bin'), Buffer.concat(idsOfPacks(packs)))
  const step = Math.ceil(packs.length / fileCount)
  const names: FileName[] = []
  for (let i = 0; i < packs.length; i += step) {
    const bytes = encodeIndexFile({ superseded: [], packs: packs.slice(i, i + step) })
    const name = packs[i]?.name ?? ('' as never)
    fs.writeFileSync(join(root, 'files', name), bytes)
    names.push(name)
  }
  return names
}

async function load(name: FileName): Promise<IndexFile> {
  return decodeIndexFile(fs.readFileSync(join(root, 'files', name)), () => {})
}

function copyCount(packs: readonly IndexedPack[]): number {
  return packs.reduce((sum, pack) => {
    const seen = new Set<string>()
    const { directory: rows } = pack
    for (let i = 0; i < rows.blobCount; i++) seen.add(`${i}`)
    return sum + seen.size
  }, 0)
}

async function expectAll(packs: readonly IndexedPack[], indexFiles: readonly FileName[]) {
  const mirror = await openIndexMirror({ directory, repositoryId, indexFiles, load })
  if (mirror === undefined) throw new Error('there is no mirror')
  mirror.index.setStates(listingOf(packs), new Set())
  const model = new ModelIndex(packs)
  for (const id of idsOfPacks(packs)) {
    const expected = model.answer(id, listingOf(packs), new Set())
    expect(answer(mirror.index, id).sort(byCode)).toEqual(expected.sort(byCode))
  }
  await mirror.dispose()
}

const byCode = (a: string, b: string) => (a < b ? -1 : 1)

describe('several processes', () => {
  test.each(['base', 'guard'])(
    'D4 one that holds the %s: readers go on, others wait',
    async (held) => {
      const packs = randomPacks(new Random(1), 10, 40)
      const names = publish(packs, 3)
      await expectAll(packs, names)
      const { child, line } = run('hold.mjs', join(directory, held))
      expect(await line).toBe('held')
      await expectAll(packs, names) // Nothing is new: no lock is needed.
      const more = randomPacks(new Random(2), 3, 40)
      const allNames = [...names, ...publish(more, 1)]
      expect(await applyToBase(directory, repositoryId, names[0] ?? ('' as never), packs)).toBe(
        false,
      )
      const startMs = performance.now()
      const options = { directory, repositoryId, indexFiles: allNames, load }
      expect(await openIndexMirror(options)).toBeUndefined()
      const waitedMs = performance.now() - startMs
      expect(waitedMs).toBeGreaterThan(2900)
      expect(waitedMs).toBeLessThan(6000)
      setTimeout(() => child.kill('SIGKILL'), 500)
      await expectAll([...packs, ...more], allNames)
      expect(fs.readdirSync(directory).sort()).toEqual(['base', 'guard'])
    },
  )

  test('two that open an empty mirror at once both succeed, and so do more', async () => {
    const packs = randomPacks(new Random(3), 40, 300)
    publish(packs, 10)
    for (const count of [2, 2, 5]) {
      fs.rmSync(directory, { recursive: true, force: true })
      const start = join(root, `start-${count}`)
      fs.rmSync(start, { force: true })
      const runs = Array.from({ length: count }, () => run('open.mjs', root, start))
      await new Promise((resolve) => {
        setTimeout(resolve, 300)
      })
      fs.writeFileSync(start, '')
      const results = (await Promise.all(runs.map((one) => one.line))).map(
        (line) => JSON.parse(line) as { isThere: boolean; applied: number; found: number },
      )
      for (const { isThere, found } of results) {
        expect([isThere, found]).toEqual([true, copyCount(packs)])
      }
      expect(results.reduce((sum, { applied }) => sum + applied, 0)).toBe(10)
      await Promise.all(runs.map(({ child }) => exited(child)))
      expect(fs.readdirSync(directory).sort()).toEqual(['base', 'guard'])
    }
  })

  test('D5 the lock file is deleted while another process has the base open', async () => {
    const packs = randomPacks(new Random(4), 10, 60)
    const names = publish(packs, 3)
    await expectAll(packs, names)
    const { child, line } = run('hold.mjs', join(directory, 'base'))
    expect(await line).toBe('held')
    fs.rmSync(join(directory, 'base', 'LOCK'))
    const more = randomPacks(new Random(5), 3, 40)
    const allNames = [...names, ...publish(more, 1)]
    await expectAll([...packs, ...more], allNames)
    child.kill('SIGTERM')
    await exited(child)
    await expectAll([...packs, ...more], allNames)
  })

  test('D8 one that is killed at any moment leaves a base that is right or made anew', async () => {
    const packs = randomPacks(new Random(6), 60, 400)
    const names = publish(packs, 20)
    const random = new Random(7)
    let killed = 0
    for (let i = 0; i < 25; i++) {
      if (i % 5 === 0) fs.rmSync(directory, { recursive: true, force: true })
      const { child } = run('open.mjs', root)
      while (!fs.existsSync(join(directory, 'base')) && child.exitCode === null) {
        await new Promise((resolve) => {
          setTimeout(resolve, 1)
        })
      }
      await new Promise((resolve) => {
        setTimeout(resolve, random.below(i % 2 === 0 ? 60 : 250))
      })
      if (child.kill('SIGKILL')) killed++
      await exited(child)
      if (i % 3 === 0) await expectAll(packs, names)
    }
    expect(killed).toBeGreaterThan(10)
    await expectAll(packs, names)
  })
})

describe('a worker thread', () => {
  test.each(['level', 'memory'])('looks up in the %s index of the main thread', async (kind) => {
    const packs = randomPacks(new Random(8), 20, 200)
    const indexFiles = publish(packs, 4)
    const mirror = await openIndexMirror({ directory, repositoryId, indexFiles, load })
    const index = kind === 'level' ? mirror?.index : new MemoryIndex()
    if (index === undefined) throw new Error('there is no mirror')
    await index.add(packs)
    index.setStates(listingOf(packs), new Set())
    const ids = [...idsOfPacks(packs), Buffer.from(new Random(9).bytes(32))]
    const workerData = { share: index.share(), ids: Buffer.concat(ids) }
    const workers = [1, 2].map(() => new Worker(join(compiled, 'lookup.mjs'), { workerData }))
    const answers = await Promise.all(
      workers.map(
        (worker) =>
          new Promise<number[]>((resolve, reject) => {
            worker.on('message', resolve)
            worker.on('error', reject)
          }),
      ),
    )
    for (const found of answers) {
      ids.forEach((id, i) => {
        const expected = index.find(id).map(({ packNumber }) => packNumber)
        if (expected.length === 0) expect(found[i]).toBe(-1)
        else expect(expected).toContain(found[i])
      })
    }
    await Promise.all(workers.map((worker) => worker.terminate()))
    await mirror?.dispose()
  })
})
