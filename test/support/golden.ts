/**
 * Golden repositories (`test/fixtures/golden`): made once by each version of the format, with keys,
 * chance and clock fixed, and restored by every later program. `CAIRN_WRITE_GOLDEN=yes npx vitest run
 * test/e2e/golden.test.ts` is how they were made, as root. They are never made anew: a later version adds
 * its own.
 */

import { createHash } from 'node:crypto'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 } from '../../src/format/constants.ts'
import type { Environment } from '../../src/engine/environment.ts'
import { createRepository } from '../../src/repository/initialize.ts'
import { Repository } from '../../src/repository/repository.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { backUp, inlineEnvironment } from './backup-harness.ts'

export const GOLDEN = fileURLToPath(new URL('../fixtures/golden', import.meta.url))
export const GOLDEN_KEY = '07'.repeat(32)
export const GOLDEN_NAMES = {
  'v1-chacha20-poly1305': AEAD_CHACHA20_POLY1305,
  'v1-aes-256-gcm': AEAD_AES_256_GCM,
} as const
/** Small chunks, so that a file of 150 kB has a chunk list. */
const CHUNKER = { algorithm: 1, minBytes: 256, averageBytes: 512, maxBytes: 2048 }
const START_NS = 1_763_700_000_123_456_789n

export interface ManifestEntry {
  readonly path: string
  readonly type: string
  readonly mode: number
  /** Milliseconds since 1970; absent for links, whose time not every system can set. */
  readonly mtimeMs?: number
  readonly sha256?: string
  readonly target?: string
  /** The first path with the same inode, if there is an earlier one. */
  readonly linkTo?: string
  /** Of devices: major and minor in one. */
  readonly device?: number
  /** Of files with holes. */
  readonly isSparse?: true
  /** Each as `name=0x…`; absent where there are none, and where they cannot be read. */
  readonly xattrs?: readonly string[]
}

/** Bytes that look like chance and are always the same. */
function noise(seed: string, byteCount: number): Buffer {
  return createHash('shake256', { outputLength: byteCount }).update(seed).digest()
}

function fixedEnvironment(seed: string): Environment {
  const environment = inlineEnvironment()
  let draws = 0
  let ticks = 0n
  return {
    ...environment,
    clock: { ...environment.clock, wallNs: () => START_NS + ticks++ },
    random: { bytes: (byteCount) => new Uint8Array(noise(`${seed} ${draws++}`, byteCount)) },
    process: { ...environment.process, pid: 1, hostname: 'golden', username: 'ann', bootId: '' },
  }
}

/** Every path below a directory, relative to it, as bytes: a directory behind what is in it. */
function namesBelow(directory: string, prefix = Buffer.alloc(0)): Buffer[] {
  const full = Buffer.concat([Buffer.from(`${directory}/`), prefix])
  return readdirSync(full, { encoding: 'buffer' }).flatMap((entry) => {
    const name = Buffer.concat([prefix, entry])
    const stat = lstatSync(Buffer.concat([full, entry]))
    const below = Buffer.concat([name, Buffer.from('/')])
    return stat.isDirectory() ? [...namesBelow(directory, below), name] : [name]
  })
}

/** It stays because whoever listened is killed. */
function plantSocket(path: string): void {
  const listen =
    'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))'
  spawnSync(process.execPath, ['-e', listen, path])
}

const ATTRIBUTES = ['-h', '-P', '-d', '-e', 'hex', '-m', '^(user|system.posix_acl_.*)\\b']

/** Whether the tools for extended attributes are here, and files in this directory can have them. */
export function hasXattrs(directory: string): boolean {
  const path = join(directory, '.has-xattrs')
  writeFileSync(path, '')
  const set = spawnSync('setfattr', ['-n', 'user.test', '-v', 'x', path])
  rmSync(path)
  return set.status === 0 && spawnSync('getfattr', ['--version']).status === 0
}

/** Extended attributes and ACLs by path below a directory, as `getfattr` has them. */
function xattrsBelow(directory: string): Map<string, readonly string[]> {
  const text = execFileSync('getfattr', [...ATTRIBUTES, '-R', '.'], {
    cwd: directory,
    encoding: 'latin1',
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  })
  const found = text.split('\n\n').filter((part) => part.startsWith('# file: '))
  return new Map(
    found.map((part) => {
      const [head = '', ...attributes] = part.split('\n')
      const path = head
        .slice('# file: '.length)
        .replaceAll(/\\(\d{3})/g, (_, octal: string) =>
          String.fromCharCode(Number.parseInt(octal, 8)),
        )
      return [path, attributes.filter((line) => line !== '').toSorted((a, b) => (a < b ? -1 : 1))]
    }),
  )
}

