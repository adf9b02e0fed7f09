/**
 * Options as data: one table per command, from which the parser, the types of the parsed arguments
 * and `--help` all follow.
 */

import { CairnError } from '../base/errors.ts'
import { parseClockDuration, parseSize } from '../base/units.ts'

/** The option as written (`--tag`), or the variable (`CAIRN_TAG`), for messages. */
type Spelling = string

export interface Option<T> {
  readonly takesValue: boolean
  readonly describe: string
  /** One letter. */
  readonly short?: string
  /** Other long names, not shown in help. */
  readonly aliases?: readonly string[]
  /** What stands for the value in help. */
  readonly placeholder?: string
  readonly choices?: readonly string[]
  /** Counts where the command line has none of it. */
  readonly environment?: string
  /** A variable that help names and somebody else reads (secrets, the location). */
  readonly readElsewhere?: string
  readonly hidden?: boolean
  /** Every value given, in order; a flag without a value gives `true`. Empty if it was not given. */
  read(given: readonly string[], spelling: Spelling): T
}

type Extras = Partial<
  Pick<
    Option<unknown>,
    'short' | 'aliases' | 'placeholder' | 'environment' | 'readElsewhere' | 'hidden'
  >
>

export function usage(message: string): CairnError {
  return new CairnError('CAIRN_USAGE', message)
}

/** Go's strconv.ParseBool, which is what restic's users can write. */
function readBoolean(value: string, spelling: Spelling): boolean {
  if (/^(?:1|t|true)$/i.test(value)) return true
  if (/^(?:0|f|false)$/i.test(value)) return false
  throw usage(`'${value}' is not a value of ${spelling}: write true or false`)
}

export function flag(describe: string, extras: Extras = {}): Option<boolean> {
  return {
    takesValue: false,
    describe,
    ...extras,
    read: (given, spelling) => given.length > 0 && readBoolean(given.at(-1) ?? '', spelling),
  }
}

/** How often it was given, or the number it was given: `-vv` and `--verbose=2` are 2. */
export function count(describe: string, countMax: number, extras: Extras = {}): Option<number> {
  return {
    takesValue: false,
    describe,
    ...extras,
    read: (given, spelling) => {
      let total = 0
      for (const value of given) {
        if (value === 'true') total++
        else if (/^\d{1,3}$/.test(value)) total = Number(value)
        else throw usage(`'${value}' is not a value of ${spelling}: write a number`)
      }
      return Math.min(total, countMax)
    },
  }
}

function single<T>(
  describe: string,
  placeholder: string,
  extras: Extras,
  convert: (value: string, spelling: Spelling) => T,
): Option<T | undefined> {
  return {
    takesValue: true,
    describe,
    placeholder,
    ...extras,
    read: (given, spelling) => {
      const last = given.at(-1)
      return last === undefined ? undefined : convert(last, spelling)
    },
  }
}

export function text(
  describe: string,
  placeholder: string,
  extras: Extras = {},
): Option<string | undefined> {
  return single(describe, placeholder, extras, (value) => value)
}

/** As `text`; an empty value counts as none. */
export function nonEmpty(
  describe: string,
  placeholder: string,
  extras: Extras = {},
): Option<string | undefined> {
  return single(describe, placeholder, extras, (value, spelling) => {
    if (value === '') throw usage(`${spelling} needs a value that is not empty`)
    return value
  })
}

export interface Bounds {
  readonly min: number
  readonly max: number
}

export function integer(
  describe: string,
  placeholder: string,
  { min, max }: Bounds,
  extras: Extras = {},
): Option<number | undefined> {
  return single(describe, placeholder, extras, (value, spelling) => {
    const number = Number(value)
    if (!/^\d{1,15}$/.test(value) || number < min || number > max) {
      throw usage(`'${value}' is not a value of ${spelling}: write a number from ${min} to ${max}`)
    }
    return number
  })
}

function about<T>(spelling: Spelling, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw new CairnError('CAIRN_USAGE', `cannot read the value of ${spelling}`, { cause: error })
  }
}

/** Bytes. */
export function size(describe: string, extras: Extras = {}): Option<number | undefined> {
  return single(describe, 'size', extras, (value, spelling) =>
    about(spelling, () => parseSize(value)),
  )
}

/** Milliseconds. */
export function duration(describe: string, extras: Extras = {}): Option<number | undefined> {
  return single(describe, 'duration', extras, (value, spelling) =>
    about(spelling, () => parseClockDuration(value)),
  )
}

export function choice<const C extends string>(
  describe: string,
  choices: readonly C[],
  extras: Extras = {},
): Option<C | undefined> {
  const option = single(describe, 'mode', extras, (value, spelling) => {
    const chosen = choices.find((one) => one === value)
    if (chosen !== undefined) return chosen
    throw usage(`'${value}' is not a value of ${spelling}: write one of ${choices.join(', ')}`)
  })
  return { ...option, choices }
}

export function list(
  describe: string,
  placeholder: string,
  extras: Extras = {},
): Option<readonly string[]> {
  return { takesValue: true, describe, placeholder, ...extras, read: (given) => given }
}

/** An option with the same form whose value is read further. */
export function mapped<T, U>(
  option: Option<T>,
  convert: (value: T, spelling: Spelling) => U,
): Option<U> {
  return { ...option, read: (given, spelling) => convert(option.read(given, spelling), spelling) }
}

/** By long name without the dashes. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>

type CamelCase<S extends string> = S extends `${infer Head}-${infer Rest}`
  ? `${Head}${Capitalize<CamelCase<Rest>>}`
  : S

export type Values<Table extends OptionTable> = {
  readonly [Name in keyof Table & string as CamelCase<Name>]: Table[Name] extends Option<infer T>
    ? T
    : never
}

export function camelCase(name: string): string {
  return name.replace(/-([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase())
}
