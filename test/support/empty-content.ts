/** What a snapshot of nothing says, for tests of what snapshots say of each other. */

import { type SnapshotContent, STATISTIC_KEYS } from '../../src/format/snapshot.ts'
import type { Time } from '../../src/format/tree.ts'

export function emptyContent(time: Time): SnapshotContent {
  const counts = STATISTIC_KEYS.map((name) => [name, 0])
  return {
    root: { id: new Uint8Array(32), height: 0 },
    paths: [],
    hostname: 'host',
    username: 'user',
    tags: [],
    start: time,
    end: time,
    program: 'test',
    excludes: [],
    statistics: Object.fromEntries(counts) as SnapshotContent['statistics'],
    userNames: new Map(),
    groupNames: new Map(),
    uid: 0,
    gid: 0,
    system: ['linux', 'x64'],
  }
}
