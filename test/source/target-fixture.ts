/** A target in a temporary directory, beside a file outside of it that nothing may touch. */

import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import type { ByteString } from '../../src/base/bytes.ts'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import type { Target, TargetFiles, TargetMetadata } from '../../src/source/target-files.ts'

export const isRoot = process.geteuid?.() === 0
export const KEEP = { overwrite: false }
export const REPLACE = { overwrite: true }

export function text(content: string): Uint8Array {
  return Buffer.from(content)
}

/** For `toThrow`: an error with this code. */
export function failing(code: string): unknown {
  return expect.objectContaining({ code })
}

/** A directory for the tests of a file, removed after them. */
export function temporaryRoot(): () => string {
  let path = ''
  beforeAll(() => {
    path = fs.mkdtempSync(join(tmpdir(), 'cairn-target-'))
    fs.chmodSync(path, 0o755)
  })
  // Node's own rm overflows its stack on deep trees.
  afterAll(() => void execFileSync('rm', ['-rf', '--', path]))
  return () => path
}

export interface TargetFixture {
  readonly files: TargetFiles
  readonly root: string
  readonly outside: string
  target: Target
  read(path: ByteString): string
  write(path: ByteString, content: string, metadata?: TargetMetadata): void
}

/** A new target for each test of a group. After each, what is outside must be as it was. */
export function useTarget(useDescriptors: boolean): TargetFixture {
  const files = nodeTargetFiles({ randomness: nodeRandomness(), useDescriptors })
  const base = temporaryRoot()
  let count = 0
  let root = ''
  let target: Target | undefined

  beforeEach(() => {
    root = join(base(), String(count++))
    fs.mkdirSync(`${root}-outside`)
    fs.writeFileSync(`${root}-outside/victim`, 'untouched', { mode: 0o600 })
    fs.utimesSync(`${root}-outside/victim`, 1, 1)
    target = files.openTarget(root)
  })
  afterEach(() => {
    target?.close()
    const { mode, mtimeMs, uid } = fs.statSync(`${root}-outside/victim`)
    expect({ mode: mode & 0o7777, mtimeMs, uid }).toEqual({
      mode: 0o600,
      mtimeMs: 1_000,
      uid: process.getuid?.(),
    })
    expect(fs.readFileSync(`${root}-outside/victim`, 'utf8')).toBe('untouched')
    expect(fs.readdirSync(`${root}-outside`)).toEqual(['victim'])
  })

  return {
    files,
    get root() {
      return root
    },
    get outside() {
      return `${root}-outside`
    },
    get target() {
      if (target === undefined) throw new Error('there is a target during a test only')
      return target
    },
    set target(opened: Target) {
      target = opened
    },
    read: (path) => fs.readFileSync(Buffer.from(`${root}/${path}`, 'latin1'), 'latin1'),
    write(path, content, metadata = {}) {
      expect(this.target.writeWholeFile(path, text(content), metadata, REPLACE)).toEqual([])
    },
  }
}
