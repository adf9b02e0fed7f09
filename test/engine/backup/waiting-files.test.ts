import { expect, test } from 'vitest'
import type { PendingFile } from '../../../src/engine/backup/scan-options.ts'
import { WaitingFiles } from '../../../src/engine/backup/waiting-files.ts'

const file = (size: number) => ({ path: `/f${size}`, stat: { size } }) as unknown as PendingFile

test('files wait in order, however many come and go between', () => {
  const waiting = new WaitingFiles()
  const model: PendingFile[] = []
  let next = 1
  for (const [pushes, shifts] of [
    [3, 5],
    [5000, 4000],
    [1, 0],
    [9000, 9999],
    [0, 9],
    [2, 1],
  ] as const) {
    for (let i = 0; i < pushes; i++) {
      const one = file(next++)
      waiting.push(one)
      model.push(one)
    }
    for (let i = 0; i < shifts; i++) expect(waiting.shift()).toBe(model.shift())
    expect(waiting.length).toBe(model.length)
    expect(waiting.byteCount).toBe(model.reduce((sum, { stat }) => sum + stat.size, 0))
    expect(waiting.peek(3)).toEqual(model.slice(0, 3))
  }
})
