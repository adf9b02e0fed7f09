/** A disk that fills up: refused with a reason, nothing broken, and good again once there is room. */

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { isRoot, newBox } from '../support/run-cairn.ts'

function mount(at: string, size: string, isRemount = false): void {
  const option = `${isRemount ? 'remount,' : ''}size=${size}`
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', option, 'tmpfs', at])
  expect({ status, stderr: String(stderr) }).toEqual({ status: 0, stderr: '' })
}

function mountTmpfs(at: string, size: string): void {
  mkdirSync(at)
  mount(at, size)
  onTestFinished(() => void spawnSync('umount', [at]))
}

describe.skipIf(!isRoot)(
  `full disk${isRoot ? '' : ' (needs root, to mount a small tmpfs)'}`,
  () => {
    test('21: the repository is full; what is in it stays, and with room the backup goes on', async () => {
      const box = newBox()
      mountTmpfs(box.repository, '12m')
      box.write('small', 'small')
      await box.succeed(['backup', '--init', '--pack-size', '1', 'source'])
      for (let n = 0; n < 24; n++) box.write(`big${n}`, randomBytes(1 << 20))
      const full = await box.run(['backup', '--pack-size', '1', 'source'])
      expect(full.code).toBe(21)
      expect(full.stderr).toMatch(/^Fatal: .*(?:no space|full)/im)
      expect(full.stdout).not.toContain('saved')
      expect(await box.snapshots()).toHaveLength(1)
      expect((await box.succeed(['ls', '-q', 'latest'])).stdout).toBe('/source\n/source/small\n')
      const json = await box.run(['backup', '--json', '--pack-size', '1', 'source'])
      expect(json.code).toBe(21)
      expect(json.stderr.trimEnd().split('\n').at(-1)).toContain('"exit_error","code":21')

      mount(box.repository, '80m', true)
      await box.succeed(['backup', '--pack-size', '1', 'source'])
      const snapshots = await box.snapshots()
      expect(snapshots).toHaveLength(2)
      // What the runs before had stored was of use.
      expect(snapshots[1].summary.data_added).toBeLessThan(24 << 20)
      const check = await box.run(['check', '--read-data'])
      expect({ code: check.code, stderr: check.stderr }).toEqual({ code: 0, stderr: '' })
    })

    test('21: no room even to create a repository', async () => {
      const box = newBox()
      mountTmpfs(box.repository, '8k')
      box.write('small')
      const { code, stderr } = await box.run(['backup', '--init', 'source'])
      expect(code).toBe(21)
      expect(stderr).toMatch(/^Fatal: /)
      mount(box.repository, '8m', true)
      await box.succeed(['backup', '--init', 'source'])
      expect(await box.snapshots()).toHaveLength(1)
    })

    test('P6: the disk of the cache is full: the backup succeeds', async () => {
      const box = newBox()
      for (let n = 0; n < 3000; n++) box.write(`d${n % 10}/${'long-name-'.repeat(10)}${n}`, `${n}`)
      const cache = `${box.path}/small`
      mountTmpfs(cache, '64k')
      const options = { environment: { CAIRN_CACHE_DIR: cache } }
      await box.succeed(['backup', '--init', 'source'], options)
      await box.succeed(['backup', 'source'], options)
      expect(await box.snapshots()).toHaveLength(2)
      const { stdout } = await box.succeed(['ls', '-q', 'latest'], options)
      expect(stdout.split('\n')).toHaveLength(3012)
    })
  },
)
