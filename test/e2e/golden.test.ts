/** Repositories made by earlier versions, and every line of Node.js that cairn promises to run on. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  GOLDEN,
  GOLDEN_KEY,
  GOLDEN_NAMES,
  hasXattrs,
  manifestOf,
  type ManifestEntry,
  writeGoldens,
} from '../support/golden.ts'
import { isRoot, newBox } from '../support/run-cairn.ts'
import { RUNTIMES } from '../support/runtimes.ts'

beforeAll(async () => {
  if (process.env['CAIRN_WRITE_GOLDEN'] === 'yes') await writeGoldens()
})

/** Only root can make devices. */
function restorable(manifest: readonly ManifestEntry[], withXattrs: boolean): ManifestEntry[] {
  return manifest
    .filter(({ type }) => isRoot || !type.endsWith('device'))
    .map(({ xattrs, ...rest }) => (withXattrs && xattrs ? { ...rest, xattrs } : rest))
}

describe.each(RUNTIMES)('$name', ({ path, name }) => {
  const missing = path === undefined
  const reason = missing ? ` (${name} is not installed in test/nodes)` : ''

  test.skipIf(missing)(`init, backup, restore and check${reason}`, async () => {
    const box = newBox({ withPassword: true })
    box.write('sub/a.txt', 'alpha')
    box.write('b.bin', Buffer.alloc(2 << 20, 'beta'))
    const runtime = path ?? ''
    await box.succeed(['init'], { runtime })
    await box.succeed(['backup', 'source'], { runtime })
    writeFileSync(join(box.source, 'b.bin'), 'changed')
    await box.succeed(['backup', 'source'], { runtime })
    await box.succeed(['restore', 'latest', '--target', 'out'], { runtime })
    expect(readFileSync(join(box.path, 'out/source/b.bin'), 'utf8')).toBe('changed')
    expect(readFileSync(join(box.path, 'out/source/sub/a.txt'), 'utf8')).toBe('alpha')
    await box.succeed(['check', '--read-data'], { runtime })
  })

  test.skipIf(missing).each(Object.keys(GOLDEN_NAMES))(
    `A18: restores %s as it was${reason}`,
    async (golden) => {
      const box = newBox()
      const runtime = path ?? ''
      const fixture = join(GOLDEN, golden)
      cpSync(join(fixture, 'repository'), box.repository, { recursive: true })
      const keyFile = join(box.path, 'golden-key')
      writeFileSync(keyFile, GOLDEN_KEY, { mode: 0o600 })
      const environment = { CAIRN_KEY_FILE: keyFile }
      await box.succeed(['check', '--read-data'], { runtime, environment })
      const target = join(box.path, 'out')
      const restore = ['restore', 'latest:/tmp/cairn-golden/source', '--target', target]
      const { code } = await box.run(restore, { runtime, environment })
      const withXattrs = hasXattrs(box.path)
      expect(code).toBe(isRoot && withXattrs ? 0 : 3)
      const manifest = JSON.parse(
        readFileSync(join(fixture, 'manifest.json'), 'utf8'),
      ) as ManifestEntry[]
      expect(manifest.length).toBeGreaterThanOrEqual(17)
      expect(manifest.filter(({ xattrs }) => xattrs !== undefined)).toHaveLength(2)
      const restored = manifestOf(target, withXattrs)
      expect(restorable(restored, withXattrs)).toEqual(restorable(manifest, withXattrs))
    },
  )
})
