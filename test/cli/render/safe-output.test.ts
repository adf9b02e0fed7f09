import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteString, byteStringOf } from '../../../src/base/bytes.ts'
import { encodeJson, type JsonValue, omitEmpty } from '../../../src/cli/render/json-lines.ts'
import { printable, printableName } from '../../../src/cli/render/printable.ts'
import { TerminalStatus } from '../../../src/cli/render/terminal-status.ts'
import { displayWidth, padToWidth, truncateToWidth } from '../../../src/cli/render/width.ts'

const STEERS_TERMINALS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u

describe('printable()', () => {
  test.each([
    'plain',
    'with "quotes" and \\',
    'für 漢字 é e\u0301',
    'Screenshot 3.04\u202fPM',
    '👩\u200d🚀',
    'می\u200cخواهم',
  ])('leaves %j alone', (text) => {
    expect(printable(text)).toBe(text)
  })

  test('quotes what steers a terminal', () => {
    expect(printable('a\x1b]0;title\x07"b"\\')).toBe('"a\\x1b]0;title\\x07\\"b\\"\\\\"')
    expect(printable('a\nb\tc\r')).toBe('"a\\nb\\tc\\r"')
    expect(printable('\u009b31m')).toBe('"\\u009b31m"')
    expect(printable('gpj.\u202eexe')).toBe('"gpj.\\u202eexe"')
    expect(printable('\ud800x')).toBe('"\\ud800x"')
    expect(printable('a\u{e0001}')).toBe('"a\\U000e0001"')
  })

  test('lets nothing through, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(STEERS_TERMINALS)
      }),
    )
  })
})

describe('printableName()', () => {
  test('shows bytes that are no UTF-8', () => {
    expect(printableName(byteStringOf('für'))).toBe('für')
    expect(printableName(byteString(Uint8Array.of(0x61, 0xff, 0xc3, 0xbc, 0xc3)))).toBe(
      '"a\\xffü\\xc3"',
    )
    expect(printableName(byteStringOf('a\x1b'))).toBe('"a\\x1b"')
    expect(printableName(byteString(Uint8Array.of(0xff, 0x1b, 0x22)))).toBe('"\\xff\\x1b\\""')
  })

  test('lets nothing through, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(printableName(byteString(bytes))).not.toMatch(STEERS_TERMINALS)
      }),
    )
  })
})

describe('encodeJson()', () => {
  test('writes what JSON.parse reads back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(encodeJson(value as JsonValue))).toEqual(
          JSON.parse(JSON.stringify(value)),
        )
      }),
    )
  })

  test('writes bigints as numbers and leaves out what is undefined', () => {
    expect(encodeJson({ a: 2n ** 63n, b: undefined, c: [undefined, null], d: Number.NaN })).toBe(
      '{"a":9223372036854775808,"c":[null,null],"d":null}',
    )
  })

  test('escapes what steers a terminal', () => {
    const text = '\u009b31m\u007f\u202e\x1b'
    expect(encodeJson(text)).not.toMatch(STEERS_TERMINALS)
    expect(JSON.parse(encodeJson(text))).toBe(text)
  })
})

test('omitEmpty() drops what Go drops', () => {
  expect(omitEmpty({ a: 0, b: '', c: [], d: false, e: null, f: 1, g: 'x', h: [0] })).toEqual({
    f: 1,
    g: 'x',
    h: [0],
  })
})

describe('displayWidth()', () => {
  test('counts cells', () => {
    expect(['abc', 'é', 'e\u0301', '漢字', '👩‍🚀', ''].map(displayWidth)).toEqual([
      3, 1, 1, 4, 2, 0,
    ])
    expect(padToWidth('漢', 4)).toBe('漢  ')
    expect(padToWidth('abc', 2)).toBe('abc')
  })

  test('truncateToWidth() never cuts a wide character in two', () => {
    expect(truncateToWidth('漢字漢字', 5)).toBe('漢字')
    expect(truncateToWidth('abcdef', 3)).toBe('abc')
    expect(truncateToWidth('é', 9)).toBe('é')
  })
})

describe('TerminalStatus', () => {
  function terminal(columns = 20, rows = 5) {
    let written = ''
    const status = new TerminalStatus({
      write: (text) => {
        written += text
      },
      columns: () => columns,
      rows: () => rows,
    })
    const take = () => {
      const text = written
      written = ''
      return text
    }
    return { status, take }
  }

  test('goes up as many lines as it has drawn', () => {
    const { status, take } = terminal()
    status.set(['a', 'b', 'c'])
    expect(take()).toBe('a\nb\nc')
    status.set(['d'])
    expect(take()).toBe('\r\x1b[2A\x1b[Jd')
    status.clear()
    expect(take()).toBe('\r\x1b[J')
    status.clear()
    expect(take()).toBe('')
  })

  test('neither wraps nor scrolls', () => {
    const { status, take } = terminal(10, 3)
    status.set(['x'.repeat(99), '漢'.repeat(99), 'never seen'])
    expect(take()).toBe(`${'x'.repeat(9)}\n漢漢漢漢`)
  })

  test('makes room for other lines, and comes back', () => {
    const { status, take } = terminal()
    status.set(['s'])
    take()
    status.interrupt(() => status.interrupt(() => status.set(['t'])))
    expect(take()).toBe('\r\x1b[Jt')
    status.clear()
    take()
    status.interrupt(() => {})
    expect(take()).toBe('')
  })
})
