import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import {
  fixedHalfEven,
  formatBytes,
  formatDuration,
  formatMode,
  formatPercent,
  formatRfc3339Ns,
  formatTime,
  goFileMode,
  parseClockDuration,
  parseDuration,
  parseSize,
} from '../../src/base/units.ts'

const RESTIC = '/usr/bin/restic'

function usageText(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isCairnError(error, 'CAIRN_USAGE')) return error.message
  }
  throw new Error('no usage error')
}

describe('formatBytes()', () => {
  test('changes unit at each power of 1024', () => {
    expect(
      [0, 1023, 1024, 2 ** 20 - 1, 2 ** 20, 2 ** 30, 2 ** 40, 2 ** 50].map(formatBytes),
    ).toEqual([
      '0 B',
      '1023 B',
      '1.000 KiB',
      '1023.999 KiB',
      '1.000 MiB',
      '1.000 GiB',
      '1.000 TiB',
      '1024.000 TiB',
    ])
    expect(formatBytes(3n * 2n ** 40n)).toBe('3.000 TiB')
  })

  test('rounds halves to the even digit, as Go does', () => {
    expect(formatBytes(1024 + 64)).toBe('1.062 KiB')
    expect(formatBytes(1024 + 192)).toBe('1.188 KiB')
    expect(fixedHalfEven(0.125, 2)).toBe('0.12')
    expect(fixedHalfEven(0.375, 2)).toBe('0.38')
  })

  test.skipIf(!existsSync(RESTIC))('agrees with restic on a tie', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-units-'))
    try {
      mkdirSync(join(folder, 'source'))
      writeFileSync(join(folder, 'source', 'a'), Buffer.alloc(1088))
      const restic = (...args: string[]) =>
        execFileSync(RESTIC, args, {
          encoding: 'utf8',
          env: { RESTIC_PASSWORD: 'x', RESTIC_REPOSITORY: join(folder, 'r'), HOME: folder },
        })
      restic('init')
      const output = restic('backup', join(folder, 'source'))
      expect(output).toContain(`processed 1 files, ${formatBytes(1088)} in`)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

test('formatDuration() drops hours if there are none', () => {
  expect([0, 59.9, 60, 3599, 3600, 360_000 + 61].map(formatDuration)).toEqual([
    '0:00',
    '0:59',
    '1:00',
    '59:59',
    '1:00:00',
    '100:01:01',
  ])
})

test('formatPercent() stops at 100 and says nothing of nothing', () => {
  expect(formatPercent(1, 3)).toBe('33.33%')
  expect(formatPercent(1, 32)).toBe('3.12%')
  expect(formatPercent(7, 5)).toBe('100.00%')
  expect(formatPercent(7, 0)).toBe('')
})

describe('formatRfc3339Ns()', () => {
  const time = BigInt(Date.UTC(2026, 10, 20, 13)) * 1_000_000n

  test('cuts trailing zeros of the fraction', () => {
    expect(formatRfc3339Ns(time + 123_456_789n, 60)).toBe('2026-11-20T14:00:00.123456789+01:00')
    expect(formatRfc3339Ns(time + 120_000_000n, -330)).toBe('2026-11-20T07:30:00.12-05:30')
    expect(formatRfc3339Ns(time, 0)).toBe('2026-11-20T13:00:00Z')
    expect(formatRfc3339Ns(time + 1n, 0)).toBe('2026-11-20T13:00:00.000000001Z')
  })

  test('counts times before 1970 from below', () => {
    expect(formatRfc3339Ns(-1n, 0)).toBe('1969-12-31T23:59:59.999999999Z')
    expect(formatRfc3339Ns(-1_500_000_000n, 0)).toBe('1969-12-31T23:59:58.5Z')
  })

  test('keeps to years that have four digits', () => {
    expect(formatRfc3339Ns(10n ** 21n, 0)).toMatch(/^9999-/)
    expect(formatRfc3339Ns(-(10n ** 21n), 0)).toMatch(/^0000-/)
  })

  test('uses the local offset by default', () => {
    expect(Date.parse(formatRfc3339Ns(time))).toBe(Date.UTC(2026, 10, 20, 13))
  })
})

test('formatTime() is local and has no fraction', () => {
  const local = new Date(2026, 0, 2, 3, 4, 5, 678)
  expect(formatTime(BigInt(local.getTime()) * 1_000_000n)).toBe('2026-01-02 03:04:05')
})

test('formatMode() and goFileMode() are those of Go', () => {
  // Seen in the output of restic 0.14: `ls -l` and `ls --json`.
  expect([formatMode('dir', 0o755), goFileMode('dir', 0o755)]).toEqual(['drwxr-xr-x', 2147484141])
  expect([formatMode('file', 0o4755), goFileMode('file', 0o4755)]).toEqual(['urwxr-xr-x', 8389101])
  expect([formatMode('file', 0o2644), goFileMode('file', 0o2644)]).toEqual(['grw-r--r--', 4194724])
  expect([formatMode('dir', 0o1777), goFileMode('dir', 0o1777)]).toEqual([
    'dtrwxrwxrwx',
    2148532735,
  ])
  expect([formatMode('symlink', 0o777), goFileMode('symlink', 0o777)]).toEqual([
    'Lrwxrwxrwx',
    134218239,
  ])
  expect([formatMode('fifo', 0o644), goFileMode('fifo', 0o644)]).toEqual(['prw-r--r--', 33554852])
  expect(formatMode('chardev', 0o620)).toBe('Dcrw--w----')
  expect(formatMode('dev', 0o660)).toBe('Drw-rw----')
  expect(formatMode('socket', 0)).toBe('S---------')
  expect(formatMode('file', 0)).toBe('----------')
})

test('parseSize() knows powers of 1024 in both cases', () => {
  expect(['0', '512', '7b', '10M', '2g', '1T', '3K'].map(parseSize)).toEqual([
    0,
    512,
    7,
    10 * 2 ** 20,
    2 ** 31,
    2 ** 40,
    3072,
  ])
  for (const text of ['', 'M', '-1', '1.5G', '10MB', '1 K', '99999999T', '0x10']) {
    expect(usageText(() => parseSize(text))).toContain(`'${text}'`)
  }
})

test('parseDuration() reads calendar units in any order', () => {
  expect(parseDuration('1y5m7d2h')).toEqual({ years: 1, months: 5, days: 7, hours: 2 })
  expect(parseDuration(' 36h ')).toEqual({ years: 0, months: 0, days: 0, hours: 36 })
  for (const text of ['', '5', '2w', 'd', '1d-2h']) {
    expect(usageText(() => parseDuration(text))).toContain(`'${text}'`)
  }
})

test('parseClockDuration() reads what Go writes', () => {
  expect(['0', '90s', '1h30m', '1.5h', '250ms'].map(parseClockDuration)).toEqual([
    0, 90_000, 5_400_000, 5_400_000, 250,
  ])
  for (const text of ['', '5', '1d', '1h30'])
    expect(usageText(() => parseClockDuration(text))).toContain(text)
})
