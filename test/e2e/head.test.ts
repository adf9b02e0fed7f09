/** `cairn head` and --expect-head. */

import { cpSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { jsonLines, newRepository } from '../support/run-cairn.ts'

test('a repository that was rolled back is refused by every command that is told the head', async () => {
  const box = await newRepository()
  await box.succeed(['backup', box.source])
  const older = `${box.repository}-older`
  cpSync(box.repository, older, { recursive: true })
  await box.succeed(['backup', '--force', box.source])
  const { stdout } = await box.succeed(['head'])
  const head = stdout.trim()
  const [json] = jsonLines((await box.succeed(['head', '--json'])).stdout)
  expect(json).toMatchObject({ message_type: 'head', head, snapshots_count: 2 })

  await box.succeed(['backup', '--expect-head', head, box.source])
  await box.succeed(['snapshots', '--expect-head', head.toUpperCase()])
  rmSync(box.repository, { recursive: true })
  cpSync(older, box.repository, { recursive: true })
  for (const command of [['snapshots'], ['check'], ['ls', 'latest'], ['backup', box.source]]) {
    const { code, stderr } = await box.run([...command, '--expect-head', head])
    expect({ command, code }).toEqual({ command, code: 20 })
    expect(stderr).toContain(`does not go on from the head ${head}`)
  }
  expect(await box.snapshots()).toHaveLength(1)
  expect((await box.run(['snapshots', '--expect-head', 'abc'])).code).toBe(2)
})
