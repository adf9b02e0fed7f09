/** Makes a repository one that has forgotten many snapshots, without making them first. */

import { nodeClock, nodeProcess, nodeRandomness } from '../../src/base/node-seams.ts'
import { encodeTombstone } from '../../src/format/session.ts'
import { Repository } from '../../src/repository/repository.ts'
import { timeOf } from '../../src/repository/time.ts'
import { openLocalBackend } from '../../src/storage/local/local-backend.ts'

/** As many as are merged into one tombstone, roughly: it holds up to 4 MiB. */
const PER_TOMBSTONE = 5_000

/**
 * Adds tombstones of `count` snapshots that never were: random ids, and bodies as long as that of
 * the newest snapshot there is. They are what forgetting and merging would have left.
 */
export async function plantTombstones(
  path: string,
  environment: Readonly<Record<string, string>>,
  count: number,
): Promise<void> {
  const [clock, random] = [nodeClock(), nodeRandomness()]
  const backend = openLocalBackend({ path, clock, random })
  const bytes = Buffer.from(environment['CAIRN_PASSWORD'] ?? '')
  const repository = await Repository.open(
    { backend, clock, random, process: nodeProcess() },
    { secret: { kind: 'passphrase', bytes } },
  )
  const newest = (await repository.snapshots()).at(-1)
  if (newest === undefined) throw new Error('there is no snapshot to take the length of')
  const time = timeOf(clock.wallNs())
  for (let done = 0; done < count; done += PER_TOMBSTONE) {
    const forgotten = Array.from({ length: Math.min(PER_TOMBSTONE, count - done) }, () => ({
      snapshot: random.bytes(32),
      replacement: new Uint8Array(),
      body: random.bytes(newest.body.length),
      author: Buffer.from(newest.author, 'hex'),
      aead: newest.aead,
    }))
    await repository.saveObject(
      'retired',
      encodeTombstone({ forgotten, time, known: [], merged: [] }),
    )
  }
  await backend.flush({})
  await backend.close()
}
