/** Every codec: what was encoded decodes to the same, and damaged bytes give a typed error. */

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import { type FileName, fileNameOf } from '../../src/base/ids.ts'
import { CborReader, CborWriter } from '../../src/format/cbor.ts'
import {
  type ConfigBox,
  decodeConfig,
  decodeConfigBox,
  encodeConfig,
  encodeConfigBox,
  encodeConfigLine,
} from '../../src/format/config.ts'
import { BLOB_TYPE, LIMIT, OBJECT_KIND } from '../../src/format/constants.ts'
import { DirectoryBuilder, PackDirectory } from '../../src/format/directory.ts'
import { decodeIndexFile, encodeIndexFile } from '../../src/format/index-file.ts'
import { padme } from '../../src/format/padme.ts'
import { decodePreamble, encodePreamble } from '../../src/format/preamble.ts'
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  readSegmentTable,
  segmentBodyBytes,
  writeSegmentRow,
} from '../../src/format/segment.ts'
import {
  decodeBeat,
  decodeMark,
  decodeTombstone,
  encodeBeat,
  encodeMark,
  encodeTombstone,
} from '../../src/format/session.ts'
import {
  decodeSlot,
  decodeSlotPayload,
  encodeSlot,
  encodeSlotHead,
  encodeSlotPayload,
} from '../../src/format/slot.ts'
import {
  decodeEnvelope,
  decodeSnapshotContent,
  encodeEnvelope,
  encodeSnapshotContent,
  STATISTIC_KEYS,
} from '../../src/format/snapshot.ts'
import {
  decodeInner,
  decodeLeaf,
  decodeListLeaf,
  encodeInner,
  encodeListLeaf,
  LEAF_HEAD,
  scanLeaf,
  type TreeEntry,
  writeEntry,
} from '../../src/format/tree.ts'

const bytes = (min: number, max = min) =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((value) => new Uint8Array(value))
const id = bytes(32)
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const time = fc.record({
  seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  nanoseconds: fc.nat(999_999_999),
})
const byteName = bytes(1, 60)
  .map((value) => Buffer.from(value).toString('latin1'))
  .filter((name) => !/[/\0]/.test(name) && name !== '.' && name !== '..')
const fileName = id.map((value): FileName => fileNameOf(value))
/** Without `-0` and prototype surprises: toEqual tells them apart, the format does not. */
const plain = <T>(value: T): T => value

/** Flips a bit, or cuts, and expects a value or a CairnError: nothing else, and no endless loop. */
function expectTyped(encoded: Uint8Array, decode: (damaged: Uint8Array) => unknown): void {
  fc.assert(
    fc.property(fc.nat(encoded.length * 8 - 1), fc.nat(encoded.length), (bit, cut) => {
      const flipped = Uint8Array.from(encoded)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      for (const damaged of [flipped, encoded.subarray(0, cut)]) {
        try {
          decode(damaged)
        } catch (error) {
          if (!isCairnError(error)) throw error
        }
      }
    }),
    { numRuns: 40 },
  )
}

/** Decodes what it encodes, for any value of `values`. */
function roundTrip<T>(
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (encoded: Uint8Array) => unknown,
): void {
  fc.assert(
    fc.property(values, (value) => {
      expect(decode(encode(value))).toEqual(plain(value))
    }),
    { numRuns: 60 },
  )
  const [sample] = fc.sample(values, { numRuns: 1, seed: 5 })
  if (sample !== undefined) expectTyped(encode(sample), decode)
}

describe('CBOR', () => {
  test('integers round-trip over the whole range', () => {
    const any = fc.oneof(
      fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
      fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) - 1n }),
    )
    roundTrip(
      any,
      (value) => {
        const out = new CborWriter()
        out.integer(value)
        return out.finish()
      },
      (encoded) => new CborReader(encoded, 'test').integer64(),
    )
  })

  test.each([
    ['an integer longer than it need be', '1817'],
    ['a longer length', '5801'],
    ['an indefinite string', '5f4100ff'],
    ['a float', 'f90000'],
    ['a tag', 'c100'],
    ['true', 'f5'],
    ['equal keys', 'a200000000'],
    ['keys out of order', 'a201000000'],
    ['a length beyond the end', '5a7fffffff'],
    ['a count beyond the end', '9a7fffffff'],
    ['deep nesting', '81'.repeat(40)],
  ])('M8: refuses %s', (_what, hex) => {
    const reader = new CborReader(Buffer.from(hex, 'hex'), 'test')
    expect(() => reader.skip()).toThrow(/cannot decode test/)
  })
})