function plant(source: string): void {
  const at = (name: string) => join(source, name)
  mkdirSync(at('directory/empty'), { recursive: true })
  writeFileSync(at('directory/small'), 'small\n', { mode: 0o640 })
  writeFileSync(at('directory/nothing'), '')
  writeFileSync(at('large'), noise('large', 150_000))
  writeFileSync(at('repeated'), Buffer.alloc(40_000, 'again and again '))
  writeFileSync(at('sparse'), 'head')
  truncateSync(at('sparse'), 5_000_000)
  writeFileSync(at('program'), '#!/bin/sh\n', { mode: 0o4755 })
  writeFileSync(at('Grüße 😀'), 'text')
  writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.of(0xff, 0xfe)]), 'bytes')
  linkSync(at('large'), at('large again'))
  symlinkSync('directory/small', at('link'))
  symlinkSync('nowhere', at('dangling'))
  execFileSync('mkfifo', [at('fifo')])
  execFileSync('mknod', [at('null'), 'c', '1', '3'])
  execFileSync('mknod', [at('disk'), 'b', '7', '0'])
  plantSocket(at('socket'))
  execFileSync('setfattr', ['-n', 'user.note', '-v', '0x00ff6e6f7465', at('directory/small')])
  execFileSync('setfattr', ['-n', 'user.on.directory', '-v', 'yes', at('directory')])
  execFileSync('setfacl', ['-m', 'u:1000:rw,g:100:r', at('directory/small')])
  execFileSync('setfacl', ['-d', '-m', 'u:1000:rx', at('directory')])
  for (const name of namesBelow(source)) {
    const path = Buffer.concat([Buffer.from(`${source}/`), name])
    lutimesSync(path, 1_700_000_000.25, 1_700_000_000.25)
  }
}

const TYPES = [
  ['file', 'isFile'],
  ['directory', 'isDirectory'],
  ['symlink', 'isSymbolicLink'],
  ['fifo', 'isFIFO'],
  ['socket', 'isSocket'],
  ['chardevice', 'isCharacterDevice'],
  ['blockdevice', 'isBlockDevice'],
] as const

/** Files whose holes are this long are sparse, whatever the file system does with the rest. */
const HOLE_BYTES_MIN = 128 << 10

/** What is in a directory, in the order of paths. Names that are no text are spelt byte for byte. */
export function manifestOf(directory: string, withXattrs: boolean): ManifestEntry[] {
  const seen = new Map<number, string>()
  const xattrs = withXattrs ? xattrsBelow(directory) : new Map<string, readonly string[]>()
  return namesBelow(directory)
    .toSorted((a, b) => Buffer.compare(a, b))
    .map((name) => {
      const full = Buffer.concat([Buffer.from(`${directory}/`), name])
      const stat = lstatSync(full)
      const path = name.toString('latin1')
      const linkTo = stat.isFile() ? seen.get(stat.ino) : undefined
      if (linkTo === undefined) seen.set(stat.ino, path)
      const type = TYPES.find(([, is]) => stat[is]())?.[0] ?? 'other'
      return {
        path,
        type,
        mode: stat.mode & 0o7777,
        ...(stat.isSymbolicLink()
          ? { target: readlinkSync(full, 'latin1') }
          : { mtimeMs: stat.mtimeMs }),
        ...(stat.isFile()
          ? { sha256: createHash('sha256').update(readFileSync(full)).digest('hex') }
          : {}),
        ...(linkTo === undefined ? {} : { linkTo }),
        ...(stat.isCharacterDevice() || stat.isBlockDevice() ? { device: stat.rdev } : {}),
        ...(stat.isFile() && stat.blocks * 512 < stat.size - HOLE_BYTES_MIN
          ? { isSparse: true as const }
          : {}),
        ...(xattrs.has(path) ? { xattrs: xattrs.get(path) ?? [] } : {}),
      }
    })
}

/** Where the local backend keeps a file: packs are in folders of their first two digits. */
function localPath(file: string): string {
  const [kind = '', name = ''] = file.split('/')
  return kind === 'packs' ? join(kind, name.slice(0, 2), name) : file
}

async function writeGolden(name: keyof typeof GOLDEN_NAMES): Promise<void> {
  const source = '/tmp/cairn-golden/source'
  rmSync(dirname(source), { recursive: true, force: true })
  mkdirSync(source, { recursive: true })
  plant(source)
  const environment = fixedEnvironment(name)
  const { clock, random, process } = environment
  const backend = new MemoryBackend()
  const secret = { kind: 'key', bytes: new Uint8Array(32).fill(7) } as const
  await createRepository(
    { backend, clock, random },
    { secret, label: 'golden', chunker: CHUNKER, aead: GOLDEN_NAMES[name] },
  )
  const opening = Repository.open({ backend, clock, random, process }, { secret })
  await backUp(backend, source, { environment, opening, program: 'cairn' })
  const fixture = join(GOLDEN, name)
  rmSync(fixture, { recursive: true, force: true })
  for (const [file, bytes] of backend.files) {
    const path = join(fixture, 'repository', localPath(file))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  const manifest = `${JSON.stringify(manifestOf(source, true), null, 1)}\n`
  writeFileSync(join(fixture, 'manifest.json'), manifest)
  rmSync(dirname(source), { recursive: true, force: true })
}

/** Makes all of them anew. */
export async function writeGoldens(): Promise<void> {
  for (const name of Object.keys(GOLDEN_NAMES)) {
    await writeGolden(name as keyof typeof GOLDEN_NAMES)
  }
}
