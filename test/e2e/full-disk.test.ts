/** A disk that fills up: refused with a reason, nothing broken, and good again once there is room. */

import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Box, isRoot, newBox } from '../support/run-cairn.ts'

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

/** As `cairn words > at` in a shell. */
function redirected(box: Box, at: string, words: readonly string[]) {
  const { command, args, env } = box.command(words)
  const shell = ['-c', 'at="$1"; shift; exec "$@" > "$at"', 'sh', at, command, ...args]
  const { status, stderr } = spawnSync('sh', shell, { env })
  return { code: status, stderr: String(stderr) }
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

    test('P9: output that a full disk cuts off is a failure, and a snapshot that is saved is none', async () => {
      const box = newBox()
      // Whatever its chunks are, the last write of it fits in part.
      box.write('big', randomBytes(110_000))
      box.write('small', randomBytes(70_000))
      await box.succeed(['backup', '--init', 'source'])
      const disk = `${box.path}/out`
      mountTmpfs(disk, '100k')
      const path = `${disk}/file`
      const dump = (name: string) => redirected(box, path, ['dump', 'latest', `/source/${name}`])
      expect(dump('small')).toEqual({ code: 0, stderr: '' })
      expect(statSync(path).size).toBe(70_000)
      const noSpace = expect.stringMatching(/^Fatal: cannot write the output: ENOSPC/)
      expect(dump('big')).toEqual({ code: 1, stderr: noSpace })
      const rest = `${disk}/rest`
      for (const words of [
        ['snapshots'],
        ['ls', 'latest'],
        ['key', 'export'],
        ['stats', '--json'],
      ]) {
        const { code, stderr } = redirected(box, rest, words)
        expect({ words, code }).toEqual({ words, code: 1 })
        expect(stderr).toContain('cannot write the output: ENOSPC')
      }
      expect(redirected(box, rest, ['backup', box.source])).toMatchObject({
        code: 0,
        stderr: expect.stringContaining('cannot write the output: ENOSPC'),
      })
      expect(await box.snapshots()).toHaveLength(2)
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
