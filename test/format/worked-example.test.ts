import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/crypto/sha256.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { Repository } from '../../src/repository/repository.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backUp, inlineEnvironment } from '../support/backup-harness.ts'
import { restoreByDocument } from '../support/independent-reader.ts'

const KEY = Buffer.from(Array.from({ length: 32 }, (_, i) => i))
const FORMAT = readFileSync(new URL('../../FORMAT.md', import.meta.url), 'utf8')

/** Seams that make every byte of a repository depend on nothing but this file. */
function fixedEnvironment() {
  let counter = 0
  const environment = inlineEnvironment()
  return {
    ...environment,
    clock: {
      ...environment.clock,
      wallNs: () => 1_795_219_200_123_456_789n,
      monotonicMs: () => 1000,
    },
    random: {
      bytes: (byteCount: number) =>
        Buffer.concat(
          Array.from({ length: Math.ceil(byteCount / 32) }, () => sha256(Buffer.from([counter++]))),
        ).subarray(0, byteCount),
    },
    process: {
      ...environment.process,
      pid: 42,
      hostname: 'example',
      username: 'ann',
      uid: 0,
      gid: 0,
      bootId: '',
    },
  }
}

/** A repository with one file of two bytes of text, from the fixed seams. */
async function exampleRepository(): Promise<MemoryBackend> {
  const environment = fixedEnvironment()
  const backend = new MemoryBackend()
  const { clock, random, process } = environment
  const secret = { kind: 'key' as const, bytes: KEY }
  await createRepository({ backend, clock, random }, { secret, label: 'example' })
  await backUp(backend, '/', {
    environment,
    opening: Repository.open({ backend, clock, random, process }, { secret }),
    input: {
      kind: 'stream',
      name: 'hello.txt',
      chunks: (async function* () {
        yield Buffer.from('Hello, stranger!\n')
      })(),
    },
    hostname: 'example',
    level: undefined,
    program: 'cairn',
  })
  return backend
}

/** The blocks of FORMAT.md 23: a line "### kind/name", then hex. */
function exampleOfDocument(): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  const section = FORMAT.slice(FORMAT.indexOf('## 23. Worked examples'))
  for (const [, path, hex] of section.matchAll(
    /^### `([a-z]+\/\S+)`\n\n```\n([0-9a-f\n]+)```$/gm,
  )) {
    const kind = path?.split('/')[0] ?? ''
    const bytes = Buffer.from((hex ?? '').replaceAll('\n', ''), 'hex')
    files.set(`${kind}/${path?.split('/').at(-1) ?? ''}`, bytes)
  }
  return files
}

/** For FORMAT.md, after a change of the format: `PRINT_EXAMPLE=1 npx vitest run test/format`. */
function printExample(files: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, bytes] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const hex = Buffer.from(bytes).toString('hex').replace(/.{96}/g, '$&\n')
    const end = hex.endsWith('\n') ? '' : '\n'
    process.stdout.write(`### \`${name}\`\n\n\`\`\`\n${hex}${end}\`\`\`\n\n`)
  }
}

test('FORMAT.md 23: a reader written from the document restores its example', () => {
  const files = exampleOfDocument()
  const kinds = [...files.keys()].map((name) => name.split('/')[0] ?? '')
  expect(kinds.toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    'config',
    'index',
    'keys',
    'packs',
    'packs',
    'snapshots',
  ])
  const found = restoreByDocument(files, KEY)
  expect(found.get('/hello.txt')?.content?.toString()).toBe('Hello, stranger!\n')
  expect(found.get('/hello.txt')?.mode).toBe(0o644)
  expect(found.get('/hello.txt')?.mtime).toEqual([1_795_219_200, 123_456_789])
})

test('FORMAT.md 23: cairn reads the example too', async () => {
  const backend = new MemoryBackend()
  for (const [name, bytes] of exampleOfDocument()) {
    const [kind = '', hash = ''] = name.split('/')
    backend.files.set(`${kind}/${hash}`, bytes)
  }
  const { clock, random, process } = fixedEnvironment()
  const repository = await Repository.open(
    { backend, clock, random, process },
    { secret: { kind: 'key', bytes: KEY } },
  )
  const [snapshot] = await repository.snapshots()
  expect(snapshot?.content?.hostname).toBe('example')
})

test('a reader written from the document restores what today’s cairn writes', async () => {
  const backend = await exampleRepository()
  if (process.env['PRINT_EXAMPLE'] === '1') printExample(backend.files)
  const found = restoreByDocument(backend.files, KEY)
  expect(found.get('/hello.txt')?.content?.toString()).toBe('Hello, stranger!\n')
  // With compression, several chunks and directories.
  const root = mkdtempSync(join(tmpdir(), 'cairn-example-'))
  try {
    const text = Buffer.from('all work and no play '.repeat(5000))
    writeFileSync(join(root, 'dull.txt'), text)
    const { clock, random, process } = fixedEnvironment()
    const secret = { kind: 'key' as const, bytes: KEY }
    const opening = Repository.open({ backend, clock, random, process }, { secret })
    for (const name of Array.from(backend.files.keys())) {
      if (name.startsWith('snapshots/')) backend.files.delete(name)
    }
    await backUp(backend, root, { opening })
    const again = restoreByDocument(backend.files, KEY)
    expect(again.get(`${root}/dull.txt`)?.content?.equals(text)).toBe(true)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})
