/** What somebody sees who runs the program on a terminal, and what becomes of the terminal. */

import { describe, expect, test } from 'vitest'
import { newRepository } from '../support/run-cairn.ts'
import { hasTerminals, startOnTerminal } from '../support/terminal.ts'

describe.skipIf(!hasTerminals)('on a terminal', () => {
  test('the prompt for the password stays while the command has begun its work', async () => {
    const box = await newRepository({ withPassword: true })
    const environment = { CAIRN_PASSWORD: undefined, CAIRN_PROGRESS_FPS: '60' }
    for (const command of [
      ['backup', 'source'],
      ['restore', 'latest', '--target', 'out'],
    ]) {
      const running = startOnTerminal(box, command, { environment })
      await running.until((shown) => shown.includes('enter password'))
      await new Promise((resolve) => setTimeout(resolve, 400))
      expect(running.shown()).not.toContain('0 B')
      running.type('correct horse\r')
      expect(await running.exitCode).toBe(0)
      expect(running.shown()).not.toContain('correct horse')
    }
  })

  test('a password that was mistyped is asked for again, until the third is wrong', async () => {
    const box = await newRepository({ withPassword: true })
    const environment = { CAIRN_PASSWORD: undefined }
    for (const { typed, code } of [
      { typed: ['typo', 'correct horse'], code: 0 },
      { typed: ['typo', 'worse', 'worst'], code: 12 },
    ]) {
      const running = startOnTerminal(box, ['snapshots'], { environment })
      let answered = 0
      for (const text of typed) {
        const from = answered
        await running.until((shown) => shown.indexOf('enter password', from) >= 0)
        answered = running.shown().length
        running.type(`${text}\r`)
        if (text !== typed.at(-1)) {
          await running.until((shown) => shown.indexOf('wrong password', answered) >= 0)
          answered = running.shown().lastIndexOf('wrong password')
        }
      }
      expect(await running.exitCode).toBe(code)
    }
  })

  test('when it is closed, the backup ends with 130 and no core dump', async () => {
    const box = await newRepository()
    const running = startOnTerminal(box, ['backup', '--stdin-from-command', '--', 'sleep', '20'])
    await running.until((shown) => shown.includes('0 files'))
    running.close()
    expect(await running.exitCode).toBe(130)
    expect(box.repositoryFiles('sessions')).toEqual([])
  })
})