test('padme() grows by at most 12 % and never shrinks', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31), (length) => {
      const padded = padme(length)
      expect(padded).toBeGreaterThanOrEqual(length)
      expect(padded).toBeLessThanOrEqual(Math.ceil(length * 1.12) + 1)
      expect(padme(padded)).toBe(padded)
    }),
  )
})

test('preambles', () => {
  const kinds = fc.constantFrom(...Object.values(OBJECT_KIND))
  fc.assert(
    fc.property(
      kinds,
      fc.nat(255),
      fc.nat(2 ** 31),
      bytes(16),
      id,
      id,
      (kind, aead, epoch, repositoryId, salt, key) => {
        const preamble = { kind, aead, epoch, repositoryId, salt, ephemeralPublicKey: key }
        const decoded = decodePreamble(encodePreamble(preamble), kind)
        expect({ ...decoded, salt: new Uint8Array(decoded.salt) }).toMatchObject({
          kind,
          aead,
          epoch,
          salt,
        })
      },
    ),
  )
})

const segmentSizes = fc.array(fc.array(fc.nat(5000), { minLength: 1, maxLength: 6 }), {
  maxLength: 6,
})

/** A directory whose segments have blobs of these lengths. */
function directoryOf(segments: readonly (readonly number[])[]): Uint8Array {
  const builder = new DirectoryBuilder()
  let offset = 128
  let blob = 0
  for (const lengths of segments) {
    const plainBytes = lengths.reduce((sum, length) => sum + length + 5, 0)
    const rows = new Uint8Array(5 * lengths.length)
    const ids = new Uint8Array(32 * lengths.length)
    for (const [i, length] of lengths.entries()) {
      writeSegmentRow(rows, 5 * i, BLOB_TYPE.data, length)
      ids.fill(blob++ % 256, 32 * i, 32 * i + 32)
    }
    const segment = {
      offset,
      storedBytes: plainBytes,
      plainBytes,
      blobCount: lengths.length,
      compression: 0,
      kind: 0,
    }
    builder.addSegment(segment, ids, rows)
    offset += 64 + segmentBodyBytes(plainBytes)
  }
  return builder.encode()
}

test('pack directories and segment tables agree on where blobs are', () => {
  fc.assert(
    fc.property(segmentSizes, (segments) => {
      const directory = new PackDirectory(directoryOf(segments))
      const found: [number, number][] = []
      directory.forEach((blob, segment, offset) => {
        found.push([segment, offset])
        expect(directory.length(blob)).toBe(segments.flat()[blob])
      })
      for (const [s, lengths] of segments.entries()) {
        const plainBytes = Buffer.alloc(lengths.reduce((sum, length) => sum + length + 5, 0))
        for (const [i, length] of lengths.entries()) writeSegmentRow(plainBytes, 5 * i, 1, length)
        const table = readSegmentTable(plainBytes, lengths.length)
        expect(table.map(({ offset }) => [s, offset])).toEqual(
          found.filter(([segment]) => segment === s),
        )
      }
    }),
    { numRuns: 60 },
  )
  expectTyped(directoryOf([[10, 20], [3000]]), (damaged) => new PackDirectory(damaged))
})

test('segment headers', () => {
  const header = { storedBytes: 90, plainBytes: 100, blobCount: 3, compression: 1, kind: 1 }
  expect(decodeSegmentHeader(encodeSegmentHeader(header))).toEqual(header)
  for (const wrong of [
    { plainBytes: LIMIT.segmentPlainBytesMax + 1 },
    { blobCount: 0 },
    { blobCount: LIMIT.segmentBlobsMax + 1 },
    { compression: 2 },
    { kind: 9 },
    { storedBytes: 101 },
    { compression: 0 },
  ]) {
    expect(() => decodeSegmentHeader(encodeSegmentHeader({ ...header, ...wrong }))).toThrow(
      /cannot decode segment header/,
    )
  }
})

