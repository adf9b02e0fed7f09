/** Tables and listings, beside those of the restic on this machine. */

import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { NodeType } from '../../../src/base/units.ts'
import {
  type LsLineOptions,
  lsHeading,
  lsLine,
  lsSnapshotJson,
  ncduNodeJson,
  nodeJson,
} from '../../../src/cli/render/ls-text.ts'
import {
  groupHeading,
  snapshotGroupsJson,
  snapshotJson,
  snapshotsTable,
} from '../../../src/cli/render/snapshots-text.ts'
import type { ShownEntry } from '../../../src/service/list-tree.ts'
import type { ShownSnapshot } from '../../../src/service/snapshots.ts'

type ShownNode = Omit<ShownEntry, 'rawPath'>

const RESTIC = '/usr/bin/restic'

function nsOf(rfc3339: string): bigint {
  const [, seconds = '', fraction = '', zone = ''] =
    /^([^.Z+]*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(rfc3339) ?? []
  return BigInt(Date.parse(seconds + zone)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
}

const ONE: ShownSnapshot = {
  id: 'ab'.repeat(32),
  time: nsOf('2026-11-20T14:00:00.5Z'),
  tree: 'cd'.repeat(32),
  paths: ['/a', '/b'],
  hostname: 'h\x1b[31m',
  username: 'u',
  uid: 0,
  gid: 0,
  excludes: [],
  tags: ['漢字漢字漢字漢字', 'y'],
  program_version: '',
}
const SUMMARY = {
  backup_start: 0n,
  backup_end: 1n,
  files_new: 1,
  files_changed: 0,
  files_unmodified: 0,
  dirs_new: 0,
  dirs_changed: 0,
  dirs_unmodified: 0,
  data_blobs: 0,
  tree_blobs: 0,
  data_added: 0,
  data_added_packed: 0,
  total_files_processed: 1,
  total_bytes_processed: 2048,
}

describe('snapshotsTable()', () => {
  test('has a size column once one snapshot has a summary', () => {
    const lines = snapshotsTable([
      { ...ONE, paths: ['/a'], summary: SUMMARY },
      { ...ONE, id: 'ef'.repeat(32), time: ONE.time - 1n, paths: ['/a'] },
    ])
    expect(lines[0]).toMatch(/Paths {2}Size$/)
    expect(lines[2]).toMatch(/^efefefef .*\/a$/)
    expect(lines[3]).toMatch(/^abababab .*\/a {5}2\.000 KiB$/)
    expect(lines.slice(-2)).toEqual(['Timestamps shown in local time', '2 snapshots'])
    expect(new Set([lines[1]?.length, lines[4]?.length]).size).toBe(1)
  })

  test('measures wide text and lets no escape through', () => {
    const lines = snapshotsTable([ONE])
    expect(lines.join('')).not.toContain('\x1b')
    expect(lines[2]).toContain('"h\\x1b[31m"  漢字漢字漢字漢字,y  /a')
    expect(lines[3]).toBe(`${' '.repeat(8 + 2 + 19 + 2 + 11 + 2 + 18 + 2)}/b`)
  })

  test('shows reasons, and snapshots that were never confirmed', () => {
    const lines = snapshotsTable([{ ...ONE, unconfirmed: true }], {
      reasons: new Map([[ONE.id, ['daily snapshot', 'last snapshot']]]),
    })
    expect(lines[0]).toContain('Reasons')
    expect(lines[3]).toMatch(/^unconfirmed .*last snapshot {3}\/b$/)
  })
})

test('groupHeading() names what is shared', () => {
  expect(groupHeading({ hostname: 'h', tags: ['a', 'b\n'], paths: ['/x'] })).toBe(
    'snapshots for (host [h], tags [a, "b\\n"], paths [/x]):',
  )
  expect(groupHeading({ tags: [] })).toBe('snapshots for (tags []):')
  expect(groupHeading({})).toBeUndefined()
})

test('snapshotGroupsJson() has null for what was not grouped by', () => {
  expect(snapshotGroupsJson([{ key: { hostname: 'h' }, snapshots: [ONE] }], 0)).toMatchObject([
    {
      group_key: { hostname: 'h', paths: null, tags: null },
      snapshots: [{ short_id: 'abababab', time: '2026-11-20T14:00:00.5Z' }],
    },
  ])
})

test('ls', () => {
  const node: ShownNode = {
    name: 'l',
    type: 'symlink',
    path: '/l\x07',
    uid: 7,
    gid: 12345,
    mode: 0o777,
    mtime: -5n,
    linktarget: 'a\x1b',
  }
  expect(lsLine(node)).toBe('"/l\\x07"')
  expect(lsLine(node, { isLong: true })).toMatch(
    /^Lrwxrwxrwx {5}7 12345 {6}0 .* "\/l\\x07" -> "a\\x1b"$/,
  )
  expect(
    lsLine({ ...node, type: 'file', size: 2048 }, { isLong: true, isHumanReadable: true }),
  ).toContain(' 2.000 KiB ')
  expect(lsHeading(ONE, ['/d'], 'ended 1:00 before the time asked for')).toMatch(
    /^snapshot abababab of \[\/a \/b\] at .*, ended 1:00 before the time asked for filtered by \[\/d\]:$/,
  )
  expect(ncduNodeJson({ ...node, size: 513 })).toMatchObject({
    asize: 513,
    dsize: 1024,
    mtime: 0n,
    notreg: true,
  })
})

describe.skipIf(!existsSync(RESTIC))('beside restic', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-render-'))
  const source = join(folder, 'source')
  const restic = (...args: string[]) =>
    execFileSync(RESTIC, args, {
      encoding: 'utf8',
      env: {
        ...process.env,
        RESTIC_PASSWORD: 'x',
        RESTIC_REPOSITORY: join(folder, 'r'),
        HOME: folder,
        RESTIC_CACHE_DIR: join(folder, 'c'),
      },
    })
  const lines = (text: string) => text.trimEnd().split('\n')

  beforeAll(() => {
    mkdirSync(join(source, 'sticky'), { recursive: true })
    writeFileSync(join(source, 'a'), Buffer.alloc(1_234_567))
    writeFileSync(join(source, 'setuid'), '')
    chmodSync(join(source, 'setuid'), 0o6751)
    chmodSync(join(source, 'sticky'), 0o1777)
    symlinkSync('a', join(source, 'link'))
    restic('init')
    restic('backup', '--tag', 'x,longer-than-ten', join(source, 'a'))
    restic('backup', '--host', 'a-host-with-a-long-name', source, join(source, 'a'))
  }, 60_000)
  afterAll(() => rmSync(folder, { recursive: true }))

  /** What `snapshots --json` says, as cairn's engine would hand it over. */
  function snapshots(): {
    readonly raw: Record<string, unknown>
    readonly snapshot: ShownSnapshot
  }[] {
    const list = JSON.parse(restic('snapshots', '--json')) as Record<string, unknown>[]
    return list.map((raw) => ({
      raw,
      snapshot: {
        ...(raw as unknown as ShownSnapshot),
        // Absent if there are none, and for root.
        tags: (raw.tags ?? []) as string[],
        uid: Number(raw.uid ?? 0),
        gid: Number(raw.gid ?? 0),
        time: nsOf(String(raw.time)),
      },
    }))
  }

  test('the tables are the same', () => {
    const ours = snapshots().map(({ snapshot }) => snapshot)
    for (const isCompact of [false, true]) {
      const table = snapshotsTable(ours.toReversed(), { isCompact })
      const theirs = lines(restic('snapshots', ...(isCompact ? ['-c'] : [])))
      expect(table.filter((line) => !line.startsWith('Timestamps'))).toEqual(theirs)
    }
  })

  test('the JSON of snapshots is the same', () => {
    for (const { raw, snapshot } of snapshots()) expect(snapshotJson(snapshot)).toEqual(raw)
  })

  test('listings and their JSON are the same', () => {
    const [first, ...rest] = lines(restic('ls', '--json', 'latest')).map(
      (line) => JSON.parse(line) as Record<string, unknown>,
    )
    const nodes = rest.map((raw): ShownNode => {
      const goMode = Number(raw.mode)
      const special =
        (Math.floor(goMode / 2 ** 23) % 2) * 0o4000 +
        (Math.floor(goMode / 2 ** 22) % 2) * 0o2000 +
        (Math.floor(goMode / 2 ** 20) % 2) * 0o1000
      const { size } = raw as { size?: number }
      return {
        name: String(raw.name),
        path: String(raw.path),
        type: raw.type as NodeType,
        uid: Number(raw.uid),
        gid: Number(raw.gid),
        mode: (goMode % 512) + special,
        mtime: nsOf(String(raw.mtime)),
        atime: nsOf(String(raw.atime)),
        linktarget: 'a',
        ...(size === undefined ? {} : { size }),
      }
    })
    expect(nodes.length).toBeGreaterThan(4)
    // Ours add message_type, which this old restic does not have, and leave out ctime.
    for (const [at, node] of nodes.entries()) {
      const { ctime: _, ...theirs } = rest[at] ?? {}
      expect(nodeJson(node)).toEqual({ ...theirs, message_type: 'node' })
    }
    const [snapshot] = snapshots().filter(({ raw }) => raw.id === first?.id)
    if (snapshot !== undefined) {
      expect(lsSnapshotJson(snapshot.snapshot)).toEqual({ ...first, message_type: 'snapshot' })
    }
    const same = (options: LsLineOptions, ...args: string[]) => {
      const theirs = lines(restic('ls', ...args, 'latest')).filter(
        (line) => !line.startsWith('snapshot'),
      )
      expect(nodes.map((node) => lsLine(node, options))).toEqual(theirs)
    }
    same({})
    same({ isLong: true }, '-l')
  })
})
