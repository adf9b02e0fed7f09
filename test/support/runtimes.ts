/** The lines of Node.js that cairn promises to run on, as far as they are here. */

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Runtime {
  readonly name: string
  /** The program; undefined where it is not installed. */
  readonly path: string | undefined
}

function installed(name: string): Runtime {
  const path = fileURLToPath(new URL(`../nodes/node_modules/${name}/bin/node`, import.meta.url))
  return { name, path: existsSync(path) ? path : undefined }
}

export const RUNTIMES: readonly Runtime[] = [
  { name: `node ${process.versions.node}`, path: process.execPath },
  installed('node-22'),
  installed('node-24'),
]