test('index files; a damaged entry does not take the others with it', () => {
  const packs = fc.array(
    fc.record({
      name: fileName,
      byteCount: fc.integer({ min: 2 ** 20, max: 2 ** 31 }),
      verified: fc.boolean(),
      author: bytes(8),
      preamble: bytes(128),
      directory: segmentSizes.map((segments) => new PackDirectory(directoryOf(segments))),
    }),
    { maxLength: 4 },
  )
  fc.assert(
    fc.property(packs, fc.array(fileName, { maxLength: 3 }), (list, superseded) => {
      const file = decodeIndexFile(encodeIndexFile({ superseded, packs: list }), () =>
        expect.fail(),
      )
      expect(file.superseded).toEqual(superseded)
      expect(
        file.packs.map(({ name, byteCount, verified }) => ({ name, byteCount, verified })),
      ).toEqual(list.map(({ name, byteCount, verified }) => ({ name, byteCount, verified })))
    }),
    { numRuns: 40 },
  )
  const [good, bad] = [[[10]], [[20]]].map((segments) => new PackDirectory(directoryOf(segments)))
  if (good === undefined || bad === undefined) return
  const entry = {
    byteCount: 2 ** 20,
    verified: false,
    author: new Uint8Array(8),
    preamble: new Uint8Array(128),
  }
  const names = [1, 2].map((fill) => fileNameOf(new Uint8Array(32).fill(fill)))
  const encoded = encodeIndexFile({
    superseded: [],
    packs: [
      { ...entry, name: names[0] as FileName, directory: good },
      { ...entry, name: names[1] as FileName, directory: bad },
    ],
  })
  encoded[12 + 184 + 8] = 0xff // The first pack's segment now begins far outside of it.
  encoded[12 + 184 + 9] = 0xff
  encoded[12 + 184 + 10] = 0xff
  const damaged: FileName[] = []
  const file = decodeIndexFile(encoded, (name) => damaged.push(name))
  expect(damaged).toEqual([names[0]])
  expect(file.packs.map(({ name }) => name)).toEqual([names[1]])
})

const entryFields = fc.record(
  {
    name: byteName,
    type: fc.nat(6),
    mode: fc.nat(0o7777),
    uid: fc.nat(2 ** 31),
    gid: fc.nat(2 ** 31),
    mtime: time,
    size: count,
    birthtime: time,
    atime: time,
    content: fc
      .array(bytes(36), { minLength: 1, maxLength: 128 })
      .map((list) => new Uint8Array(Buffer.concat(list))),
    contentList: fc.record({ id, height: fc.nat(16) }),
    target: bytes(1, 300),
    device: fc.record({ major: fc.nat(2 ** 20), minor: fc.nat(2 ** 20) }),
    subtree: fc.record({ id, height: fc.nat(16) }),
    flags: fc.integer({ min: 1, max: 2 ** 31 }),
    linkGroup: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    changedWhileRead: fc.constant(true),
  },
  { requiredKeys: ['name', 'type', 'mode', 'uid', 'gid', 'mtime', 'size'] },
)

const PLAIN = { type: 0, mode: 0, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 }, size: 0 }

function encodeLeaf(entries: readonly TreeEntry[]): Uint8Array {
  const out = new CborWriter()
  out.raw(LEAF_HEAD)
  for (const entry of entries) writeEntry(out, entry)
  return out.finish()
}

function leafEntries(encoded: Uint8Array): TreeEntry[] {
  const entries: TreeEntry[] = []
  decodeLeaf(
    encoded,
    (entry) => entries.push(entry),
    () => {},
  )
  return entries
}

test('tree leaves', () => {
  const leaf = fc
    .uniqueArray(entryFields, { maxLength: 8, selector: ({ name }) => name })
    .map((entries) => entries.sort((a, b) => (a.name < b.name ? -1 : 1)) as TreeEntry[])
  roundTrip(leaf, encodeLeaf, leafEntries)
})

test('M1: names that no file system may hold are refused one by one, the rest of the leaf is good', () => {
  const names = ['', '.', '..', 'a', 'a', 'a/b', 'b\0c', 'x'.repeat(4096), 'b', '/etc', 'c', 'ab']
  const refused: string[] = []
  const good: string[] = []
  decodeLeaf(
    encodeLeaf(names.map((name) => ({ ...PLAIN, name }))),
    ({ name }) => good.push(name),
    ({ name }) => refused.push(name),
  )
  expect(good).toEqual(['a', 'b', 'c'])
  expect(refused).toHaveLength(names.length - good.length)
})

