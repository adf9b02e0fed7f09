import { describe, expect, test } from 'vitest'
import {
  backupItemLine,
  backupStatusJson,
  backupStatusLines,
  backupSummaryJson,
  backupSummaryLines,
  type BackupSummary,
  type BackupStatus,
} from '../../../src/cli/render/backup-text.ts'
import { checkSummaryLines, findingLine } from '../../../src/cli/render/check-text.ts'
import { encodeJson } from '../../../src/cli/render/json-lines.ts'
import {
  restoreItemLine,
  restoreStatusJson,
  restoreStatusLines,
  restoreSummaryJson,
  restoreSummaryLine,
} from '../../../src/cli/render/restore-text.ts'

const STATUS: BackupStatus = {
  seconds_elapsed: 65.7,
  seconds_remaining: 130,
  total_files: 10,
  files_done: 4,
  total_bytes: 4096,
  bytes_done: 1024,
  error_count: 1,
  current_files: ['/b', '/a\x1b'],
}

const SUMMARY: BackupSummary = {
  dry_run: false,
  files_new: 5,
  files_changed: 0,
  files_unmodified: 123456,
  dirs_new: 4,
  dirs_changed: 1,
  dirs_unmodified: 0,
  data_blobs: 7,
  tree_blobs: 3,
  data_added: 3000,
  data_added_packed: 739,
  total_files_processed: 123461,
  total_bytes_processed: 3_000_003,
  total_duration: 3725.5,
  backup_start: 0n,
  backup_end: 3_725_500_000_000n,
  snapshot_id: '5'.repeat(64),
}

describe('backup', () => {
  test('status has percent, rate and ETA once the source is counted', () => {
    expect(backupStatusLines(STATUS, 2048)).toEqual([
      '[1:05] 25.00%  4 files 1.000 KiB, total 10 files 4.000 KiB, 1 errors, 2.000 KiB/s ETA 2:10',
      '"/a\\x1b"',
      '/b',
    ])
    expect(
      backupStatusLines({ ...STATUS, total_files: 0, total_bytes: 0, current_files: [] }),
    ).toEqual(['[1:05] 4 files, 1.000 KiB, 1 errors'])
    expect(backupStatusLines({ ...STATUS, seconds_remaining: 0 })[0]).toBe(
      '[1:05] 4 files 1.000 KiB, total 10 files 4.000 KiB, 1 errors',
    )
  })

  test('status JSON has the fields of restic', () => {
    expect(backupStatusJson(STATUS)).toEqual({
      message_type: 'status',
      percent_done: 0.25,
      seconds_elapsed: 65,
      seconds_remaining: 130,
      total_files: 10,
      files_done: 4,
      total_bytes: 4096,
      bytes_done: 1024,
      error_count: 1,
      current_files: ['/a\x1b', '/b'],
    })
    const empty = {
      ...STATUS,
      seconds_elapsed: 0.4,
      seconds_remaining: 0,
      total_files: 0,
      files_done: 0,
      total_bytes: 0,
      bytes_done: 0,
      error_count: 0,
      current_files: [],
    }
    expect(encodeJson(backupStatusJson(empty))).toBe('{"message_type":"status","percent_done":0}')
  })

  test('summary is laid out as by restic', () => {
    // The layout is that of restic 0.14's own output for these numbers.
    expect(backupSummaryLines(SUMMARY).join('\n')).toBe(`
Files:           5 new,     0 changed, 123456 unmodified
Dirs:            4 new,     1 changed,     0 unmodified
Added to the repository: 2.930 KiB (739 B stored)

processed 123461 files, 2.861 MiB in 1:02:05
snapshot 55555555 saved`)
    const verbose = backupSummaryLines(
      { ...SUMMARY, dry_run: true, data_added: 0, data_added_packed: 0 },
      1,
    )
    expect(verbose).toContain('Data Blobs:      7 new')
    expect(verbose).toContain('Tree Blobs:      3 new')
    expect(verbose).toContain('Would add to the repository: 0 B   (0 B   stored)')
    expect(verbose.at(-1)).toMatch(/^processed/)
    const { snapshot_id: _, ...skipped } = SUMMARY
    expect(backupSummaryLines(skipped).at(-1)).toBe('skipped creating snapshot')
    expect(backupSummaryJson(skipped, 0)).not.toHaveProperty('snapshot_id', expect.anything())
  })

  test('summary JSON has all counters, zeros too', () => {
    const json = JSON.parse(encodeJson(backupSummaryJson(SUMMARY, 0)))
    expect(json).toMatchObject({
      message_type: 'summary',
      files_changed: 0,
      data_added_packed: 739,
      total_duration: 3725.5,
      backup_end: '1970-01-01T01:02:05.5Z',
      snapshot_id: '5'.repeat(64),
    })
    expect(json).not.toHaveProperty('dry_run')
    expect(backupSummaryJson({ ...SUMMARY, dry_run: true })).toMatchObject({ dry_run: true })
  })

  test('item lines', () => {
    const item = {
      item: '/a',
      isDirectory: false,
      duration: 0.5,
      data_size: 2048,
      data_size_in_repo: 1024,
      metadata_size: 9,
      metadata_size_in_repo: 7,
    }
    expect(backupItemLine({ ...item, action: 'new' })).toBe(
      'new       /a, saved in 0.500s (2.000 KiB added, 1.000 KiB stored)',
    )
    expect(backupItemLine({ ...item, action: 'modified', isDirectory: true })).toContain(
      'stored, 7 B metadata)',
    )
    expect(backupItemLine({ ...item, action: 'unchanged' })).toBe('unchanged /a')
  })
})

