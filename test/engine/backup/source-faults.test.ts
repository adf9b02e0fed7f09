/** Group E of the fault catalogue: files that change, go away or become something else meanwhile. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ByteString } from '../../../src/base/bytes.ts'
import type { BackupReport } from '../../../src/engine/backup/backup-options.ts'
import { ENTRY_TYPE, type TreeEntry } from '../../../src/format/tree.ts'
import { systemError } from '../../../src/source/system-error.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import {
  backUp,
  create,
  entriesOf,
  fileContent,
  inlineEnvironment,
  open,
} from '../../support/backup-harness.ts'
import { type SourceFaults, withSourceFaults } from '../../support/source-faults.ts'

let root = ''
let disk: MemoryBackend

beforeEach(async () => {
  root = fs.mkdtempSync(join(tmpdir(), 'cairn-faults-'))
  disk = new MemoryBackend()
  await create(disk)
})
afterEach(() => void execFileSync('rm', ['-rf', '--', root]))

const at = (name: string) => join(root, name)

function write(name: string, content: string | Uint8Array = name): string {
  fs.writeFileSync(at(name), content)
  return at(name)
}

interface Saved {
  readonly report: BackupReport
  readonly errors: readonly string[]
  readonly entries: ReadonlyMap<ByteString, TreeEntry>
  readonly contents: ReadonlyMap<ByteString, string>
}

/** Backs up `root` while `faults` happen. Errors are `name: message`. */
async function save(faults: SourceFaults = {}): Promise<Saved> {
  const errors: string[] = []
  const report = await backUp(disk, root, {
    environment: withSourceFaults(inlineEnvironment(), faults),
    listener: {
      onError: (path, error) => errors.push(`${path.slice(root.length + 1)}: ${error.message}`),
    },
  })
  const repository = await open(disk)
  const found = await entriesOf(repository, (await repository.snapshots()).at(-1), root)
  const contents = new Map<ByteString, string>()
  for (const [path, entry] of found.entries) {
    if (entry.type !== ENTRY_TYPE.file) continue
    const bytes = await fileContent(found.blobs, entry)
    expect(bytes.length, `${path} has the size that it says`).toBe(entry.size)
    contents.set(path, bytes.toString('latin1'))
  }
  await found.close()
  expect(report.errorCount).toBe(errors.length)
  return { report, errors, entries: found.entries, contents }
}

/** Does `action` the first time that it is called about the entry `name`. */
function once(name: string, action: () => void): (path: ByteString) => void {
  let isDone = false
  return (path) => {
    if (isDone || path !== at(name)) return
    isDone = true
    action()
  }
}

/** What the errors are about, sorted. */
function namesOf(errors: readonly string[]): string[] {
  return errors.map((error) => error.slice(0, error.indexOf(':'))).sort()
}

const CHANGED = 'it changed while it was read'
const LARGE = 'large file '.repeat(500_000)

test('E1: a file that grows without end while it is read is saved as long as it was, and named', async () => {
  write('log', LARGE)
  write('other')
  const saved = await save({
    onRead: (path) => {
      if (path === at('log')) fs.appendFileSync(path, 'more of it'.repeat(100_000))
    },
  })
  expect(saved.errors).toEqual([`log: ${CHANGED}`])
  expect(saved.contents.get('log')).toBe(LARGE)
  expect(saved.entries.get('log')?.changedWhileRead).toBe(true)
  expect(saved.contents.get('other')).toBe('other')
})

test.each([
  ['to a part of it', 1_000],
  ['to nothing', 0],
])(
  'E2: a file that shrinks %s while it is read is saved as far as it was read',
  async (_, size) => {
    write('file', LARGE)
    const saved = await save({ onRead: once('file', () => fs.truncateSync(at('file'), size)) })
    expect(saved.errors).toEqual([`file: ${CHANGED}`])
    // No zeros in the place of what was cut off.
    expect(saved.contents.get('file')).toBe(LARGE.slice(0, size))
  },
)

test('E2: a large file that shrinks while it is read is saved as far as it was read', async () => {
  const path = write('file', Buffer.alloc(65 << 20, 'x'))
  const saved = await save({
    onRead: (file, position) => {
      if (file === path && position > 5 << 20) fs.truncateSync(path, 2 << 20)
    },
  })
  expect(saved.errors).toEqual([`file: ${CHANGED}`])
  expect(saved.contents.get('file')?.length).toBeLessThan(10 << 20)
  expect(saved.contents.get('file')).toMatch(/^x+$/)
})

