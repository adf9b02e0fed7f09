/** JSON for programs: one document or one object a line. */

import type { OutputWriter } from '../output.ts'

export type JsonValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue }

/** DEL and C1 controls and lone separators, which JSON allows raw and terminals act on. */
const UNSAFE_IN_JSON = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

function encodeText(text: string): string {
  const json = JSON.stringify(text)
  return json.replace(
    UNSAFE_IN_JSON,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * As JSON.stringify, but a bigint is written as the number it is, and nothing that comes out can
 * steer a terminal. Fields that are undefined are left out.
 */
export function encodeJson(value: JsonValue): string {
  switch (typeof value) {
    case 'string':
      return encodeText(value)
    case 'number':
      return Number.isFinite(value) ? String(value) : 'null'
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'undefined':
      return 'null'
    default:
  }
  if (value === null) return 'null'
  if (isList(value)) return `[${value.map(encodeJson).join(',')}]`
  let fields = ''
  for (const name in value) {
    const field = value[name]
    if (field === undefined) continue
    fields += `${fields === '' ? '' : ','}${encodeText(name)}:${encodeJson(field)}`
  }
  return `{${fields}}`
}

function isList(value: JsonValue & object): value is readonly JsonValue[] {
  return Array.isArray(value)
}

export function writeJsonLine(writer: OutputWriter, value: JsonValue): void {
  writer.write(`${encodeJson(value)}\n`)
}

/** For stderr: something went wrong and the work goes on. */
export function errorJson(message: string, during: string, item: string): JsonValue {
  return { message_type: 'error', error: { message }, during, item }
}

/** The last line on stderr of a run that failed. */
export function exitErrorJson(code: number, message: string): JsonValue {
  return { message_type: 'exit_error', code, message }
}

/** A list as restic has one that may be empty: null if it is. */
export function listOrNull<T extends JsonValue>(
  values: readonly T[] | undefined,
): readonly T[] | null {
  return values === undefined || values.length === 0 ? null : values
}

/** Leaves out what is 0 or empty, as Go's `omitempty` does. */
export function omitEmpty<T extends Readonly<Record<string, JsonValue>>>(fields: T): JsonValue {
  const kept: Record<string, JsonValue> = {}
  for (const [name, value] of Object.entries(fields)) {
    const isEmpty = value === 0 || value === 0n || value === '' || value === false || value === null
    if (isEmpty || (Array.isArray(value) && value.length === 0)) continue
    kept[name] = value
  }
  return kept
}
