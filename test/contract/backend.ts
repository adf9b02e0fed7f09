/**
 * Every promise of `src/storage/backend.ts`, for each implementation and each decorator. A promise
 * that is added there is added here in the same commit.
 */

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import { type FileName, fileNameOf } from '../../src/base/ids.ts'
import {
  type Backend,
  FILE_KINDS,
  type FileKind,
  type FileRef,
  type ForeignFile,
} from '../../src/storage/backend.ts'

/** One empty place, and what a test may do to it behind the backend's back. */
export interface BackendUnderTest {
  readonly backend: Backend
  /** Another client on the same place. */
  readonly reopen: () => Backend
  /** Puts a file at a path relative to the place, for instance `index/notes.txt`. */
  readonly plant?: (path: string, bytes: Uint8Array) => Promise<void>
  /** Puts a file that looks like the rest of a save interrupted `ageMs` ago. */
  readonly leaveTemporary?: (ageMs: number) => Promise<void>
  readonly dispose?: () => Promise<void>
}

export type MakeBackend = () => Promise<BackendUnderTest>

/** Bytes that look random and depend on the seed alone. */
export function bytesFrom(seed: number | string, byteCount: number): Uint8Array {
  if (byteCount === 0) return new Uint8Array()
  const stream = createHash('shake128', { outputLength: byteCount }).update(String(seed)).digest()
  return new Uint8Array(stream)
}

export function fileOf(kind: FileKind, bytes: Uint8Array): FileRef {
  return { kind, name: fileNameOf(createHash('sha256').update(bytes).digest()) }
}

/** The code that `promise` rejects with, or a text that says that it did not. */
export async function rejectionCode(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'no rejection'
  } catch (error) {
    return isCairnError(error) ? error.code : `not a CairnError: ${String(error)}`
  }
}

function names(files: readonly { readonly name: FileName }[]): FileName[] {
  return files.map(({ name }) => name).sort()
}

export function backendContract(name: string, makeBackend: MakeBackend): void {
  describe(`${name}: backend contract`, () => {
    let place: BackendUnderTest
    let backend: Backend

    beforeEach(async () => {
      place = await makeBackend()
      backend = place.backend
      await backend.create()
    })

    afterEach(async () => {
      await backend.close()
      await place.dispose?.()
    })

    const get = () => ({ place, backend })
    savingAndLoading(get)
    ranges(get)
    listing(get)
    removing(get)
    interruptions(get)
    model(get)
    housekeeping(get)
  })
}

type Get = () => { readonly place: BackendUnderTest; readonly backend: Backend }

