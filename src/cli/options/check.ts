import { parseSize } from '../../base/units.ts'
import { type Arguments, defineCommand } from '../command.ts'
import { flag, mapped, nonEmpty, usage } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

/** Which packs to read: group `part` of `parts`, or so many at random. */
export type ReadDataSubset =
  | { readonly kind: 'part'; readonly part: number; readonly parts: number }
  | { readonly kind: 'percent'; readonly percent: number }
  | { readonly kind: 'bytes'; readonly byteCount: number }

const PARTS_MAX = 256

function readSubset(value: string | undefined, spelling: string): ReadDataSubset | undefined {
  if (value === undefined) return undefined
  const group = /^(\d{1,6})\/(\d{1,6})$/.exec(value)
  if (group !== null) {
    const part = Number(group[1])
    const parts = Number(group[2])
    if (part < 1 || part > parts || parts > PARTS_MAX) {
      throw usage(`'${value}' is not a value of ${spelling}: in n/t, n is 1 to t and t at most 256`)
    }
    return { kind: 'part', part, parts }
  }
  const percent = /^(\d{1,3}(?:\.\d+)?)%$/.exec(value)
  if (percent !== null) {
    if (Number(percent[1]) <= 0 || Number(percent[1]) > 100) {
      throw usage(`'${value}' is not a value of ${spelling}: write above 0% and at most 100%`)
    }
    return { kind: 'percent', percent: Number(percent[1]) }
  }
  const byteCount = parseSize(value)
  if (byteCount === 0) throw usage(`${spelling} needs more than nothing`)
  return { kind: 'bytes', byteCount }
}

export type CheckArguments = Arguments<typeof CHECK.options>

export const CHECK = defineCommand({
  name: 'check',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Checks that all that snapshots need is there and as it was written. With --read-data every ' +
    'byte is read. Repairs nothing.',
  whenInterrupted: 'what it did not come to is not checked',
  examples: [
    { command: 'cairn check', meaning: 'the structure: fast' },
    { command: 'cairn check --read-data-subset 1/7', meaning: 'and a seventh of the data' },
  ],
  options: {
    'read-data': flag('read all data'),
    'read-data-subset': mapped(
      nonEmpty('read part of the data: n/t, 2.5% or a size', 'subset'),
      readSubset,
    ),
    ...FILTER_OPTIONS,
  },
  validate(args) {
    if (args.readData && args.readDataSubset !== undefined) {
      throw usage('--read-data and --read-data-subset exclude each other')
    }
  },
})