/** A leaf with one entry, which has a name and this field. */
function leafWith(key: number, write: (out: CborWriter) => void): Uint8Array {
  const out = new CborWriter()
  out.raw(LEAF_HEAD)
  out.map(2)
  out.integer(0)
  out.byteString('name')
  out.integer(key)
  write(out)
  return out.finish()
}

test('an unknown negative key is critical, an unknown positive one is not', () => {
  for (const [key, isCritical] of [
    [-1, true],
    [60, undefined],
  ] as const) {
    const leaf = leafWith(key, (out) => out.text('from the future'))
    expect(leafEntries(leaf)[0]?.unknownCritical).toBe(isCritical)
  }
})

test('a row says of each entry what the entry says, and makes it when asked', () => {
  const leaf = fc
    .uniqueArray(entryFields, { maxLength: 8, selector: ({ name }) => name })
    .map((entries) => entries.sort((a, b) => (a.name < b.name ? -1 : 1)) as TreeEntry[])
  fc.assert(
    fc.property(leaf, fc.nat(7), (entries, wanted) => {
      const encoded = encodeLeaf(entries)
      const seen: { readonly name: string; readonly type: number }[] = []
      const made: TreeEntry[] = []
      scanLeaf(
        encoded,
        (row) => {
          if (seen.length === wanted) made.push(row.entry())
          seen.push({ name: row.name, type: row.type })
        },
        () => {},
      )
      const all = leafEntries(encoded)
      expect(seen).toEqual(all.map(({ name, type }) => ({ name, type })))
      expect(made).toEqual(all.slice(wanted, wanted + 1))
    }),
  )
})

test('entries that nobody asks for are checked like the others', () => {
  const pass = (encoded: Uint8Array) => () =>
    scanLeaf(
      encoded,
      () => {},
      (_row, problem) => {
        throw new Error(problem)
      },
    )
  for (const [key, write] of [
    [1, (out) => out.text('file')],
    [2, (out) => out.integer(0o10000)],
    [3, (out) => out.integer(2 ** 32)],
    [4, (out) => out.integer(-1)],
    [6, (out) => out.integer(1_000_000_000)],
    [8, (out) => out.integer(1_000_000_000)],
    [10, (out) => out.integer(2n ** 63n)],
    [11, (out) => out.bytes(Buffer.alloc(35))],
    [12, (out) => out.array(1)],
    [13, (out) => out.bytes(Buffer.alloc(LIMIT.targetBytesMax + 1))],
    [15, (out) => out.bytes(Buffer.alloc(31))],
    [16, (out) => out.integer(1)],
    [18, (out) => out.bytes(Buffer.alloc(33))],
    [25, (out) => out.integer(1_000_000_000)],
    [60, (out) => out.raw(Uint8Array.of(0xf6))],
  ] as const satisfies readonly (readonly [number, (out: CborWriter) => void])[]) {
    expect(pass(leafWith(key, write)), `key ${key}`).toThrow(/cannot decode tree leaf/)
  }
  const good = leafWith(2, (out) => out.integer(0o644))
  expect(pass(good)).not.toThrow()
  expect(pass(good.subarray(0, -1))).toThrow(/ends too early|beyond the end/)
  expect(pass(Uint8Array.of(2, ...good.subarray(1)))).toThrow(/unknown version 2/)
  expect(pass(encodeLeaf([]))).not.toThrow()
  const named = (name: string): TreeEntry => ({ ...PLAIN, name })
  for (const [names, problem] of [
    [['b', 'a'], /out of order/],
    [['a', 'a'], /there twice/],
    [['ab', 'a'], /out of order/],
    [['a/b'], /slash/],
    [['a\0b'], /NUL/],
    [['..'], /directory reference/],
    [[''], /empty/],
    [['x'.repeat(LIMIT.nameBytesMax + 1)], /bytes/],
  ] as const) {
    expect(pass(encodeLeaf(names.map(named))), names.join()).toThrow(problem)
  }
  expect(pass(encodeLeaf(['a', 'a.', '...', 'b'].toSorted().map(named)))).not.toThrow()
})