test('E3: a large file that is rewritten at its old size, with its old times, is named', async () => {
  const path = write('file', LARGE)
  const { atime, mtime } = fs.statSync(path)
  const saved = await save({
    onRead: once('file', () => {
      fs.writeFileSync(path, LARGE.toUpperCase())
      fs.utimesSync(path, atime, mtime)
    }),
  })
  expect(saved.errors).toEqual([`file: ${CHANGED}`])
})

test('E5: what vanishes between listing, looking, opening and reading is named; the rest is saved', async () => {
  for (const name of ['listed', 'looked', 'opened', 'kept']) write(name)
  for (const name of ['directory', 'file', 'link']) {
    fs.mkdirSync(at(`${name}-soon`))
    write(`${name}-soon/inside`)
  }
  const replace = (name: string, action: () => void) =>
    once(name, () => {
      fs.rmSync(at(name), { recursive: true })
      action()
    })
  const gone = [
    replace('directory-soon', () => {}),
    replace('file-soon', () => write('file-soon')),
    replace('link-soon', () => fs.symlinkSync('/etc', at('link-soon'))),
  ]
  const saved = await save({
    onLook: once('listed', () => fs.rmSync(at('listed'))),
    onOpen: once('looked', () => fs.rmSync(at('looked'))),
    onRead: once('opened', () => fs.rmSync(at('opened'))),
    onOpenDirectory: (path) => gone.forEach((action) => action(path)),
  })
  expect(Object.fromEntries(saved.contents)).toEqual({
    kept: 'kept',
    // It was open: all of it was there to be read.
    opened: 'opened',
  })
  expect([...saved.entries.keys()].sort()).toEqual(['kept', 'opened'])
  expect(namesOf(saved.errors)).toEqual(
    ['directory-soon', 'file-soon', 'link-soon', 'listed', 'looked'].sort(),
  )
})

test('E5: a file that becomes a directory or a pipe before it is opened does not hold up the rest', async () => {
  for (const name of ['directory', 'pipe', 'socket', 'other']) write(name)
  const turn = (name: string, action: () => void) =>
    once(name, () => {
      fs.rmSync(at(name))
      action()
    })
  const actions = [
    turn('directory', () => fs.mkdirSync(at('directory'))),
    turn('pipe', () => void execFileSync('mkfifo', [at('pipe')])),
    turn('other', () => write('other', 'another file')),
  ]
  const saved = await save({ onOpen: (path) => actions.forEach((action) => action(path)) })
  expect(saved.contents.get('other')).toBe('another file')
  expect(saved.contents.get('socket')).toBe('socket')
  expect(saved.entries.get('directory')).toBeUndefined()
  expect(saved.contents.has('pipe')).toBe(false)
  expect(saved.errors.some((error) => error.startsWith('directory: '))).toBe(true)
})

test('E6: a directory swapped for a link, or for another directory, is not looked into', async () => {
  for (const name of ['link', 'directory']) {
    fs.mkdirSync(at(name))
    write(`${name}/secret`, 'mine')
  }
  const elsewhere = fs.mkdtempSync(join(tmpdir(), 'cairn-elsewhere-'))
  fs.writeFileSync(join(elsewhere, 'secret'), 'of somebody else')
  const swap = (name: string, action: () => void) =>
    once(name, () => {
      fs.renameSync(at(name), at(`.${name}`))
      action()
    })
  const actions = [
    swap('link', () => fs.symlinkSync(elsewhere, at('link'))),
    swap('directory', () => {
      fs.mkdirSync(at('directory'))
      write('directory/secret', 'another')
    }),
  ]
  const saved = await save({ onOpenDirectory: (path) => actions.forEach((action) => action(path)) })
  // The directory that is there now is one of the source's as good as any.
  expect([...saved.contents]).toEqual([['directory/secret', 'another']])
  expect(namesOf(saved.errors)).toEqual(['link'])
  fs.rmSync(elsewhere, { recursive: true })
})

