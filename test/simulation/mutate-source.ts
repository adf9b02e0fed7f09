/** What users do to their files between backups, and while one runs. */

import type { ByteString } from '../../src/base/bytes.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SimFiles } from './sim-files.ts'
import { SOURCE } from './source-record.ts'

/** Contents that several clients may come to have, so that they share chunks. */
const POOL_SIZE = 10

export class SourceChanges {
  readonly #pool: readonly Uint8Array[]

  constructor(seed: number, random: (name: string) => SeededRandom) {
    this.#pool = Array.from({ length: POOL_SIZE }, (_, at) => {
      const of = random(`content ${seed} ${at}`)
      return of.bytes(Math.round(of.spread(40, 5000)))
    })
  }

  /** What a program writes into a pipe: partly what others have, too. */
  stream(random: SeededRandom): Uint8Array {
    return Buffer.concat([random.pick(this.#pool), random.bytes(random.between(1, 2000))])
  }

  /** Gives a new machine its files. */
  fill(files: SimFiles, random: SeededRandom): void {
    const count = random.between(2, 6)
    for (let at = 0; at < count; at++) files.writeFile(newPath(random), random.pick(this.#pool))
  }

  change(files: SimFiles, random: SeededRandom): void {
    const paths = files.filesBelow(SOURCE)
    const kind = random.weighted<'create' | 'own' | 'append' | 'delete'>([
      [4, 'create'],
      [3, 'own'],
      [2, 'append'],
      [paths.length > 2 ? 3 : 0, 'delete'],
    ])
    if (paths.length === 0 || kind === 'create') {
      files.writeFile(newPath(random), random.pick(this.#pool))
    } else if (kind === 'own') {
      files.writeFile(random.pick(paths), random.bytes(Math.round(random.spread(40, 3000))))
    } else if (kind === 'append') {
      const path = random.pick(paths)
      const more = random.bytes(random.between(1, 600))
      files.writeFile(path, Buffer.concat([files.contentOf(path) ?? more, more]))
    } else files.deleteTree(random.pick(paths))
  }
}

function newPath(random: SeededRandom): ByteString {
  return `${SOURCE}/${random.pick(['a', 'b', 'c/d'])}/file-${random.between(0, 9)}`
}
