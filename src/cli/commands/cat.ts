/** `cairn cat` */

import { openRepositoryAccess } from '../../service/access.ts'
import { type ObjectOutput, showObject } from '../../service/show-object.ts'
import type { CommandContext } from '../command.ts'
import { type CatArguments, catOperands } from '../options/cat.ts'
import { filterOf } from '../options.ts'
import { encodeJson, type JsonValue } from '../render/json-lines.ts'
import { snapshotJson } from '../render/snapshots-text.ts'

/** JSON with a line for each field, as restic prints it. `json` is what `encodeJson` gives. */
function indentJson(json: string): string {
  let text = ''
  let depth = 0
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|\{\}|\[\]|[{}[\],:]|[^{}[\],:"]+/g)) {
    if (token === '}' || token === ']') text += `\n${'  '.repeat(--depth)}`
    text += token === ':' ? ': ' : token
    if (token === '{' || token === '[') depth++
    if (token === '{' || token === '[' || token === ',') text += `\n${'  '.repeat(depth)}`
  }
  return text
}

function outputOf(context: CommandContext): ObjectOutput {
  const { stdout, json } = context
  const encode = (value: JsonValue) => (json ? encodeJson(value) : indentJson(encodeJson(value)))
  return {
    value: (value) => stdout.write(`${encode(value)}\n`),
    snapshot: (snapshot) => stdout.write(`${encode(snapshotJson(snapshot))}\n`),
    rows: async (name, rows) => {
      let gap = ''
      stdout.write(`{${encodeJson(name)}: [`)
      for await (const row of rows) {
        stdout.write(`${gap}\n${encode(row)}`)
        gap = ','
        await stdout.drain()
      }
      stdout.write('\n]}\n')
    },
    bytes: (bytes) => stdout.writeBytes(bytes),
  }
}

export default async function cat(args: CatArguments, context: CommandContext): Promise<number> {
  const { kind, id } = catOperands(args)
  const access = await openRepositoryAccess(args, context)
  try {
    await showObject(access, { kind, id, filter: filterOf(args), output: outputOf(context) })
  } finally {
    await access.close()
  }
  return 0
}
