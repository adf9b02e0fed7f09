import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FuseDevice } from '../../src/fuse/device.ts'

test('a reply in more pieces than one system call takes is written whole', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'cairn-device-test-'))
  onTestFinished(() => rmSync(scratch, { recursive: true }))
  const path = join(scratch, 'device')
  const device = new FuseDevice(openSync(path, 'w'))
  const pieces = Array.from({ length: 3_000 }, (_, i) => Buffer.alloc(1 + (i % 7), i))
  expect(device.write(pieces)).toBe(true)
  device.close()
  expect(readFileSync(path)).toEqual(Buffer.concat(pieces))
  expect(device.write(pieces)).toBe(false)
})
