/** `cairn snapshots`: which ones it shows and how; and what a backup writes of itself. */

import { readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Box, jsonLines, newRepository, summaryOf } from '../support/run-cairn.ts'

/** Backs up with a time of day on 2025-03-01 and returns the short id. */
async function backupAt(box: Box, hour: number, ...options: string[]): Promise<string> {
  const time = `2025-03-01 ${String(hour).padStart(2, '0')}:00:00`
  const finished = await box.succeed(['backup', '--json', '--time', time, ...options, 'source'])
  return summaryOf(finished).snapshot_id.slice(0, 8)
}

/** The ids that `snapshots` shows, in its order. */
async function shown(box: Box, ...args: string[]): Promise<string[]> {
  const { stdout } = await box.succeed(['snapshots', '--json', ...args])
  const found = JSON.parse(stdout) as { short_id: string }[]
  return found.map((snapshot) => snapshot.short_id)
}

async function five(): Promise<{ box: Box; ids: readonly string[] }> {
  const box = await newRepository()
  const ids = [
    await backupAt(box, 1, '--host', 'a', '--tag', 'daily'),
    await backupAt(box, 2, '--host', 'b', '--tag', 'daily,big'),
    await backupAt(box, 3, '--host', 'a'),
    await backupAt(box, 5, '--host', 'b', '--tag', 'big'),
    await backupAt(box, 4, '--host', 'a', '--tag', 'daily'),
  ]
  return { box, ids }
}

test('filters, references and --latest choose; the oldest comes first', async () => {
  const { box, ids } = await five()
  const [one = '', two = '', three = '', four = '', five5 = ''] = ids
  expect(await shown(box)).toEqual([one, two, three, five5, four])
  expect(await shown(box, '--host', 'a')).toEqual([one, three, five5])
  expect(await shown(box, '-H', 'a', '-H', 'b', '--tag', 'big')).toEqual([two, four])
  expect(await shown(box, '--tag', 'daily,big')).toEqual([two])
  expect(await shown(box, '--tag', '')).toEqual([three])
  expect(await shown(box, '--path', box.source)).toHaveLength(5)
  expect(await shown(box, '--path', '/nowhere')).toEqual([])
  expect(await shown(box, '--latest', '1')).toEqual([five5, four])
  expect(await shown(box, '--last')).toEqual([five5, four])
  expect(await shown(box, '--latest', '2', '--host', 'a')).toEqual([three, five5])
  expect(await shown(box, four, one.slice(0, 6), four)).toEqual([one, four])
  expect(await shown(box, 'latest')).toEqual([four])
  expect(await shown(box, 'latest~1', '--host', 'b')).toEqual([two])
  expect(await shown(box, '@2999-01-01')).toHaveLength(1)
})

test('1: a snapshot that is not there; 2: what cannot name one', async () => {
  const { box } = await five()
  const missing = await box.run(['snapshots', 'abcdefabcdef'])
  expect(missing).toMatchObject({ code: 1, stdout: '' })
  expect(missing.stderr).toContain("no snapshot matches 'abcdefabcdef'")
  expect((await box.run(['snapshots', 'xyz'])).code).toBe(2)
  expect((await box.run(['snapshots', 'latest:dir'])).code).toBe(2)
})

test('the table, with -c, and in groups', async () => {
  const { box, ids } = await five()
  const lines = (await box.succeed(['snapshots'])).stdout.split('\n')
  expect(lines[2]).toBe(
    `${ids[0]}  2025-03-01 01:00:00  a           daily       ${box.source}  5 B`,
  )
  expect(lines[3]).toContain(`  b           daily,big   ${box.source}  5 B`)
  expect(lines.at(-2)).toBe('5 snapshots')
  const compact = (await box.succeed(['snapshots', '-c', '--latest', '1'])).stdout
  expect(compact).not.toContain(box.source)
  expect(compact).toMatch(/^ID +Time +Host +Tags +Size$/m)
  const grouped = (await box.succeed(['snapshots', '-g', 'host,tags', '--latest', '1'])).stdout
  const headings = grouped.split('\n').filter((line) => line.startsWith('snapshots for'))
  expect(headings).toEqual([
    'snapshots for (host [a], tags []):',
    'snapshots for (host [a], tags [daily]):',
    'snapshots for (host [b], tags [big]):',
    'snapshots for (host [b], tags [big, daily]):',
  ])
  expect(grouped.match(/^1 snapshots$/gm)).toHaveLength(4)
})

test('check takes what filters and references choose, and says when that is nothing', async () => {
  const { box, ids } = await five()
  expect(await box.run(['check', 'latest', ids[0] ?? ''])).toMatchObject({ code: 0, stderr: '' })
  const none = await box.run(['check', '--host', 'nobody'])
  expect(none).toMatchObject({ code: 0 })
  expect(none.stderr).toContain('no snapshot was checked')
  expect((await box.run(['check', 'latest:dir'])).code).toBe(2)
})