describe('restore', () => {
  const done = {
    seconds_elapsed: 2,
    total_files: 4,
    files_restored: 4,
    files_skipped: 0,
    files_deleted: 0,
    total_bytes: 1024,
    bytes_restored: 1024,
    bytes_skipped: 0,
  }

  test('summary tells what is missing, skipped and deleted', () => {
    expect(restoreSummaryLine(done)).toBe('Summary: Restored 4 files/dirs (1.000 KiB) in 0:02')
    expect(
      restoreSummaryLine({
        ...done,
        files_restored: 3,
        bytes_restored: 512,
        files_skipped: 1,
        bytes_skipped: 512,
        files_deleted: 2,
      }),
    ).toBe(
      'Summary: Restored 3 / 4 files/dirs (512 B / 1.000 KiB) in 0:02, skipped 1 files/dirs 512 B, deleted 2 files/dirs',
    )
    expect(restoreSummaryJson(done)).toEqual({
      message_type: 'summary',
      seconds_elapsed: 2,
      total_files: 4,
      files_restored: 4,
      total_bytes: 1024,
      bytes_restored: 1024,
    })
  })

  test('status', () => {
    const half = { ...done, bytes_restored: 512 }
    expect(restoreStatusLines(half, 100)).toEqual([
      '[0:02] 50.00%  4 files/dirs 512 B, total 4 files/dirs 1.000 KiB, 100 B/s',
    ])
    expect(restoreStatusJson(half)).toMatchObject({ message_type: 'status', percent_done: 0.5 })
  })

  test('item lines', () => {
    expect(restoreItemLine({ action: 'restored', item: '/a\n', size: 1024 })).toBe(
      'restored  "/a\\n" with size 1.000 KiB',
    )
    expect(restoreItemLine({ action: 'deleted', item: '/d' })).toBe('deleted   /d')
  })
})

test('check ends with a verdict and the next step', () => {
  const clean = {
    num_errors: 0,
    broken_packs: [],
    suggest_repair_index: false,
    suggest_prune: false,
  }
  expect(checkSummaryLines(clean)).toEqual(['no errors were found'])
  const lines = checkSummaryLines({
    num_errors: 2,
    broken_packs: ['aa', 'bb'],
    suggest_repair_index: true,
    suggest_prune: true,
  })
  expect(lines.join('\n')).toMatch(
    /aa\n {2}bb\n[^]*next backup[^]*the index is damaged[^]*nothing needs[^]*2 errors were found$/,
  )
  expect(findingLine('error', ['bad \x1b[2J'])).toBe('error: "bad \\x1b[2J"')
})

test('a file name with a line end makes no line of its own in what check finds', () => {
  const lines = ['data of 2 paths is damaged', '/a\nno errors were found', '/b']
  expect(findingLine('error', lines)).toBe(
    'error: data of 2 paths is damaged\n  "/a\\nno errors were found"\n  /b',
  )
})