function savingAndLoading(get: Get): void {
  test.each(FILE_KINDS)('save() and load() return the same bytes of kind %s', async (kind) => {
    const { backend } = get()
    const bytes = bytesFrom(kind, 1000)
    const file = fileOf(kind, bytes)
    await backend.save(file, bytes)
    expect(await backend.load(file)).toEqual(bytes)
    expect(names(await backend.list(kind))).toEqual([file.name])
  })

  test('save() keeps any bytes of any length, also a view into a larger buffer', async () => {
    const { backend } = get()
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 5000 }),
        fc.nat(64),
        fc.constantFrom(...FILE_KINDS),
        async (content, margin, kind) => {
          const buffer = new Uint8Array(content.byteLength + 2 * margin).fill(0xee)
          buffer.set(content, margin)
          const view = buffer.subarray(margin, margin + content.byteLength)
          const file = fileOf(kind, view)
          await backend.save(file, view)
          expect(await backend.load(file)).toEqual(new Uint8Array(content))
        },
      ),
      { numRuns: 60 },
    )
  })

  test('save() keeps an empty file and a file of several MiB', async () => {
    const { backend } = get()
    for (const byteCount of [0, 9 * 1024 * 1024 + 1]) {
      const bytes = bytesFrom('sizes', byteCount)
      const file = fileOf('packs', bytes)
      await backend.save(file, bytes)
      const loaded = await backend.load(file)
      expect(loaded?.byteLength).toBe(byteCount)
      expect(Buffer.compare(loaded ?? new Uint8Array(), bytes)).toBe(0)
    }
  })

  test('save() again is success and changes nothing', async () => {
    const { place, backend } = get()
    const bytes = bytesFrom('again', 500)
    const file = fileOf('index', bytes)
    await backend.save(file, bytes)
    await backend.save(file, bytes)
    await place.reopen().save(file, bytes)
    expect(await backend.load(file)).toEqual(bytes)
    expect(await backend.list('index')).toHaveLength(1)
  })

  test('save() of another length under the same name is CAIRN_CORRUPT and overwrites nothing', async () => {
    const { backend } = get()
    const bytes = bytesFrom('first', 500)
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    for (const byteCount of [0, 499, 501]) {
      const other = bytesFrom('second', byteCount)
      expect(await rejectionCode(backend.save(file, other))).toBe('CAIRN_CORRUPT')
    }
    expect(await backend.load(file)).toEqual(bytes)
  })

  test('save() leaves the bytes to the caller once it has settled', async () => {
    const { backend } = get()
    const bytes = bytesFrom('reused', 100_000)
    const copy = bytes.slice()
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    bytes.fill(0)
    expect(await backend.load(file)).toEqual(copy)
  })

  test('load() returns bytes of the caller’s own', async () => {
    const { backend } = get()
    const bytes = bytesFrom('own', 300)
    const file = fileOf('keys', bytes)
    await backend.save(file, bytes)
    const loaded = await backend.load(file)
    loaded?.fill(0)
    expect(await backend.load(file)).toEqual(bytes)
    expect(loaded?.buffer.byteLength).toBe(loaded?.byteLength) // May be transferred to a worker.
  })

  test('concurrent saves of one file all succeed and leave one whole file', async () => {
    const { place, backend } = get()
    const bytes = bytesFrom('concurrent', 70_000)
    const file = fileOf('packs', bytes)
    const clients = [backend, place.reopen(), backend, place.reopen(), backend]
    await Promise.all(clients.map((client) => client.save(file, bytes)))
    expect(await backend.load(file)).toEqual(bytes)
    expect(await backend.list('packs')).toHaveLength(1)
  })

  test('a reader sees a file whole or not at all while it is being saved', async () => {
    const { place, backend } = get()
    const reader = place.reopen()
    for (let round = 0; round < 5; round++) {
      const bytes = bytesFrom(`round ${round}`, 2_000_000)
      const file = fileOf('packs', bytes)
      let isSaved = false
      const saving = backend.save(file, bytes).then(() => {
        isSaved = true
      })
      while (!isSaved) {
        const seen = await reader.load(file)
        if (seen !== undefined) expect(Buffer.compare(seen, bytes)).toBe(0)
        for (const { byteCount } of await reader.list('packs')) expect(byteCount).toBe(2_000_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await saving
    }
  })

  test('load() of what is not there is undefined, with and without a range', async () => {
    const { backend } = get()
    const bytes = bytesFrom('absent', 10)
    for (const kind of FILE_KINDS) {
      const file = fileOf(kind, bytes)
      expect(await backend.load(file)).toBeUndefined()
      expect(await backend.load(file, { offset: 5, byteCount: 100 })).toBeUndefined()
    }
    // The same name under another kind is another file.
    await backend.save(fileOf('index', bytes), bytes)
    expect(await backend.load(fileOf('snapshots', bytes))).toBeUndefined()
  })
}

function ranges(get: Get): void {
  test('load() of any range within a file returns exactly that range', async () => {
    const { backend } = get()
    const bytes = bytesFrom('range', 3000)
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    await fc.assert(
      fc.asyncProperty(fc.nat(3000), fc.nat(3000), async (a, b) => {
        const [from, to] = a < b ? [a, b] : [b, a]
        const loaded = await backend.load(file, { offset: from, byteCount: to - from })
        expect(loaded).toEqual(bytes.slice(from, to))
      }),
      {
        numRuns: 60,
        examples: [
          [0, 0],
          [3000, 3000],
          [0, 3000],
          [2999, 3000],
          [0, 1],
        ],
      },
    )
  })

  test('load() of a range beyond the end is CAIRN_CORRUPT, never a short result', async () => {
    const { backend } = get()
    const bytes = bytesFrom('beyond', 3000)
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    const beyond = [
      { offset: 0, byteCount: 3001 },
      { offset: 2999, byteCount: 2 },
      { offset: 3000, byteCount: 1 },
      { offset: 3001, byteCount: 0 },
      { offset: 5000, byteCount: 10 },
      { offset: 0, byteCount: 2 ** 50 },
      { offset: 2 ** 50, byteCount: 1 },
    ]
    for (const range of beyond) {
      const what = `${range.offset}+${range.byteCount}`
      expect([what, await rejectionCode(backend.load(file, range))]).toEqual([
        what,
        'CAIRN_CORRUPT',
      ])
    }
  })

  test('load() of a short file says the file, the offset, what was expected and found', async () => {
    const { backend } = get()
    const bytes = bytesFrom('details', 3000)
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    await expect(backend.load(file, { offset: 2900, byteCount: 200 })).rejects.toMatchObject({
      details: {
        file: expect.stringContaining(file.name),
        offset: 2900,
        expected: 200,
        found: 100,
      },
    })
  })

  test('load() of what is no range is a mistake of the caller', async () => {
    const { backend } = get()
    const bytes = bytesFrom('mistake', 30)
    const file = fileOf('packs', bytes)
    await backend.save(file, bytes)
    for (const range of [
      { offset: -1, byteCount: 5 },
      { offset: 0, byteCount: -5 },
      { offset: 0.5, byteCount: 1 },
      { offset: 0, byteCount: Number.NaN },
    ]) {
      await expect(backend.load(file, range)).rejects.toBeInstanceOf(RangeError)
    }
  })
}

function listing(get: Get): void {
  test('list() of an empty place lists nothing', async () => {
    const { backend } = get()
    const foreign: ForeignFile[] = []
    for (const kind of FILE_KINDS) {
      expect(await backend.list(kind, { onForeign: (file) => foreign.push(file) })).toEqual([])
    }
    expect(foreign).toEqual([])
  })

  test('list() shows each of 330 files once, with its length, to every client', async () => {
    const { place, backend } = get()
    const saved = new Map<FileName, number>()
    await Promise.all(
      Array.from({ length: 330 }, async (_, index) => {
        const bytes = bytesFrom(`listed ${index}`, index)
        const file = fileOf('packs', bytes)
        saved.set(file.name, index)
        await backend.save(file, bytes)
      }),
    )
    await backend.flush()
    for (const client of [backend, place.reopen()]) {
      const listed = await client.list('packs')
      expect(listed).toHaveLength(330)
      expect(new Map(listed.map(({ name, byteCount }) => [name, byteCount]))).toEqual(saved)
      for (const { mtimeMs } of listed) {
        if (mtimeMs !== undefined) expect(Number.isFinite(mtimeMs)).toBe(true)
      }
    }
    expect(await backend.list('index')).toEqual([])
  })

  test('list() shows the files of its kind only', async () => {
    const { backend } = get()
    const expected = new Map<FileKind, FileName[]>()
    for (const kind of FILE_KINDS) {
      const files = [1, 2, 3].map((number) => bytesFrom(`${kind} ${number}`, 50))
      for (const bytes of files) await backend.save(fileOf(kind, bytes), bytes)
      expected.set(kind, names(files.map((bytes) => fileOf(kind, bytes))))
    }
    for (const kind of FILE_KINDS) {
      expect(names(await backend.list(kind))).toEqual(expected.get(kind))
    }
  })

  test('list() shows a file as soon as its save has returned, if it says so', async () => {
    const { place, backend } = get()
    if (!backend.listsConsistently) return
    for (let index = 0; index < 10; index++) {
      const bytes = bytesFrom(`soon ${index}`, 20)
      await backend.save(fileOf('snapshots', bytes), bytes)
      expect(await place.reopen().list('snapshots')).toHaveLength(index + 1)
    }
  })

  test('list() reports foreign names, leaves them out and never touches them', async (ctx) => {
    const { place, backend } = get()
    if (place.plant === undefined) return ctx.skip('this place takes no foreign files')
    const bytes = bytesFrom('ours', 20)
    const file = fileOf('index', bytes)
    await backend.save(file, bytes)
    const planted = [
      'index/notes.txt',
      'index/.DS_Store',
      `index/${'0'.repeat(63)}`,
      `index/${'0'.repeat(65)}`,
      `index/${'A'.repeat(64)}`,
      `index/${'0'.repeat(64)}.tmp`,
    ]
    for (const path of planted) await place.plant(path, bytesFrom(path, 7))
    for (let round = 0; round < 2; round++) {
      const foreign: ForeignFile[] = []
      const listed = await backend.list('index', { onForeign: (found) => foreign.push(found) })
      expect(names(listed)).toEqual([file.name])
      expect(foreign.map(({ path }) => path).sort()).toEqual([...planted].sort())
      expect(new Set(foreign.map(({ kind }) => kind))).toEqual(new Set(['index']))
    }
    expect(names(await backend.list('index'))).toEqual([file.name]) // Without the callback.
  })
}

function removing(get: Get): void {
  test('remove() removes that file and no other', async () => {
    const { place, backend } = get()
    const all = [1, 2, 3, 4].map((number) => bytesFrom(`removed ${number}`, 40))
    for (const bytes of all) await backend.save(fileOf('packs', bytes), bytes)
    const [gone, ...kept] = all as [Uint8Array, ...Uint8Array[]]
    await backend.remove(fileOf('packs', gone))
    await backend.flush()
    for (const client of [backend, place.reopen()]) {
      expect(await client.load(fileOf('packs', gone))).toBeUndefined()
      const expected = names(kept.map((bytes) => fileOf('packs', bytes)))
      expect(names(await client.list('packs'))).toEqual(expected)
    }
  })

  test('remove() of what is not there succeeds, again and for every kind', async () => {
    const { place, backend } = get()
    const bytes = bytesFrom('twice', 40)
    for (const kind of FILE_KINDS) {
      const file = fileOf(kind, bytes)
      await backend.remove(file)
      await backend.save(file, bytes)
      await Promise.all([backend.remove(file), place.reopen().remove(file)])
      await backend.remove(file)
      expect(await backend.list(kind)).toEqual([])
    }
    await backend.flush()
  })

  test('save() after remove() brings the file back, of any length', async () => {
    const { backend } = get()
    const bytes = bytesFrom('back', 40)
    const file = fileOf('marks', bytes)
    await backend.save(file, bytes)
    await backend.remove(file)
    await backend.save(file, bytesFrom('back', 41))
    expect((await backend.load(file))?.byteLength).toBe(41)
  })
}

function interruptions(get: Get): void {
  test('an aborted signal rejects every call with CAIRN_ABORTED and changes nothing', async () => {
    const { backend } = get()
    const kept = bytesFrom('kept', 40)
    const refused = bytesFrom('refused', 40)
    await backend.save(fileOf('packs', kept), kept)
    const signal = AbortSignal.abort(new Error('stop'))
    const calls = [
      backend.create({ signal }),
      backend.save(fileOf('packs', refused), refused, { signal }),
      backend.flush({ signal }),
      backend.load(fileOf('packs', kept), undefined, { signal }),
      backend.list('packs', { signal }),
      backend.remove(fileOf('packs', kept), { signal }),
      backend.sweepTemporary(0, { signal }),
    ]
    const codes = await Promise.all(calls.map(rejectionCode))
    expect(codes).toEqual(calls.map(() => 'CAIRN_ABORTED'))
    expect(names(await backend.list('packs'))).toEqual([fileOf('packs', kept).name])
  })

  test('a save that is aborted on its way leaves the whole file or none', async () => {
    const { backend } = get()
    for (let delay = 0; delay < 12; delay++) {
      const bytes = bytesFrom(`aborted ${delay}`, 200_000)
      const file = fileOf('packs', bytes)
      const abort = new AbortController()
      const saving = rejectionCode(backend.save(file, bytes, { signal: abort.signal }))
      for (let turn = 0; turn < delay; turn++) await new Promise((done) => setImmediate(done))
      abort.abort()
      const outcome = await saving
      expect(['CAIRN_ABORTED', 'no rejection']).toContain(outcome)
      const found = await backend.load(file)
      if (outcome === 'no rejection') expect(found).toBeDefined()
      if (found !== undefined) expect(Buffer.compare(found, bytes)).toBe(0)
      await backend.save(file, bytes) // Trying again works.
      expect(await backend.load(file)).toBeDefined()
    }
  })
}

function model(get: Get): void {
  test('any sequence of calls behaves as a map from names to bytes', async () => {
    const { place, backend } = get()
    const pool = Array.from({ length: 8 }, (_, index) => bytesFrom(`model ${index}`, index * 37))
    const call = fc.record({
      verb: fc.constantFrom('save', 'save', 'remove', 'load', 'list', 'flush'),
      kind: fc.constantFrom<FileKind>('packs', 'index', 'marks'),
      index: fc.nat(pool.length - 1),
      client: fc.boolean(),
    })
    const other = place.reopen()
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 40 }), async (calls) => {
        const expected = new Map<string, Uint8Array>()
        for (const { verb, kind, index, client: useOther } of calls) {
          const client = useOther ? other : backend
          const bytes = pool[index] as Uint8Array
          const file = fileOf(kind, bytes)
          const key = `${kind}/${file.name}`
          if (verb === 'save') {
            await client.save(file, bytes)
            expected.set(key, bytes)
          } else if (verb === 'remove') {
            await client.remove(file)
            expected.delete(key)
          } else if (verb === 'load') {
            expect(await client.load(file)).toEqual(expected.get(key))
          } else if (verb === 'flush') {
            await client.flush()
          } else {
            const keys = (await client.list(kind)).map(({ name }) => `${kind}/${name}`)
            const known = [...expected.keys()].filter((each) => each.startsWith(`${kind}/`))
            expect(keys.sort()).toEqual(known.sort())
          }
        }
        for (const kind of FILE_KINDS) {
          for (const { name } of await backend.list(kind)) await backend.remove({ kind, name })
        }
      }),
      { numRuns: 20 },
    )
  })
}