test('nothing to show prints nothing', async () => {
  const box = await newRepository()
  expect(await box.succeed(['snapshots'])).toMatchObject({ stdout: '', stderr: '' })
})

test('--host, CAIRN_HOST, --tag and --time are what the snapshot says', async () => {
  const box = await newRepository()
  const environment = { CAIRN_HOST: 'from-env' }
  await box.succeed(['backup', 'source'], { environment })
  await box.succeed(['backup', '--host', 'named', '--tag', 'a, b', '--tag', 'b', 'source'])
  await box.succeed(['backup', '--time', '2001-02-03 04:05:06', 'source'])
  const [old, first, second] = await box.snapshots()
  expect(old).toMatchObject({ time: '2001-02-03T04:05:06Z', hostname: hostname() })
  expect(first.hostname).toBe('from-env')
  expect(second).toMatchObject({ hostname: 'named', tags: ['a', 'b'] })
  expect((await box.run(['backup', '--time', 'whenever', 'source'])).code).toBe(2)
  expect(await box.snapshots()).toHaveLength(3)
})

test('the parent is of the same host and paths; --parent and --group-by choose otherwise', async () => {
  const { box, ids } = await five()
  const parentOf = async (...options: string[]) => {
    const { stdout } = await box.succeed(['backup', ...options, '--dry-run', 'source'])
    return /using parent snapshot ([0-9a-f]{8})/.exec(stdout)?.[1]
  }
  expect(await parentOf('--host', 'a')).toBe(ids[4])
  expect(await parentOf('--host', 'c')).toBeUndefined()
  expect(await parentOf('--host', 'c', '--group-by', 'paths')).toBe(ids[3])
  expect(await parentOf('--host', 'a', '--parent', ids[1] ?? '')).toBe(ids[1])
  expect((await box.run(['backup', '--parent', 'abcdef12', 'source'])).code).toBe(1)
  // None that is newer than the snapshot to be made.
  expect(await parentOf('--host', 'a', '--time', '2025-03-01 03:30:00')).toBe(ids[2])
  expect(await parentOf('--host', 'a', '--time', '2024-03-01 03:30:00')).toBeUndefined()
})

test('a reader that goes away ends the listing without complaint', async () => {
  const { box } = await five()
  const { child, finished } = box.start(['snapshots'])
  child.stdout?.destroy()
  expect(await finished).toMatchObject({ code: 0, stderr: '' })
  expect(jsonLines((await box.succeed(['snapshots', '--json'])).stdout)[0]).toHaveLength(5)
})

/** A backup whose process was lost after its snapshot was written and before it said goodbye. */
async function unconfirmed(): Promise<Box> {
  const box = await newRepository()
  await box.succeed(['backup', 'source'])
  const running = box.start(['backup', '--stdin-from-command', '--', 'sleep', '1'])
  const sessions = () =>
    box.repositoryFiles('sessions').filter((path) => /[0-9a-f]{64}$/.test(path))
  while (sessions().length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  const [path = ''] = sessions()
  const beat = readFileSync(join(box.repository, path))
  expect((await running.finished).code).toBe(0)
  expect(sessions()).toEqual([])
  writeFileSync(join(box.repository, path), beat)
  return box
}

test('a snapshot whose run never confirmed it is shown as such, and check confirms it', async () => {
  const box = await unconfirmed()
  const [confirmed, lost] = await box.snapshots()
  expect(confirmed).not.toHaveProperty('unconfirmed')
  expect(lost.unconfirmed).toBe(true)
  const { stdout } = await box.succeed(['snapshots'])
  expect(stdout).toMatch(
    new RegExp(`^${lost.short_id} .*\n *unconfirmed|${lost.short_id}.*unconfirmed`, 'm'),
  )
  expect(stdout.match(/unconfirmed/g)).toHaveLength(1)
  await box.succeed(['ls', 'latest'])
  await box.succeed(['check'])
  expect((await box.snapshots())[1]).not.toHaveProperty('unconfirmed')
})

test('an unconfirmed snapshot is not re-tagged: a filter leaves it out, and its name is refused', async () => {
  const box = await unconfirmed()
  const lost = (await box.snapshots())[1]
  const refused = await box.run(['tag', '--add', 'new', lost.short_id])
  expect(refused.code).toBe(11)
  expect(refused.stderr).toMatch(/not confirmed .* 'cairn check'/)
  const { stdout, stderr } = await box.succeed(['tag', '--add', 'new'])
  expect(stdout).toBe('modified tags on 1 snapshots\n')
  expect(stderr).toContain(`snapshot ${lost.short_id} is not confirmed`)
  await box.succeed(['check'])
  await box.succeed(['tag', '--add', 'new', lost.short_id])
})

test('the next backup of its author resolves an unconfirmed snapshot', async () => {
  const box = await unconfirmed()
  await box.succeed(['backup', 'source'])
  const found = await box.snapshots()
  expect(found.filter((snapshot) => snapshot.unconfirmed)).toEqual([])
  expect(found.length).toBeGreaterThanOrEqual(2)
})
