import { describe, expect, test } from 'vitest'
import { BugError, CairnError, throwIfAborted } from '../../src/base/errors.ts'
import type { Arguments, CommandAction, CommandContext } from '../../src/cli/command.ts'
import { defineCommand } from '../../src/cli/command.ts'
import type { OptionTable } from '../../src/cli/option.ts'
import type { OutputSink } from '../../src/cli/output.ts'
import { COMMANDS, type LoadedCommand, type RegisteredCommand } from '../../src/cli/registry.ts'
import { runCommandLine, type Surroundings } from '../../src/cli/run-command.ts'

interface Run {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** What both streams got, in order. */
  readonly all: string
}

interface Setting {
  readonly environment?: Record<string, string>
  readonly isTerminal?: boolean
  readonly signal?: AbortSignal
  readonly outputClosed?: AbortSignal
}

type Action = CommandAction<Arguments<OptionTable>>

function registered(
  action: Action,
  onlyShows = false,
  whenInterrupted?: string,
): RegisteredCommand {
  const definition = defineCommand({
    name: 'act',
    operands: '[X...]',
    operandsMin: 0,
    operandsMax: 9,
    description: 'acts',
    examples: [],
    options: {} as OptionTable,
    onlyShows,
    ...(whenInterrupted === undefined ? {} : { whenInterrupted }),
  })
  const loaded: LoadedCommand = { definition, run: action }
  return {
    name: 'act',
    summary: 'acts',
    isHidden: false,
    load: async () => loaded,
    loadDefinition: async () => definition,
  }
}

async function run(
  argv: readonly string[],
  commands: readonly RegisteredCommand[],
  setting: Setting = {},
): Promise<Run> {
  const texts = { stdout: '', stderr: '', all: '' }
  const sink = (name: 'stdout' | 'stderr'): OutputSink => ({
    isTerminal: setting.isTerminal ?? false,
    write: (content) => {
      const text = typeof content === 'string' ? content : Buffer.from(content).toString('latin1')
      texts[name] += text
      texts.all += text
    },
    drain: async () => {},
  })
  const surroundings: Surroundings = {
    environment: setting.environment ?? {},
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    columns: () => 40,
    rows: () => 10,
    signal: setting.signal ?? new AbortController().signal,
    outputClosed: setting.outputClosed ?? new AbortController().signal,
    startedAtMs: 0,
    onProgressSignal: () => () => {},
  }
  const code = await runCommandLine(argv, commands, surroundings)
  return { code, ...texts }
}

const act = (action: Action, argv: readonly string[] = [], setting?: Setting) =>
  run(['act', ...argv], [registered(action)], setting)

const failing = (error: unknown) => async () => {
  throw error
}

