/** cairn as it is installed: packed, unpacked elsewhere, with the packages it depends on linked to it. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface PackedPackage {
  /** A directory in whose `node_modules` the package is. */
  readonly project: string
  /** What `npm pack` made. */
  readonly tarball: string
  /** Where the package itself is. */
  readonly path: string
  /** What is in it, relative to it. */
  readonly files: readonly string[]
}

/** To be called within a test. */
export function packedPackage(): PackedPackage {
  const project = mkdtempSync(join(tmpdir(), 'cairn-packed-'))
  onTestFinished(() => rmSync(project, { recursive: true, force: true }))
  // Without scripts: what was built for the tests is packed, and nothing is built here.
  const args = ['pack', '--ignore-scripts', '--offline', '--json', '--pack-destination', project]
  const output = execFileSync('npm', args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [{ filename, files }] = JSON.parse(output) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ]
  const modules = join(project, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (!name.startsWith('.')) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  }
  const path = join(modules, 'cairn')
  mkdirSync(path)
  const tarball = join(project, filename)
  execFileSync('tar', ['-xzf', tarball, '-C', path, '--strip-components=1'])
  return { project, tarball, path, files: files.map((file) => file.path) }
}
