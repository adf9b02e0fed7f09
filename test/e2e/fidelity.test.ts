/**
 * A tree with every kind of entry comes back with no difference in anything a file system keeps of it:
 * by restore, by restore --sparse, and as a tar archive that GNU tar unpacks.
 */

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Box, isRoot } from '../support/run-cairn.ts'

const SCRIPT = fileURLToPath(new URL('../support/every-kind.py', import.meta.url))

interface Entry {
  readonly path: string
  readonly mode: string
  readonly isSparse?: boolean
  readonly flags?: number | null
  readonly sameAs?: string
  readonly [field: string]: unknown
}

/** One that is in the tree, for each feature: so that no comparison passes for lack of it. */
const SAMPLES: Readonly<Record<string, string>> = {
  'plain files': 'large',
  'symbolic links': 'link4',
  'hard links': 'hc/fourth',
  'hard links of others': 'hb/other link',
  'hard links of devices': 'other block',
  'pipes and sockets': 'socket',
  devices: 'block',
  holes: 'sparse',
  owners: 'owned link1',
  modes: 'mode7777',
  'odd names': 'names/e\u00cc\u0081',
  attributes: 'attributes directory',
  'privileged attributes': 'trusted link',
  ACLs: 'acl directory/inherits',
  capabilities: 'capable',
  'inode flags': 'noatime',
  times: 'time directory5',
}

const root = mkdtempSync(join(tmpdir(), 'cairn-fidelity-'))
const box = new Box(root, false)
const planted = spawnSync('python3', [SCRIPT, 'plant', box.source], { encoding: 'utf8' })
const lacking = new Set((planted.stdout ?? '').split('\n').filter((line) => line !== ''))
let source: Entry[] = []

function listing(folder: string): Entry[] {
  const text = execFileSync('python3', [SCRIPT, 'list', folder], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Entry)
}

/** Entries by path, without what `ignoring` names, of which at most a few that differ are shown. */
function expectSame(found: readonly Entry[], wanted: readonly Entry[], ignoring: string[]): void {
  const shown = (entry: Entry) =>
    JSON.stringify(entry, (key, value: unknown) => (ignoring.includes(key) ? undefined : value))
  const [ours, theirs] = [new Set(found.map(shown)), new Set(wanted.map(shown))]
  expect([...theirs].filter((line) => !ours.has(line)).slice(0, 5)).toEqual([])
  expect([...ours].filter((line) => !theirs.has(line)).slice(0, 5)).toEqual([])
  expect(found.length).toBe(wanted.length)
}

async function restored(name: string, flags: readonly string[]): Promise<Entry[]> {
  const target = join(root, name)
  const finished = await box.run(['restore', '-q', 'latest', '-t', target, ...flags])
  expect(finished.stderr).toBe('')
  expect(finished.code).toBe(0)
  return listing(join(target, box.source))
}

beforeAll(() => {
  expect(planted.status, planted.stderr).toBe(0)
  source = listing(box.source)
})
// Node's own rm overflows its stack on these.
afterAll(() => {
  execFileSync('rm', ['-rf', '--', root])
  rmSync(root, { recursive: true, force: true })
})

describe('the tree has', () => {
  for (const [feature, sample] of Object.entries(SAMPLES)) {
    const isLacking = lacking.has(feature)
    const reason = isLacking ? ` (needs ${isRoot ? 'a file system with them' : 'root'})` : ''
    test.skipIf(isLacking)(`${feature}${reason}`, () => {
      const path = `/plain/${feature}/${sample}`
      expect(source.filter((entry) => entry.path === path)).toHaveLength(1)
    })
  }

  test('2,000 levels, and paths longer than the system takes', () => {
    expect(source.some(({ path }) => path.length > 7_000)).toBe(true)
    expect(source.some(({ path }) => path.split('/').length > 2_000)).toBe(true)
  })
})

test('all of it is backed up', async () => {
  const finished = await box.run(['backup', '-q', '--init', box.source])
  expect(finished).toMatchObject({ code: 0, stderr: '' })
})

test('E8 E12 E13 E14 E15 E17 E18 E19 P1: restore gives back every entry without a difference', async () => {
  expectSame(await restored('plain target', []), source, ['isSparse'])
})

test('E10: restore --sparse gives back the holes as well', async () => {
  expectSame(await restored('sparse target', ['--sparse']), source, [])
  expect(source.filter(({ isSparse }) => isSparse).length).toBeGreaterThanOrEqual(2)
})

const gnuTar = (spawnSync('tar', ['--version'], { encoding: 'utf8' }).stdout ?? '').includes('GNU')
test.skipIf(!gnuTar)(
  `dump as tar, unpacked by GNU tar, gives back what tar can hold${gnuTar ? '' : ' (needs GNU tar)'}`,
  async () => {
    const [archive, target] = [join(root, 'archive.tar'), join(root, 'unpacked')]
    mkdirSync(target)
    await box.succeed(['dump', '-t', archive, `latest:${box.source}/plain`, '/'])
    const flags = ['-p', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls']
    execFileSync('tar', ['-xf', archive, '-C', target, ...flags], { stdio: 'pipe' })
    const inside = source
      .filter(({ path }) => path.startsWith('/plain/'))
      .map((entry) => ({ ...entry, path: entry.path.slice('/plain'.length) }))
      // There is no type for a socket in tar.
      .filter(({ mode }) => !mode.startsWith('0o140'))
      .map(({ sameAs, ...entry }) =>
        sameAs === undefined ? entry : { ...entry, sameAs: sameAs.slice('/plain'.length) },
      )
    expectSame(listing(target), inside, ['isSparse', 'flags'])
  },
)

test('a second backup of what was restored stores nothing', async () => {
  const again = join(root, 'again')
  await box.succeed(['restore', '-q', 'latest', '-t', again])
  const args = ['backup', '--json', '-q', '--host', 'other', join(again, box.source)]
  const { stdout } = await box.succeed(args)
  expect(JSON.parse(stdout)).toMatchObject({ data_blobs: 0 })
})