test('inner nodes and chunk lists', () => {
  const row = fc.record({ lastName: byteName, id, entryCount: count, byteCount: count })
  roundTrip(
    fc.array(row, { maxLength: 6 }),
    (rows) => encodeInner(2, rows),
    (encoded) => decodeInner(encoded, 2).map((one) => ({ ...one, id: new Uint8Array(one.id) })),
  )
  expect(() => decodeInner(encodeInner(3, []), 2)).toThrow(/height/)
  roundTrip(
    fc.array(bytes(36), { maxLength: 5 }).map((list) => new Uint8Array(Buffer.concat(list))),
    encodeListLeaf,
    (encoded) => new Uint8Array(decodeListLeaf(encoded)),
  )
})

test('snapshots', () => {
  const head = fc.record({ sequence: fc.nat(), id })
  const envelope = fc.record({
    sequence: fc.nat(),
    previous: fc.array(id, { maxLength: 3 }),
    time,
    heads: fc
      .uniqueArray(fc.tuple(bytes(8), fc.array(head, { maxLength: 2 })), {
        maxLength: 3,
        selector: ([author]) => Buffer.from(author).toString('hex'),
      })
      .map((heads) => heads.sort(([a], [b]) => Buffer.compare(a, b))),
    tombstones: fc.array(id, { maxLength: 2 }),
    partial: fc.boolean(),
    sealed: bytes(64, 200),
    sessionId: bytes(16),
    epoch: fc.nat(),
    series: fc.oneof(bytes(0), bytes(16)),
  })
  roundTrip(envelope, encodeEnvelope, (encoded) => {
    const { series, ...rest } = decodeEnvelope(encoded)
    // No bytes at all come out of JSON as an empty object.
    return { ...JSON.parse(JSON.stringify(rest), reviveBytes), series: Uint8Array.from(series) }
  })
  const names = fc
    .dictionary(fc.nat(70_000).map(String), fc.string())
    .map(
      (dictionary) =>
        new Map(Object.entries(dictionary).map(([key, value]) => [Number(key), value])),
    )
  const text = fc.string()
  const content = fc.record(
    {
      root: fc.record({ id, height: fc.nat(16) }),
      paths: fc.array(byteName, { maxLength: 3 }),
      hostname: text,
      username: text,
      tags: fc.array(text, { maxLength: 3 }),
      parent: id,
      start: time,
      end: time,
      program: text,
      excludes: fc.array(text, { maxLength: 3 }),
      statistics: fc
        .tuple(...STATISTIC_KEYS.map(() => count))
        .map(
          (values) =>
            Object.fromEntries(STATISTIC_KEYS.map((name, i) => [name, values[i] ?? 0])) as Record<
              (typeof STATISTIC_KEYS)[number],
              number
            >,
        ),
      userNames: names,
      groupNames: names,
      uid: fc.nat(),
      gid: fc.nat(),
      system: fc.tuple(text, text),
      original: fc.record({ id, author: bytes(8) }),
    },
    {
      requiredKeys: [
        'root',
        'paths',
        'hostname',
        'username',
        'tags',
        'start',
        'end',
        'program',
        'excludes',
        'statistics',
        'userNames',
        'groupNames',
        'uid',
        'gid',
        'system',
      ],
    },
  )
  roundTrip(
    content,
    (value) => encodeSnapshotContent(value as Parameters<typeof encodeSnapshotContent>[0]),
    decodeSnapshotContent,
  )
})

/** Typed arrays come out of JSON as objects of numbered fields. */
function reviveBytes(_key: string, value: unknown): unknown {
  const isBytes =
    typeof value === 'object' && value !== null && !Array.isArray(value) && '0' in value
  return isBytes ? Uint8Array.from(Object.values(value as Record<string, number>)) : value
}

