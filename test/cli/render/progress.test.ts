import { describe, expect, test } from 'vitest'
import type { CommandContext } from '../../../src/cli/command.ts'
import {
  progressIntervalMs,
  RateEstimator,
  startProgress,
} from '../../../src/cli/render/progress.ts'

interface Setting {
  readonly json?: boolean
  readonly quiet?: boolean
  readonly isTerminal?: boolean
  readonly fps?: string
}

function harness({ json = false, quiet = false, isTerminal = false, fps }: Setting) {
  const events: string[] = []
  const writer = (name: string) => ({
    write: (text: string) => void events.push(`${name} ${text.trimEnd()}`),
    writeBytes: async () => {},
    flush: () => {},
    drain: async () => {},
    isTerminal,
  })
  let signalled = () => {}
  let tick = () => {}
  let periodMs: number | undefined
  const context: CommandContext = {
    stdout: writer('stdout'),
    stderr: writer('stderr'),
    status: {
      set: (lines) => void events.push(`set ${lines.join('|')}`),
      clear: () => void events.push('clear'),
      interrupt: (write) => write(),
      suspend: () => () => {},
    },
    json,
    quiet,
    verbosity: 0,
    isTerminal,
    signal: new AbortController().signal,
    environment: fps === undefined ? {} : { CAIRN_PROGRESS_FPS: fps },
    startedAtMs: 0,
    takeTerminal: () => () => {},
    onProgressSignal: (action) => {
      signalled = action
      return () => {
        signalled = () => {}
      }
    },
    warn: () => {},
  }
  const progress = startProgress(
    context,
    { lines: () => ['first', 'second'], json: () => ({ message_type: 'status' }) },
    (period, action) => {
      periodMs = period
      tick = action
      return () => {
        tick = () => {}
      }
    },
  )
  return {
    events,
    progress,
    signal: () => signalled(),
    tick: () => tick(),
    periodMs: () => periodMs,
  }
}

describe('startProgress()', () => {
  test('draws on a terminal, and leaves nothing', () => {
    const { events, progress, tick, signal } = harness({ isTerminal: true })
    tick()
    progress.stop()
    tick()
    signal()
    expect(events).toEqual(['set first|second', 'clear'])
  })

  test('writes JSON to stdout, also on a terminal', () => {
    const { events, tick } = harness({ json: true, isTerminal: true })
    tick()
    expect(events).toEqual(['stdout {"message_type":"status"}'])
  })

  test('writes a line to a pipe when it is signalled', () => {
    const { events, signal, tick, periodMs } = harness({})
    expect(periodMs()).toBeUndefined()
    tick()
    signal()
    expect(events).toEqual(['stderr first'])
  })

  test('is silent with -q, unless CAIRN_PROGRESS_FPS says otherwise', () => {
    expect(harness({ quiet: true, isTerminal: true }).periodMs()).toBeUndefined()
    expect(harness({ quiet: true, json: true }).periodMs()).toBeUndefined()
    expect(harness({ quiet: true, fps: '2' }).periodMs()).toBe(500)
    const base = { environment: {}, quiet: false, json: false, isTerminal: true }
    expect(progressIntervalMs(base)).toBe(100)
    expect(
      progressIntervalMs({ ...base, environment: { CAIRN_PROGRESS_FPS: '1000' } }),
    ).toBeCloseTo(1000 / 60)
    expect(progressIntervalMs({ ...base, environment: { CAIRN_PROGRESS_FPS: 'x' } })).toBe(100)
  })
})

describe('RateEstimator', () => {
  test('forgets what is older than half a minute', () => {
    const rate = new RateEstimator()
    expect(rate.bytesPerSecond()).toBeUndefined()
    let bytes = 0
    for (let second = 0; second <= 100; second++) {
      rate.record(second * 1000, bytes)
      bytes += second < 50 ? 1_000_000 : 10_000
    }
    expect(rate.bytesPerSecond()).toBeCloseTo(10_000)
    expect(rate.secondsRemaining(50_000)).toBeCloseTo(5)
  })

  test('does not guess from too little', () => {
    const rate = new RateEstimator()
    rate.record(0, 0)
    expect(rate.secondsRemaining(1)).toBe(0)
    rate.record(1000, 100)
    expect(rate.secondsRemaining(1_000_000)).toBe(0)
  })
})
