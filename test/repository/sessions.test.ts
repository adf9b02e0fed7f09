/** What a run tells others of itself while it lasts. */

import { expect, test } from 'vitest'
import { Session } from '../../src/repository/sessions.ts'
import { MemoryBackend } from '../../src/storage/memory/memory-backend.ts'
import { create, open } from '../support/backup-harness.ts'

test.each([0, 1])('a session whose beat %i was interrupted leaves none behind', async (beats) => {
  const disk = new MemoryBackend()
  await create(disk)
  const session = new Session(await open(disk), 'writer')
  for (let beat = 0; beat < beats; beat++) await session.beat()
  const flush = disk.flush.bind(disk)
  disk.flush = async () => {
    throw new Error('interrupted')
  }
  await expect(session.beat()).rejects.toThrow('interrupted')
  disk.flush = flush
  await session.end()
  expect([...disk.files.keys()].filter((name) => name.startsWith('sessions/'))).toEqual([])
})
