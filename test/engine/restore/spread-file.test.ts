import assert from 'node:assert/strict'
import { describe, test } from 'vitest'
import { Reporter } from '../../../src/engine/restore/report.ts'
import type { RestoreContext } from '../../../src/engine/restore/restore-context.ts'
import { type OpenSpreadFiles, SpreadFile } from '../../../src/engine/restore/spread-file.ts'
import type { FileTask } from '../../../src/engine/restore/window.ts'
import type { TargetFile } from '../../../src/source/target-files.ts'

const FULL = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })

/** A file of two blobs of one byte each, and what was done with it. */
function spreadFile(createFile?: () => TargetFile) {
  const calls: string[] = []
  const file: TargetFile = {
    shared: 77,
    write: () => {},
    truncate: (byteCount) => calls.push(`truncate ${byteCount}`),
    setMetadata: () => [],
    commit: () => {
      calls.push('commit')
      return []
    },
    discard: () => calls.push('discard'),
  }
  const clock = { monotonicMs: () => 0 }
  const reporter = new Reporter({}, clock as ConstructorParameters<typeof Reporter>[1])
  const context = {
    options: {},
    reporter,
    target: { createFile: createFile ?? (() => file) },
  } as unknown as RestoreContext
  const entry = { size: 2, mode: 0o600, mtime: { seconds: 0, nanoseconds: 0 }, uid: 0, gid: 0 }
  const task = { entry, path: 'f', state: 'pending', replaces: false } as unknown as FileTask
  const open: OpenSpreadFiles = new Set()
  const spread = new SpreadFile(context, task, { open, xattrs: [] })
  for (let row = 0; row < 2; row++) spread.expectRow()
  spread.seal()
  return { calls, open, reporter, spread, task }
}

describe('SpreadFile', () => {
  test('gets its name when the last blob is there', () => {
    const { calls, open, spread, task } = spreadFile()
    for (let job = 0; job < 2; job++) {
      assert.deepEqual(calls, job === 0 ? [] : ['truncate 2'])
      assert.equal(spread.lend(), 77)
      spread.written(1)
      spread.giveBack()
    }
    assert.deepEqual(calls, ['truncate 2', 'commit'])
    assert.equal(task.state, 'restored')
    assert.equal(open.size, 0)
  })

  test('stays open while another job may write into it, whatever has failed', () => {
    const { calls, open, spread, task, reporter } = spreadFile()
    spread.lend()
    spread.lend()
    spread.fail(FULL)
    assert.equal(task.state, 'failed')
    spread.giveBack()
    assert.deepEqual(calls, ['truncate 2'])
    assert.equal(spread.lend(), -1)
    spread.written(1)
    spread.giveBack()
    assert.equal(open.size, 1)
    spread.giveBack()
    assert.deepEqual(calls, ['truncate 2', 'discard'])
    assert.equal(open.size, 0)
    assert.equal(reporter.report().errorCount, 1)
  })

  test('that cannot be created is told once and lent to nobody', () => {
    const { open, spread, reporter } = spreadFile(() => {
      throw FULL
    })
    assert.equal(spread.lend(), -1)
    assert.equal(spread.lend(), -1)
    spread.giveBack()
    spread.giveBack()
    assert.equal(open.size, 0)
    assert.equal(reporter.report().errorCount, 1)
  })
})
