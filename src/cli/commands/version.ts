/** `cairn version` */

import { readFileSync } from 'node:fs'
import type { CommandContext } from '../command.ts'
import type { VersionArguments } from '../options/version.ts'
import { writeJsonLine } from '../render/json-lines.ts'

/** From package.json, which lies two folders above both src/cli and dist/cli. */
export function programVersion(): string {
  const file = new URL('../../../package.json', import.meta.url)
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }
  return version
}

export default async function version(
  _args: VersionArguments,
  { stdout, json }: CommandContext,
): Promise<number> {
  const fields = {
    message_type: 'version',
    version: programVersion(),
    node_version: process.versions.node,
    node_os: process.platform,
    node_arch: process.arch,
  }
  if (json) writeJsonLine(stdout, fields)
  else {
    const { version, node_version, node_os, node_arch } = fields
    stdout.write(`cairn ${version} on Node.js ${node_version}, ${node_os}/${node_arch}\n`)
  }
  return 0
}
