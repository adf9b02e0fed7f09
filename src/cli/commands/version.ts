/** `cairn version` */

import { createRequire } from 'node:module'
import type { CommandContext } from '../command.ts'
import type { VersionArguments } from '../options/version.ts'
import { writeJsonLine } from '../render/json-lines.ts'

/** From package.json, by the package's own name: modules are bundled, and lie anywhere in it. */
export function programVersion(): string {
  const load = createRequire(import.meta.url)
  return (load('cairn/package.json') as { readonly version: string }).version
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