test('session beats, marks and tombstones', () => {
  const text = fc.string()
  roundTrip(
    fc.record({
      sessionId: bytes(16),
      beat: fc.nat(),
      time,
      start: time,
      hostname: text,
      pid: fc.nat(),
      bootId: text,
      role: fc.nat(1),
    }),
    encodeBeat,
    decodeBeat,
  )
  roundTrip(
    fc.record({
      phase: fc.nat(1),
      time,
      packs: fc.array(fileName, { maxLength: 5 }),
      sessionId: bytes(16),
    }),
    encodeMark,
    decodeMark,
  )
  const forgotten = fc.record({
    snapshot: id,
    replacement: fc.constantFrom(new Uint8Array(0), new Uint8Array(32)),
    body: bytes(0, 50),
    author: fc.constantFrom(new Uint8Array(0), new Uint8Array(8).fill(5)),
    aead: fc.nat(2),
  })
  roundTrip(
    fc.record({
      forgotten: fc.array(forgotten, { maxLength: 3 }),
      time,
      known: fc.array(id, { maxLength: 3 }),
      merged: fc.array(id, { maxLength: 3 }),
    }),
    encodeTombstone,
    (encoded) => {
      const { known, merged, ...rest } = decodeTombstone(encoded)
      const copied = (ids: readonly Uint8Array[]) => ids.map((one) => new Uint8Array(one))
      return { ...rest, known: copied(known), merged: copied(merged) }
    },
  )
})

test('key slots and configs', () => {
  const kdf = {
    n: 'scrypt' as const,
    N: 2 ** 17,
    r: 8,
    p: 1,
    salt: Buffer.alloc(32, 1).toString('base64'),
  }
  const head = {
    repositoryId: new Uint8Array(16).fill(3),
    role: 'admin' as const,
    kdf,
    created: '2026-01-01T00:00:00Z',
  }
  const slot = encodeSlot(encodeSlotHead(head), new Uint8Array(1040), new Uint8Array(32))
  expect(decodeSlot(slot)).toMatchObject({ role: 'admin', kdf, created: head.created })
  expectTyped(slot, decodeSlot)
  const keys = fc
    .uniqueArray(fc.nat(30), { maxLength: 2 })
    .chain((epochs) =>
      fc
        .tuple(
          ...epochs.sort((a, b) => a - b).map((epoch) => id.map((key) => [epoch, key] as const)),
        )
        .map((list) => new Map(list)),
    )
  roundTrip(
    fc.record({
      role: fc.constantFrom('admin' as const, 'reader' as const, 'writer' as const),
      roots: keys,
      sealSecrets: keys,
      writerSecrets: keys,
      sealPublics: keys,
      adminPublics: keys,
      authorSeed: id,
      label: fc.constant('me'),
    }),
    encodeSlotPayload,
    decodeSlotPayload,
  )
  const box: ConfigBox = {
    authors: [
      {
        id: new Uint8Array(8),
        publicKey: new Uint8Array(32),
        role: 'writer',
        label: 'x',
        since: 5,
      },
    ],
    chunker: { algorithm: 1, minBytes: 256, averageBytes: 512, maxBytes: 2048 },
    dataPackBytes: 1,
    metadataPackBytes: 2,
    padding: 1,
    graceSeconds: 3,
    dedupTrust: 0,
    aead: 1,
  }
  expect(decodeConfigBox(encodeConfigBox(box))).toEqual({ ...box, owners: [] })
  const owners = [{ slot: fileNameOf(new Uint8Array(32)), author: new Uint8Array(8) }]
  expect(decodeConfigBox(encodeConfigBox({ ...box, owners }))).toEqual({ ...box, owners })
  const line = encodeConfigLine({
    repositoryId: new Uint8Array(16),
    revision: 3,
    created: '2026-01-01T00:00:00Z',
    features: { read: ['x'], write: [], prune: [] },
    epochs: [
      {
        epoch: 1,
        sealPublic: new Uint8Array(32),
        adminPublic: new Uint8Array(32),
        check: new Uint8Array(32),
      },
    ],
    idEpoch: 1,
    slots: [fileNameOf(new Uint8Array(32))],
    salt: new Uint8Array(32),
    box: new Uint8Array(100),
  })
  const config = encodeConfig(line, [{ epoch: 1, signature: new Uint8Array(64) }])
  const removed: readonly string[] = []
  expect(decodeConfig(config)).toMatchObject({ revision: 3, features: { read: ['x'] }, removed })
  expectTyped(config, decodeConfig)
  const newer = Buffer.from(Buffer.from(config).toString().replace('"format":1', '"format":2'))
  expect(() => decodeConfig(newer)).toThrow(/newer than this program/)
})
