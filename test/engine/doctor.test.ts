import { expect, test } from 'vitest'
import { examine, type Machine } from '../../src/engine/doctor.ts'

const NOW_MS = Date.UTC(2026, 10, 21)
const PROBE = { freeBytes: 1e12, writtenMs: NOW_MS, hasUnnamedFiles: true, hasXattrs: true }
const MACHINE: Machine = {
  nodeVersion: '20.19.0',
  parts: [
    { name: 'zstd', implementation: 'napi', isFallback: false },
    { name: 'blake3', implementation: 'native', isFallback: false },
  ],
  hasLibc: true,
  fuse: { hasDevice: true, hasHelper: true },
  isRoot: false,
  usableCores: 4,
  cores: 4,
  memoryBytes: 8e9,
  nowMs: NOW_MS,
  cache: { path: '/cache', isUsable: true },
  directory: { path: '/data', probe: PROBE },
}

/** `name: verdict` of everything that is not ok. */
function troubles(changes: Partial<Machine>): string[] {
  return examine({ ...MACHINE, ...changes }, (bytes) => `${bytes} B`)
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ name, verdict, advice }) => {
      expect(advice).not.toBe('')
      return `${name}: ${verdict}`
    })
}

test('a good machine has nothing to say', () => {
  expect(troubles({})).toEqual([])
  for (const { advice } of examine(MACHINE, String)) expect(advice).toBe('')
})

test.each([
  ['18.20.0', false],
  ['20.18.9', false],
  ['20.20.2', true],
  ['21.7.0', false],
  ['22.14.0', false],
  ['22.15.0', true],
  ['23.0.0', false],
  ['24.0.0', true],
  ['26.1.0', true],
])('Node.js %s', (nodeVersion, isGood) => {
  expect(troubles({ nodeVersion })).toEqual(isGood ? [] : ['node: problem'])
})

test('what is missing, slow or wrong is said with what follows', () => {
  const missing = { name: 'zstd', implementation: undefined, isFallback: false }
  const slow = { name: 'blake3', implementation: 'javascript', isFallback: true }
  expect(troubles({ parts: [missing, slow] })).toEqual(['zstd: problem', 'blake3: note'])
  expect(troubles({ hasLibc: false })).toEqual(['libc: note'])
  expect(troubles({ fuse: { hasDevice: false, hasHelper: true } })).toEqual(['fuse: note'])
  const noHelper = { hasDevice: true, hasHelper: false }
  expect(troubles({ fuse: noHelper })).toEqual(['fuse: note'])
  expect(troubles({ fuse: noHelper, isRoot: true })).toEqual([])
  expect(troubles({ memoryBytes: 1e8 })).toEqual(['memory: note'])
  expect(troubles({ nowMs: 0 })).toEqual(['clock: problem'])
  expect(troubles({ nowMs: NOW_MS + 6000 })).toEqual(['clock: note'])
  expect(troubles({ cache: { path: '/x', isUsable: false } })).toEqual(['cache: note'])
})

test('what a directory lacks is said', () => {
  const withProbe = (probe: Machine['directory']['probe']) =>
    troubles({ directory: { path: '/data', probe } })
  expect(withProbe('EROFS: read-only file system')).toEqual(['directory: problem'])
  expect(withProbe({ ...PROBE, freeBytes: 1e8 })).toEqual(['free space: note'])
  expect(withProbe({ ...PROBE, hasUnnamedFiles: false })).toEqual(['unnamed files: note'])
  for (const hasXattrs of [false, undefined]) {
    expect(withProbe({ ...PROBE, hasXattrs })).toEqual(['extended attributes: note'])
  }
})