test('E6: a directory swapped after it was listed does not lead the reader elsewhere', async () => {
  fs.mkdirSync(at('directory'))
  write('directory/secret', 'mine')
  write('directory/z', 'mine')
  const elsewhere = fs.mkdtempSync(join(tmpdir(), 'cairn-elsewhere-'))
  for (const name of ['secret', 'z']) fs.writeFileSync(join(elsewhere, name), 'of somebody else')
  fs.symlinkSync('of somebody else', join(elsewhere, 'link'))
  const swap = once('directory/secret', () => {
    fs.renameSync(at('directory'), at('moved'))
    fs.symlinkSync(elsewhere, at('directory'))
  })
  const saved = await save({ onLook: swap })
  // Seen in the directory that was listed, and at its path there is another file.
  expect([...saved.contents.values()]).not.toContain('of somebody else')
  expect(namesOf(saved.errors)).toEqual(['directory/secret', 'directory/z'])
  fs.rmSync(elsewhere, { recursive: true })
})

test.each(['EACCES', 'EPERM', 'EIO', 'ESTALE', 'ELOOP'] as const)(
  'E7: %s at opening or at any read is named, and the other files are saved',
  async (code) => {
    for (const name of ['closed', 'broken', 'fine']) write(name, LARGE)
    fs.mkdirSync(at('listing'))
    const fail = (name: string) => {
      throw systemError(code, 'open', at(name))
    }
    const saved = await save({
      onOpen: (path) => path === at('closed') && fail('closed'),
      onRead: (path, position) => path === at('broken') && position > 0 && fail('broken'),
      onReadDirectory: (path) => path === at('listing') && fail('listing'),
    })
    expect(namesOf(saved.errors)).toEqual(['broken', 'closed', 'listing'])
    expect([...saved.contents]).toEqual([['fine', LARGE]])
  },
)

test('E8: pipes, sockets and devices are saved without being opened', async () => {
  for (let i = 0; i < 8; i++) execFileSync('mkfifo', [at(`pipe${i}`)])
  execFileSync('python3', [
    '-c',
    'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
    at('socket'),
  ])
  if (process.getuid?.() === 0) execFileSync('mknod', [at('zero'), 'c', '1', '5'])
  write('file')
  const opened: string[] = []
  const saved = await save({ onOpen: (path) => opened.push(path) })
  expect(opened).toEqual([at('file')])
  expect(saved.errors).toEqual([])
  expect(saved.entries.get('pipe7')?.type).toBe(ENTRY_TYPE.fifo)
  expect(saved.entries.get('socket')?.type).toBe(ENTRY_TYPE.socket)
  if (process.getuid?.() === 0) {
    expect(saved.entries.get('zero')).toMatchObject({
      type: ENTRY_TYPE.chardevice,
      device: { major: 1, minor: 5 },
      size: 0,
    })
  }
})

test('E8: a file without a size that has content is saved whole; one without an end is named', async () => {
  write('status', 'some content')
  write('page', 'short')
  write('endless', 'e')
  const saved = await save({
    stat: (path, stat) => {
      if (path === at('status') || path === at('endless')) return { ...stat, size: 0 }
      return path === at('page') ? { ...stat, size: 4096 } : stat
    },
    onRead: (path, position, length) => {
      if (path === at('endless')) fs.truncateSync(path, position + length + 1)
    },
  })
  expect(saved.contents.get('status')).toBe('some content')
  expect(saved.contents.get('page')).toBe('short')
  expect(saved.errors).toEqual(['endless: it has no size, and more than 64 MiB to read'])
  expect(saved.entries.has('endless')).toBe(false)
})

test('E9: contents of every length around the limits of chunks and packs come back', async () => {
  const lengths = [0, 1, 255, 256, 257, 511, 512, 513, 2047, 2048, 2049, 4096]
  const packBytes = 16 * 1024
  lengths.push(packBytes - 1, packBytes, packBytes + 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 1)
  for (const length of lengths) write(`f${length}`, Buffer.alloc(length, `${length}-`))
  fs.mkdirSync(at('empty'))
  const saved = await save()
  for (const length of lengths) {
    expect(saved.contents.get(`f${length}`)).toBe(
      Buffer.alloc(length, `${length}-`).toString('latin1'),
    )
  }
  expect(saved.entries.get('empty')?.type).toBe(ENTRY_TYPE.directory)
})

test('E21: a name that a listing gives twice is saved once; one that comes and goes is no harm', async () => {
  for (const name of ['a', 'b', 'c']) write(name)
  const saved = await save({
    names: (path, names) => (path === root ? ['a', 'a', 'b', 'b', 'c', 'gone'] : names),
  })
  expect([...saved.contents.keys()]).toEqual(['a', 'b', 'c'])
  expect(saved.report.files.new).toBe(3)
  expect(saved.errors).toEqual([
    'a: the file system lists it more than once',
    'b: the file system lists it more than once',
    'gone: it vanished before it could be read',
  ])
})
