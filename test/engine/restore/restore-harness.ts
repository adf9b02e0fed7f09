/** Restores into real temporary directories, and describes what is there to the byte. */

import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { byteStringOf, textOf } from '../../../src/base/bytes.ts'
import { nodeClock, nodeProcess, nodeRandomness } from '../../../src/base/node-seams.ts'
import type { Environment } from '../../../src/engine/environment.ts'
import { restoreSnapshot } from '../../../src/engine/restore/restore.ts'
import type {
  RestoredItem,
  RestoreOptions,
  RestoreReport,
} from '../../../src/engine/restore/restore-options.ts'
import type { NodeRoot } from '../../../src/format/tree.ts'
import { BlobReader } from '../../../src/repository/blob-reader.ts'
import { openIndex } from '../../../src/repository/open-index.ts'
import type { Repository } from '../../../src/repository/repository.ts'
import { nodeSourceFiles } from '../../../src/source/node-source-files.ts'
import { nodeTargetFiles } from '../../../src/source/node-target-files.ts'
import type { Target, TargetFiles } from '../../../src/source/target-files.ts'
import type { BuiltRepository } from '../../support/repository-builder.ts'

const made: string[] = []

afterEach(() => {
  for (const path of made.splice(0)) {
    makeWritable(path)
    rmSync(path, { recursive: true, force: true })
  }
})

function makeWritable(path: string): void {
  if (!lstatSync(path).isDirectory()) return
  chmodSync(path, 0o700)
  for (const name of readdirSync(path)) makeWritable(join(path, name))
}

/** A fresh directory, and the path of a target in it that is not there yet. */
export function temporaryDirectory(): { readonly path: string; readonly target: string } {
  const path = mkdtempSync(join(tmpdir(), 'cairn-restore-test-'))
  made.push(path)
  return { path, target: join(path, 'target') }
}

export function targetDirectory(): string {
  const { target } = temporaryDirectory()
  mkdirSync(target)
  return target
}

const randomness = nodeRandomness()

export function testEnvironment(given: Partial<Environment> = {}): Environment {
  return {
    clock: nodeClock(),
    random: randomness,
    process: nodeProcess(),
    source: nodeSourceFiles(),
    target: nodeTargetFiles({ randomness }),
    threads: 0,
    workerEntry: new URL('../../../dist/pipeline/worker-entry.js', import.meta.url),
    yield: () => new Promise((resolve) => setImmediate(resolve)),
    ...given,
  }
}

/** Target files whose targets are changed by `wrap`. */
export function wrappedTargets(wrap: (target: Target) => Target): TargetFiles {
  const files = nodeTargetFiles({ randomness })
  return {
    openTarget: (root) => wrap(files.openTarget(root)),
    attachTarget: (fd, path) => wrap(files.attachTarget(fd, path)),
  }
}

/** `target` with some of its methods replaced. */
export function overriding(target: Target, methods: Partial<Target>): Target {
  return new Proxy(target, {
    get: (object, name) => {
      const replaced: unknown = Reflect.get(methods, name)
      if (replaced !== undefined) return replaced
      const value: unknown = Reflect.get(object, name)
      return typeof value === 'function' ? (value.bind(object) as unknown) : value
    },
  })
}

export interface TestRestore {
  readonly report: RestoreReport
  readonly items: string[]
  /** `path: message` each. */
  readonly errors: string[]
}

export type RestoreSettings = Partial<Omit<RestoreOptions, 'target' | 'listener'>> & {
  readonly target: string
  readonly onItem?: (item: RestoredItem) => void
}

export async function restore(
  built: Pick<BuiltRepository, 'reopen' | 'root'>,
  settings: RestoreSettings,
): Promise<TestRestore> {
  const repository = await built.reopen()
  return await restoreFrom(repository, built.root, settings)
}

export async function restoreFrom(
  repository: Repository,
  root: NodeRoot,
  { target, onItem, ...settings }: RestoreSettings,
): Promise<TestRestore> {
  const { index } = await openIndex(repository, { cacheDirectory: undefined, bulk: true })
  const items: string[] = []
  const errors: string[] = []
  const report = await restoreSnapshot({
    environment: testEnvironment(),
    repository,
    index,
    blobs: new BlobReader(repository, index),
    root,
    rootPath: '/',
    sourcePaths: ['/'],
    target: byteStringOf(target),
    overwrite: 'always',
    dryRun: false,
    verify: false,
    sparse: false,
    delete: false,
    listener: {
      onItem: (item) => {
        items.push(`${item.action} ${textOf(item.path)}`)
        onItem?.(item)
      },
      onError: (path, error) => errors.push(`${textOf(path)}: ${error.message}`),
    },
    ...settings,
  })
  return { report, items, errors }
}

/** Every entry below `root` with its type, mode, mtime and content. */
export function describeTree(root: string, below = ''): Record<string, string> {
  const found: Record<string, string> = {}
  for (const name of readdirSync(join(root, below)).sort()) {
    const path = join(below, name)
    const at = join(root, path)
    const stat = lstatSync(at, { bigint: true })
    const head = `${(stat.mode & 0o7777n).toString(8)} ${stat.uid}:${stat.gid} ${stat.mtimeNs}`
    if (stat.isDirectory()) {
      found[path] = `directory ${head}`
      Object.assign(found, describeTree(root, path))
    } else if (stat.isSymbolicLink()) found[path] = `symlink ${head} ${readlinkSync(at)}`
    else if (stat.isFile()) found[path] = `file ${head} ${readFileSync(at).toString('latin1')}`
    else found[path] = `other ${head} ${stat.mode >> 12n} ${stat.rdev}`
  }
  return found
}

/** Reproducible bytes that neither compress nor repeat. */
export function noise(byteCount: number, seed: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  let state = (seed * 2_654_435_761 + 1) >>> 0
  for (let i = 0; i < byteCount; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export function temporaryNames(root: string): string[] {
  return Object.keys(describeTree(root)).filter((path) => path.includes('.cairn-restore-'))
}