describe('runCommandLine()', () => {
  test('returns what the command returns', async () => {
    expect(await act(async (_args, { stdout }) => (stdout.write('out\n'), 0))).toMatchObject({
      code: 0,
      stdout: 'out\n',
      stderr: '',
    })
    expect((await act(async () => 3)).code).toBe(3)
  })

  test.each([
    ['CAIRN_FAILED', 1, 'Fatal: '],
    ['CAIRN_USAGE', 2, 'Fatal: '],
    ['CAIRN_INCOMPLETE', 3, 'Warning: '],
    ['CAIRN_REPOSITORY_MISSING', 10, 'Fatal: '],
    ['CAIRN_WRONG_SECRET', 12, 'Fatal: '],
    ['CAIRN_CORRUPT', 20, 'Fatal: '],
    ['CAIRN_STORAGE_DOWN', 21, 'Fatal: '],
  ] as const)('tells of %s once and exits with %d', async (code, exit, prefix) => {
    const error = new CairnError(code, 'it failed', { cause: new Error('because') })
    const plain = await act(failing(error))
    expect(plain).toMatchObject({ code: exit, stdout: '' })
    expect(plain.stderr.split('\n')[0]).toBe(`${prefix}it failed: because`)
    expect(plain.stderr).not.toContain('    at ')
    const json = await act(failing(error), ['--json'])
    expect(JSON.parse(json.stderr)).toEqual({
      message_type: 'exit_error',
      code: exit,
      message: `${prefix}it failed: because`,
    })
  })

  test('shows where a bug is', async () => {
    for (const error of [new BugError('must hold'), new TypeError('must hold')]) {
      const result = await act(failing(error))
      expect(result).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('Fatal: must hold\n'),
      })
      expect(result.stderr).toContain('    at ')
    }
    expect((await act(failing('text'))).stderr).toBe('Fatal: text\n')
  })

  test('tells of every error that happened together; the highest code counts', async () => {
    const errors = [new CairnError('CAIRN_FAILED', 'one'), new CairnError('CAIRN_CORRUPT', 'two')]
    const result = await act(failing(new AggregateError(errors)))
    expect(result).toMatchObject({ code: 20, stderr: 'Fatal: one\ntwo\n' })
  })

  test('exits with 2 for usage errors, as JSON if that was asked for', async () => {
    const wrong = await act(async () => 0, ['--jsn'])
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
    expect(wrong.stderr).toMatch(/^Fatal: .*did you mean '--json'/)
    const json = await act(async () => 0, ['--json', '--wrong'])
    expect(JSON.parse(json.stderr)).toMatchObject({ message_type: 'exit_error', code: 2 })
    const notJson = await act(async () => 0, ['-o', 'x', '--', '--json'])
    expect(notJson.stderr).toMatch(/^Fatal: /)
    expect((await run(['atc'], [registered(async () => 0)])).code).toBe(2)
  })

  test('prints help for no command, help, -h and unknown ones', async () => {
    const commands = [registered(async () => 9)]
    for (const argv of [[], ['help'], ['-h'], ['--json']]) {
      const result = await run(argv, commands)
      expect(result).toMatchObject({ code: 0, stderr: '' })
      expect(result.stdout).toContain('cairn act')
    }
    for (const argv of [
      ['help', 'act'],
      ['act', '--help'],
      ['-h', 'act', 'x'],
    ]) {
      const result = await run(argv, commands)
      expect(result).toMatchObject({
        code: 0,
        stdout: expect.stringContaining('cairn act [options]'),
      })
      expect(result.stdout).toContain('--password-file')
    }
    expect((await run(['help', 'atc'], commands)).code).toBe(2)
  })

  test('gives the command its context', async () => {
    let seen: CommandContext | undefined
    const action: Action = async (_args, context) => {
      seen = context
      return 0
    }
    await act(action, ['-vv', '--json', 'x'], { isTerminal: true, environment: { TERM: 'xterm' } })
    expect(seen).toMatchObject({ verbosity: 2, json: true, quiet: false, isTerminal: true })
    await act(action, ['-q'], { isTerminal: true, environment: { TERM: 'dumb' } })
    expect(seen).toMatchObject({ verbosity: 0, quiet: true, isTerminal: false })
  })

  test('aborts on a signal and exits with 130', async () => {
    const controller = new AbortController()
    const action: Action = async (_args, { signal }) => {
      controller.abort(new Error('signal SIGINT'))
      throwIfAborted(signal)
      return 0
    }
    const result = await act(action, [], { signal: controller.signal })
    expect(result.code).toBe(130)
    expect(result.stderr).toMatch(/^signal SIGINT received[^\n]*\ninterrupted\n$/)
  })

  test('draws no live lines after a signal: a second one would leave them there', async () => {
    const controller = new AbortController()
    const action: Action = async (_args, { signal, status }) => {
      controller.abort(new Error('signal SIGINT'))
      status.set(['still there'])
      throwIfAborted(signal)
      return 0
    }
    const setting = { isTerminal: true, environment: { TERM: 'xterm' }, signal: controller.signal }
    expect((await act(action, [], setting)).all).not.toContain('still there')
  })

  test('says what an interrupted command has left, and what to do', async () => {
    const controller = new AbortController()
    const action: Action = async (_args, { signal }) => {
      controller.abort(new Error('signal SIGINT'))
      throwIfAborted(signal)
      return 0
    }
    const command = registered(action, false, 'run it again')
    const setting = { signal: controller.signal }
    const { stderr } = await run(['act'], [command], setting)
    expect(stderr).toMatch(/\ninterrupted: run it again\n$/)
    const json = await run(['act', '--json'], [command], setting)
    expect(JSON.parse(json.stderr)).toMatchObject({
      code: 130,
      message: 'interrupted: run it again',
    })
  })

  test('leaves a command alone that had finished when the signal came', async () => {
    const controller = new AbortController()
    const action: Action = async () => (controller.abort(), 0)
    expect((await act(action, [], { signal: controller.signal })).code).toBe(0)
  })

  test('stops a listing, and nothing else, when nobody reads it', async () => {
    const closed = AbortSignal.abort()
    const action: Action = async (_args, { signal }) => {
      throwIfAborted(signal)
      return 7
    }
    const shows = await run(['act'], [registered(action, true)], { outputClosed: closed })
    expect(shows).toMatchObject({ code: 0, stdout: '', stderr: '' })
    expect((await run(['act'], [registered(action)], { outputClosed: closed })).code).toBe(7)
  })

  test('fails a listing that could not be written, and says so of what was done all the same', async () => {
    const reason = new CairnError('CAIRN_FAILED', 'cannot write the output: disk full')
    const outputClosed = AbortSignal.abort(reason)
    const stopped: Action = async (_args, { signal }) => {
      throwIfAborted(signal)
      return 0
    }
    const failed = { code: 1, stderr: 'Fatal: cannot write the output: disk full\n' }
    expect(await run(['act'], [registered(stopped, true)], { outputClosed })).toMatchObject(failed)
    const through: Action = async () => 0
    expect(await run(['act'], [registered(through, true)], { outputClosed })).toMatchObject(failed)
    expect(await run(['act'], [registered(through)], { outputClosed })).toMatchObject({
      code: 0,
      stderr: 'cannot write the output: disk full\n',
    })
    const damaged: Action = async () => 20
    expect((await run(['act'], [registered(damaged, true)], { outputClosed })).code).toBe(20)
  })

  test('keeps errors in order with output, and live lines below both', async () => {
    const action: Action = async (_args, { stdout, stderr, status, warn }) => {
      status.set(['working'])
      stdout.write('one\n')
      stderr.write('two\n')
      stdout.write('three\n')
      warn('four')
      status.clear()
      return 0
    }
    const { all } = await act(action, [], { isTerminal: true, environment: { TERM: 'xterm' } })
    const shown = all.replaceAll('\r\x1b[J', '<').replaceAll('working', 'w')
    expect(shown).toBe('w<one\nw<two\nw<three\nw<four\nw<')
    expect((await act(action)).all).toBe('one\ntwo\nthree\nfour\n')
  })

  test('draws no live lines while somebody is asked something', async () => {
    const action: Action = async (_args, { stderr, status, takeTerminal }) => {
      status.set(['one'])
      const giveBack = takeTerminal()
      stderr.write('password: ')
      status.set(['two'])
      giveBack()
      return 0
    }
    const { all } = await act(action, [], { isTerminal: true, environment: { TERM: 'xterm' } })
    expect(all).toBe('one\r\x1b[Jpassword: two')
  })
})

test('version prints itself and the version of Node', async () => {
  const text = await run(['version'], COMMANDS)
  expect(text).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^cairn \d+\.\d+\.\d+ on Node/),
  })
  const json = await run(['version', '--json'], COMMANDS)
  expect(JSON.parse(json.stdout)).toMatchObject({
    message_type: 'version',
    node_arch: process.arch,
  })
})
