import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type FileName, fileNameOf } from '../../../src/base/ids.ts'
import { nodeProcess } from '../../../src/base/node-seams.ts'
import type { IndexedPack, IndexFile } from '../../../src/format/index-file.ts'
import {
  applyToBase,
  discardIndexMirror,
  type IndexMirror,
  type IndexMirrorOptions,
  openIndexMirror,
  openReadyMirror,
} from '../../../src/pipeline/index/index-mirror.ts'
import { decodeManifest } from '../../../src/pipeline/index/level-manifest.ts'
import { IndexDamagedError } from '../../../src/pipeline/index/level-index.ts'
import { answer, idsOfPacks, listingOf, ModelIndex, Random, randomPacks } from './random-packs.ts'

const repositoryId = new Uint8Array(16).fill(7)
let root = ''
let directory = ''
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-mirror-'))
  directory = join(root, 'cache', 'index')
})
afterEach(() => fs.rmSync(root, { recursive: true, force: true }))

/** A repository's index files. */
class Files {
  readonly packs: IndexedPack[]
  readonly files = new Map<FileName, IndexFile>()
  readonly #random: Random
  loaded = 0

  constructor(seed: number, fileCount = 4, packCount = 12, blobsMax = 40) {
    this.#random = new Random(seed)
    this.packs = randomPacks(this.#random, packCount, blobsMax)
    const step = Math.ceil(packCount / fileCount)
    for (let i = 0; i < packCount; i += step) this.#addFile(this.packs.slice(i, i + step))
  }

  #addFile(packs: readonly IndexedPack[]): FileName {
    const name = fileNameOf(this.#random.bytes(32))
    this.files.set(name, { superseded: [], packs })
    return name
  }

  add(): { name: FileName; packs: IndexedPack[] } {
    const packs = randomPacks(this.#random, 2, 40)
    this.packs.push(...packs)
    return { name: this.#addFile(packs), packs }
  }

  async open(options: Partial<IndexMirrorOptions> = {}): Promise<IndexMirror | undefined> {
    this.loaded = 0
    const mirror = await openIndexMirror({
      directory,
      repositoryId,
      indexFiles: [...this.files.keys()],
      load: async (name) => {
        this.loaded++
        return this.files.get(name)
      },
      ...options,
    })
    mirror?.index.setStates(listingOf(this.packs), new Set())
    return mirror
  }

  expectAll(mirror: IndexMirror | undefined): void {
    if (mirror === undefined) throw new Error('there is no mirror')
    const model = new ModelIndex(this.packs)
    for (const id of idsOfPacks(this.packs)) {
      const expected = model.answer(id, listingOf(this.packs), new Set())
      expect(answer(mirror.index, id).sort(byCode)).toEqual(expected.sort(byCode))
    }
  }

  /** Fills the mirror, and leaves it. */
  async fill(): Promise<void> {
    const mirror = await this.open()
    expect(mirror?.applied).toBe(this.files.size)
    this.expectAll(mirror)
    await mirror?.dispose()
  }
}

const byCode = (a: string, b: string) => (a < b ? -1 : 1)
const base = () => join(directory, 'base')
const baseFiles = () => fs.readdirSync(base()).sort(byCode)
const left = () =>
  fs
    .readdirSync(directory)
    .filter((name) => name !== 'guard')
    .sort(byCode)

describe('openIndexMirror()', () => {
  test('applies what is new, once, and leaves nothing but the base', async () => {
    const files = new Files(1)
    await files.fill()
    expect(left()).toEqual(['base'])
    const second = await files.open()
    expect([second?.applied, files.loaded]).toEqual([0, 0])
    files.expectAll(second)
    const { name } = files.add()
    const third = await files.open()
    expect([third?.applied, files.loaded]).toEqual([1, 1])
    expect(third?.index.files.has(name)).toBe(true)
    files.expectAll(third)
    await Promise.all([second?.dispose(), third?.dispose()])
    await third?.dispose()
    expect(left()).toEqual(['base'])
  })

  test('its directories are for us alone', async () => {
    const files = new Files(2)
    const mirror = await files.open()
    const modes = ['', 'base', 'guard', ...left()].map(
      (name) => fs.statSync(join(directory, name)).mode,
    )
    expect(new Set(modes.map((mode) => mode & 0o777))).toEqual(new Set([0o700]))
    await mirror?.dispose()
  })

  test('an empty repository has an empty mirror', async () => {
    const files = new Files(3, 1, 0)
    const mirror = await files.open()
    expect(mirror?.applied).toBe(0)
    expect(mirror?.index.find(new Uint8Array(32))).toEqual([])
    await mirror?.dispose()
  })

  test('an index file that cannot be read is left out, and asked for again', async () => {
    const files = new Files(4)
    const [bad] = files.files.keys()
    const load = async (name: FileName) => (name === bad ? undefined : files.files.get(name))
    for (const applied of [files.files.size - 1, 0]) {
      const mirror = await files.open({ load })
      expect(mirror?.applied).toBe(applied)
      await mirror?.dispose()
    }
    const mirror = await files.open()
    expect(mirror?.applied).toBe(1)
    files.expectAll(mirror)
    await mirror?.dispose()
  })

  test('what `load` throws is thrown, and what was applied before stays', async () => {
    const files = new Files(5)
    const last = [...files.files.keys()].at(-1)
    const failure = new Error('storage is down')
    const load = (name: FileName) =>
      name === last ? Promise.reject(failure) : Promise.resolve(files.files.get(name))
    await expect(files.open({ load })).rejects.toBe(failure)
    const mirror = await files.open()
    expect(mirror?.applied).toBe(1)
    files.expectAll(mirror)
    await mirror?.dispose()
    expect(left()).toEqual(['base'])
  })

  test('index files that vanished with their packs are harmless; most packs gone: made anew', async () => {
    const files = new Files(6, 4, 12)
    await files.fill()
    const names = [...files.files.keys()]
    files.files.delete(names[0] ?? ('' as never))
    const gone = files.packs.splice(0, 3)
    const mirror = await files.open()
    expect(mirror?.applied).toBe(0)
    files.expectAll(mirror)
    const onlyGone = idsOfPacks(gone).filter(
      (id) => !idsOfPacks(files.packs).some((other) => other.equals(id)),
    )
    for (const id of onlyGone) expect(mirror?.index.find(id)).toEqual([])
    await mirror?.dispose()
    expect(left()).toEqual(['base'])
    for (const name of names.slice(1, 3)) files.files.delete(name)
    files.packs.splice(0, 6)
    await (await files.open())?.dispose()
    expect(left()).toEqual([])
    const again = await files.open()
    expect(again?.applied).toBe(1)
    files.expectAll(again)
    await again?.dispose()
  })

  test('a view is its own: what is added, and what LevelDB merges there, does not reach the base', async () => {
    const files = new Files(7)
    await files.fill()
    const before = new Map(baseFiles().map((name) => [name, fs.readFileSync(join(base(), name))]))
    const one = await files.open()
    const two = await files.open()
    await one?.index.add(randomPacks(new Random(99), 30, 400))
    await one?.index.settle()
    await one?.index.compact()
    expect(fs.readdirSync(one?.index.directory ?? '')).not.toEqual(
      fs.readdirSync(two?.index.directory ?? ''),
    )
    await two?.index.add(randomPacks(new Random(98), 30, 400))
    files.expectAll(one)
    files.expectAll(two)
    await one?.dispose()
    await two?.dispose()
    const after = new Map(baseFiles().map((name) => [name, fs.readFileSync(join(base(), name))]))
    expect(after).toEqual(before)
  })

  test('a table that the manifest does not name is not linked', async () => {
    const files = new Files(8)
    await files.fill()
    const stray = join(base(), '000999.ldb')
    fs.writeFileSync(stray, 'half a table')
    const mirror = await files.open()
    expect(fs.readdirSync(mirror?.index.directory ?? '')).not.toContain('000999.ldb')
    expect(fs.readFileSync(stray, 'utf8')).toBe('half a table')
    files.expectAll(mirror)
    await mirror?.dispose()
  })

  test('tables are linked, not copied', async () => {
    const files = new Files(9)
    const mirror = await files.open()
    const tables = baseFiles().filter((name) => name.endsWith('.ldb'))
    expect(tables.length).toBeGreaterThan(0)
    for (const name of tables) {
      const inView = fs.statSync(join(mirror?.index.directory ?? '', name))
      expect(inView.ino).toBe(fs.statSync(join(base(), name)).ino)
    }
    await mirror?.dispose()
  })

  test('decodeManifest() names the tables that are there', async () => {
    const files = new Files(10, 12, 60, 100)
    for (let i = 0; i < 6; i++) {
      files.add()
      await (await files.open())?.dispose()
    }
    const [manifest] = baseFiles().filter((name) => name.startsWith('MANIFEST'))
    const { tables } = decodeManifest(fs.readFileSync(join(base(), manifest ?? '')))
    const there = baseFiles().filter((name) => name.endsWith('.ldb'))
    const names = Array.from(tables, (number) => `${String(number).padStart(6, '0')}.ldb`)
    expect(names.sort(byCode)).toEqual(there)
    expect(there.length).toBeGreaterThan(1)
  })
})

describe('applyToBase()', () => {
  test('saves the next opening from loading', async () => {
    const files = new Files(20)
    await files.fill()
    const { name, packs } = files.add()
    expect(await applyToBase(directory, repositoryId, name, packs)).toBe(true)
    const mirror = await files.open()
    expect([mirror?.applied, files.loaded]).toEqual([0, 0])
    files.expectAll(mirror)
    expect(await applyToBase(directory, repositoryId, name, packs)).toBe(true)
    await mirror?.dispose()
  })

  test('gives up when it cannot', async () => {
    const files = new Files(21)
    await files.fill()
    const { name, packs } = files.add()
    fs.rmSync(root, { recursive: true })
    fs.writeFileSync(root, 'a file')
    expect(await applyToBase(directory, repositoryId, name, packs)).toBe(false)
  })

  test('many at once in one process: each is applied or left, none is lost', async () => {
    const files = new Files(22)
    await files.fill()
    const added = Array.from({ length: 8 }, () => files.add())
    const done = await Promise.all(
      added.map(({ name, packs }) => applyToBase(directory, repositoryId, name, packs)),
    )
    expect(done).toContain(true)
    const mirror = await files.open()
    expect(mirror?.applied).toBe(done.filter((isDone) => !isDone).length)
    files.expectAll(mirror)
    await mirror?.dispose()
  })
})

/** What a disk, a person or another program can do to a file. */
const DAMAGES: Record<string, (path: string, random: Random) => void> = {
  deleted: (path) => fs.rmSync(path),
  'cut to nothing': (path) => fs.truncateSync(path, 0),
  'cut in half': (path) => fs.truncateSync(path, fs.statSync(path).size >> 1),
  'cut by a byte': (path) => fs.truncateSync(path, Math.max(0, fs.statSync(path).size - 1)),
  zeroed: (path) => fs.writeFileSync(path, Buffer.alloc(fs.statSync(path).size)),
  'a bit flipped': (path, random) => {
    const bytes = fs.readFileSync(path)
    const at = random.below(bytes.length)
    if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
    fs.writeFileSync(path, bytes)
  },
  'a block zeroed': (path, random) => {
    const bytes = fs.readFileSync(path)
    const at = random.below(bytes.length)
    fs.writeFileSync(path, bytes.fill(0, at, Math.min(at + 4096, bytes.length)))
  },
}

/** After damage: right answers, none, or IndexDamagedError; and after that a new mirror is right. */
async function expectHonest(files: Files): Promise<void> {
  const mirror = await files.open()
  if (mirror === undefined) throw new Error('there is no mirror')
  const model = new ModelIndex(files.packs)
  let isDamaged = false
  for (const id of idsOfPacks(files.packs)) {
    try {
      const expected = model.answer(id, listingOf(files.packs), new Set())
      const found = answer(mirror.index, id)
      if (found.length > 0) expect(found.sort(byCode)).toEqual(expected.sort(byCode))
      else isDamaged = true
    } catch (error) {
      if (!(error instanceof IndexDamagedError)) throw error
      isDamaged = true
    }
  }
  const random = new Random(77)
  for (let i = 0; i < 50; i++) {
    try {
      expect(mirror.index.find(random.bytes(32))).toEqual([])
    } catch (error) {
      expect(error).toBeInstanceOf(IndexDamagedError)
    }
  }
  await mirror.dispose()
  if (!isDamaged) return
  await discardIndexMirror(directory)
  await files.fill()
}

describe('damage to the cache', () => {
  test('D1 the directory is deleted', async () => {
    const files = new Files(30)
    await files.fill()
    fs.rmSync(directory, { recursive: true })
    await files.fill()
  })

  test.each(Object.keys(DAMAGES))('D1 D2 each file of it is %s', async (how) => {
    const files = new Files(31, 3, 9, 60)
    const damage = DAMAGES[how]
    const random = new Random(how.length)
    await files.fill()
    const count = baseFiles().length
    expect(count).toBeGreaterThan(5) // CURRENT, LOCK, LOG, MANIFEST, log, table, filter
    const rounds = how.includes('bit') || how.includes('block') ? 12 : 1
    for (let i = 0; i < count * rounds; i++) {
      const names = baseFiles()
      const name = names[i % names.length]
      if (name !== undefined) damage?.(join(base(), name), random)
      await expectHonest(files)
      expect(left()).toEqual(['base'])
    }
  })

  test.each([
    ['16 NULs', Buffer.alloc(16)],
    ['a manifest that is not there', Buffer.from('MANIFEST-000099\n')],
    ['a path', Buffer.from('MANIFEST-1/../../x\n')],
    ['a line without its end', Buffer.from('MANIFEST-000002')],
  ])('D2 CURRENT holds %s', async (_, bytes) => {
    const files = new Files(32)
    await files.fill()
    fs.writeFileSync(join(base(), 'CURRENT'), bytes)
    const mirror = await files.open()
    expect(mirror?.applied).toBe(files.files.size)
    files.expectAll(mirror)
    await mirror?.dispose()
  })

  test('D2 everything is a directory, or a file where the base belongs', async () => {
    const files = new Files(33)
    await files.fill()
    for (const name of baseFiles()) {
      fs.rmSync(join(base(), name), { recursive: true, force: true })
      fs.mkdirSync(join(base(), name))
      await expectHonest(files)
    }
    fs.rmSync(base(), { recursive: true })
    fs.writeFileSync(base(), 'a file')
    await expectHonest(files)
  })

  test('D3 a filter of an older state is not used', async () => {
    const files = new Files(34)
    await files.fill()
    const [old] = baseFiles().filter((name) => name.startsWith('filter-'))
    const bytes = fs.readFileSync(join(base(), old ?? ''))
    const { name, packs } = files.add()
    await applyToBase(directory, repositoryId, name, packs)
    const [current] = baseFiles().filter((file) => file.startsWith('filter-'))
    expect(current).not.toBe(old)
    fs.writeFileSync(join(base(), current ?? ''), bytes)
    const mirror = await files.open()
    files.expectAll(mirror)
    expect(mirror?.applied).toBe(0)
    await mirror?.dispose()
  })

  test('D3 tables and logs of another database for the same repository are found', async () => {
    const files = new Files(35)
    await files.fill()
    const keep = join(root, 'older')
    fs.cpSync(base(), keep, { recursive: true })
    await discardIndexMirror(directory)
    await files.fill()
    const tables = (path: string) => fs.readdirSync(path).filter((name) => name.endsWith('.ldb'))
    expect(tables(keep)).toEqual(tables(base()))
    for (const name of tables(keep)) fs.copyFileSync(join(keep, name), join(base(), name))
    await expectHonest(files)
  })

  test('D7 the cache of another repository at the same place', async () => {
    const files = new Files(37)
    await files.fill()
    const other = new Files(38)
    const mirror = await other.open({ repositoryId: new Uint8Array(16).fill(9) })
    expect(mirror?.applied).toBe(other.files.size)
    other.expectAll(mirror)
    for (const id of idsOfPacks(files.packs)) expect(mirror?.index.find(id)).toEqual([])
    await mirror?.dispose()
  })
})

describe('D6 a place that is not fit for a cache', () => {
  test('is a file, below a file, a link, or writable by others', async () => {
    const files = new Files(40)
    fs.mkdirSync(join(root, 'cache'))
    fs.writeFileSync(directory, 'a file')
    expect(await files.open()).toBeUndefined()
    expect(await files.open({ directory: join(directory, 'below') })).toBeUndefined()
    fs.rmSync(directory)
    fs.mkdirSync(join(root, 'elsewhere'), { mode: 0o700 })
    fs.symlinkSync(join(root, 'elsewhere'), directory)
    expect(await files.open()).toBeUndefined()
    fs.rmSync(directory)
    fs.mkdirSync(directory)
    fs.chmodSync(directory, 0o777)
    expect(await files.open()).toBeUndefined()
    expect(fs.readdirSync(join(root, 'elsewhere'))).toEqual([])
    fs.chmodSync(directory, 0o755)
    const mirror = await files.open()
    files.expectAll(mirror)
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700)
    await mirror?.dispose()
  })

  test('belongs to somebody else', async () => {
    const files = new Files(41)
    const process = nodeProcess()
    expect(await files.open({ process: { ...process, uid: process.uid + 1 } })).toBeUndefined()
  })

  test.skipIf(process.getuid?.() === 0)('is read-only', async () => {
    const files = new Files(42)
    await files.fill()
    fs.chmodSync(directory, 0o500)
    expect(await files.open()).toBeUndefined()
    fs.chmodSync(directory, 0o700)
  })

  test.skipIf(!fs.existsSync('/dev/full') || !fs.existsSync('/sys/kernel'))(
    'cannot be written at all',
    async () => {
      const files = new Files(43)
      expect(await files.open({ directory: '/sys/kernel/cairn' })).toBeUndefined()
      expect(await applyToBase('/sys/kernel/cairn', repositoryId, '' as never, [])).toBe(false)
    },
  )
})

describe('stale views', () => {
  const dead = { ...nodeProcess(), isAlive: () => false }
  const ageing = (path: string, ageMs: number) => {
    const then = new Date(Date.now() - ageMs)
    fs.utimesSync(path, then, then)
  }

  test('of dead processes are removed after a while, and what is being deleted at once', async () => {
    const files = new Files(50)
    await files.fill()
    const old = join(directory, 'view-4194305-00ff')
    const young = join(directory, 'view-4194306-00ff')
    const ownPid = join(directory, `view-${process.pid}-00ff`)
    for (const path of [old, young, ownPid]) fs.cpSync(base(), path, { recursive: true })
    fs.mkdirSync(join(directory, 'trash-00'))
    fs.mkdirSync(join(directory, 'else'))
    ageing(old, 3600_000)
    ageing(ownPid, 3600_000)
    const mirror = await files.open({ process: dead })
    const mine = basename(mirror?.index.directory ?? '')
    expect(left()).toEqual(['base', 'else', 'view-4194306-00ff', mine].sort(byCode))
    await mirror?.dispose()
  })

  test('are kept as long as their process lives, or has the view open', async () => {
    const files = new Files(51)
    await files.fill()
    const old = join(directory, 'view-4194305-00ff')
    fs.cpSync(base(), old, { recursive: true })
    ageing(old, 3600_000)
    const alive = { ...nodeProcess(), isAlive: () => true }
    await (await files.open({ process: alive }))?.dispose()
    expect(left()).toContain('view-4194305-00ff')
    const mine = await files.open({ process: alive })
    ageing(mine?.index.directory ?? '', 48 * 3600_000)
    ageing(old, 0)
    await (await files.open({ process: dead }))?.dispose()
    files.expectAll(mine)
    await mine?.dispose()
    ageing(old, 48 * 3600_000)
    await (await files.open({ process: alive }))?.dispose()
    expect(left()).toEqual(['base'])
  })
})

describe('a mirror that is asked for on suspicion', () => {
  const views = () => fs.readdirSync(directory).filter((name) => name.startsWith('view-'))
  const ready = (files: Files) =>
    openReadyMirror({ directory, repositoryId, indexFiles: [...files.files.keys()] })

  test('is there where it has all index files', async () => {
    const files = new Files(71)
    await files.fill()
    const mirror = await ready(files)
    mirror?.index.setStates(listingOf(files.packs), new Set())
    files.expectAll(mirror)
    await mirror?.dispose()
    expect(views()).toEqual([])
  })

  test('is not there, and nothing is made, where there is no cache', async () => {
    expect(await ready(new Files(72))).toBeUndefined()
    expect(fs.existsSync(directory)).toBe(false)
  })

  test('is not there where an index file is new, and the next opening has it', async () => {
    const files = new Files(73)
    await files.fill()
    files.add()
    expect(await ready(files)).toBeUndefined()
    expect(views()).toEqual([])
    const mirror = await files.open()
    expect(files.loaded).toBe(1)
    files.expectAll(mirror)
    await mirror?.dispose()
  })

  test('is not there where its files are damaged, which are left as they are', async () => {
    const files = new Files(74)
    await files.fill()
    const base = join(directory, 'base')
    for (const name of fs.readdirSync(base)) fs.truncateSync(join(base, name), 3)
    const before = fs.readdirSync(base)
    expect(await ready(files)).toBeUndefined()
    expect(fs.readdirSync(base)).toEqual(before)
    const mirror = await files.open()
    files.expectAll(mirror)
    await mirror?.dispose()
  })
})
