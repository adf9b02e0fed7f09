/** Shortcuts for new files are taken only where they cannot be made to give a file away. */

import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nodeRandomness } from '../../src/base/node-seams.ts'
import { nodeTargetFiles } from '../../src/source/node-target-files.ts'
import { isRoot, KEEP, temporaryRoot, text } from './target-fixture.ts'

const base = temporaryRoot()

function open(name: string) {
  const root = join(base(), name)
  fs.mkdirSync(root)
  return { root, target: nodeTargetFiles({ randomness: nodeRandomness() }).openTarget(root) }
}

const OWN = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }

describe('writeWholeFile()', () => {
  test('gives every mode exactly, whatever the umask cuts', () => {
    const { root, target } = open('modes')
    const modes = [0o600, 0o644, 0o755, 0o666, 0o777, 0o4755, 0o2711, 0o1644, 0o000, 0o022]
    for (const mode of modes) {
      const name = `f${mode.toString(8)}`
      expect(target.writeWholeFile(name, text('x'), { ...OWN, mode }, KEEP)).toEqual([])
      expect(fs.statSync(join(root, name)).mode & 0o7777).toBe(mode)
    }
    target.close()
  })

  test.skipIf(!isRoot)(
    'R8: the group of a setgid directory does not get a file (skipped unless root)',
    () => {
      const { root, target } = open('setgid')
      for (const [name, uid, mode] of [
        ['ours', 0, 0o2700],
        ['theirs', 4321, 0o2777],
      ] as const) {
        const path = join(root, name)
        fs.mkdirSync(path)
        fs.chownSync(path, uid, 4321)
        fs.chmodSync(path, mode)
        expect(
          target.writeWholeFile(`${name}/f`, text('x'), { ...OWN, mode: 0o640 }, KEEP),
        ).toEqual([])
        expect(fs.statSync(join(path, 'f'))).toMatchObject({ uid: 0, gid: 0 })
      }
      target.close()
    },
  )

  test.skipIf(!isRoot)(
    'R8: the owner of a directory cannot change what is relied on (skipped unless root)',
    () => {
      const { root, target } = open('changing')
      const path = join(root, 'd')
      fs.mkdirSync(path)
      fs.chownSync(path, 4321, OWN.gid)
      const metadata = { ...OWN, mode: 0o640 }
      target.writeWholeFile('d/first', text('x'), metadata, KEEP)
      // As its owner may between two files, without the target looking again.
      fs.chownSync(path, 4321, 4321)
      fs.chmodSync(path, 0o2700)
      const everybody = spawnSync('setfacl', ['-d', '-m', 'u:4321:rwx', path])
      expect(target.writeWholeFile('d/second', text('x'), metadata, KEEP)).toEqual([])
      expect(fs.statSync(join(path, 'second'))).toMatchObject({ uid: 0, gid: 0 })
      const acl = spawnSync('getfacl', ['-cps', join(path, 'second')], { encoding: 'utf8' })
      if (everybody.status === 0) expect(acl.stdout.trim()).toBe('')
      target.close()
    },
  )

  test('a directory that has changed hands is looked at anew after refresh()', () => {
    const { root, target } = open('refreshed')
    fs.mkdirSync(join(root, 'd'))
    target.writeWholeFile('d/first', text('x'), { ...OWN, mode: 0o640 }, KEEP)
    fs.renameSync(join(root, 'd'), join(root, 'old'))
    fs.mkdirSync(join(root, 'd'))
    target.refresh()
    target.writeWholeFile('d/second', text('x'), { ...OWN, mode: 0o640 }, KEEP)
    expect(fs.readdirSync(join(root, 'd'))).toEqual(['second'])
    target.close()
  })
})