function housekeeping(get: Get): void {
  test('create() again keeps everything', async () => {
    const { place, backend } = get()
    const bytes = bytesFrom('created', 40)
    const file = fileOf('config', bytes)
    await backend.save(file, bytes)
    await Promise.all([backend.create(), place.reopen().create()])
    expect(await backend.load(file)).toEqual(bytes)
    expect(await backend.list('config')).toHaveLength(1)
  })

  test('flush() may be called with nothing to do, often, and while saves run', async () => {
    const { backend } = get()
    await backend.flush()
    await Promise.all([backend.flush(), backend.flush()])
    const calls: Promise<void>[] = []
    for (let index = 0; index < 20; index++) {
      const bytes = bytesFrom(`flushed ${index}`, 100)
      calls.push(backend.save(fileOf('index', bytes), bytes), backend.flush())
    }
    await Promise.all(calls)
    expect(await backend.list('index')).toHaveLength(20)
  })

  test('sweepTemporary() removes old leftovers only, and no file', async (ctx) => {
    const { place, backend } = get()
    const bytes = bytesFrom('swept', 40)
    await backend.save(fileOf('packs', bytes), bytes)
    expect(await backend.sweepTemporary(3_600_000)).toBe(0)
    if (place.leaveTemporary === undefined) return ctx.skip('this place has no temporary files')
    await place.leaveTemporary(7_200_000)
    await place.leaveTemporary(1_800_000)
    expect(await backend.sweepTemporary(3_600_000)).toBe(1)
    expect(await backend.sweepTemporary(3_600_000)).toBe(0)
    expect(await backend.sweepTemporary(1_000_000)).toBe(1)
    expect(await backend.load(fileOf('packs', bytes))).toEqual(bytes)
  })

  test('localPath(), where there is one, is a file with the same bytes', async (ctx) => {
    const { backend } = get()
    if (backend.localPath === undefined) return ctx.skip('not a local place')
    for (const kind of FILE_KINDS) {
      const bytes = bytesFrom(`local ${kind}`, 60)
      const file = fileOf(kind, bytes)
      await backend.save(file, bytes)
      expect(new Uint8Array(await readFile(backend.localPath(file)))).toEqual(bytes)
    }
  })

  test('location says where it is, and close() may be repeated', async () => {
    const { backend } = get()
    expect(backend.location).not.toBe('')
    await backend.close()
    await backend.close()
  })
}
