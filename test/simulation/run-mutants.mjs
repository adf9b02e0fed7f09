/**
 * `npm run mutants [-- name …]`: puts each known mistake of mutants/*.patch into a copy of the tree and
 * lets the simulation find it. Prints the seed that did. A mutant that lives is a hole in the
 * simulation: exit code 1.
 *
 * The head of a patch says what is wrong, and after `profiles:` where that can show.
 */

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'

const RUNS_MAX = process.env.CAIRN_MUTANT_RUNS ?? '400'
const root = new URL('../..', import.meta.url).pathname
const folder = join(root, 'test/simulation/mutants')

function run(command, args, cwd, input) {
  return spawnSync(command, args, { cwd, encoding: 'utf8', input, maxBuffer: 1 << 28 })
}

/** How the mutant died, or undefined if it lives. Throws if it cannot be made. */
function hunt(copy, patch) {
  const applied = run('patch', ['-p1', '--no-backup-if-mismatch'], copy, patch)
  if (applied.status !== 0) throw new Error(`it does not apply: ${applied.stdout}`)
  const built = run(
    join(root, 'node_modules/.bin/tsc'),
    ['-p', 'test/simulation/tsconfig.json'],
    copy,
  )
  // A mistake may leave something unused, which the compiler tells and builds all the same.
  const errors = built.stdout.split('\n').filter((line) => /error TS(?!6133)/.test(line))
  if (errors.length > 0) throw new Error(`it does not build: ${errors[0]}`)
  const profiles = /^profiles: (.*)$/m.exec(patch)?.[1] ?? ''
  const program = 'dist/simulation-build/test/simulation/simulate.js'
  const found = run(
    process.execPath,
    [program, '--profile', profiles, '--seed', '1', '--runs', RUNS_MAX, '--no-shrink'],
    copy,
  )
  const [, seed, violation] = /^VIOLATION: .* -- (.*)\n\s*(.*)/m.exec(found.stdout) ?? []
  if (seed !== undefined) return `${seed}: ${violation}`
  // A program that breaks down altogether is found out as well.
  return found.status === 0 ? undefined : `it breaks down: ${found.stderr.slice(0, 200)}`
}

function inCopy(patch) {
  const copy = mkdtempSync(join(tmpdir(), 'cairn-mutant-'))
  try {
    for (const name of ['src', 'test', 'tsconfig.json', 'package.json']) {
      cpSync(join(root, name), join(copy, name), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    return hunt(copy, patch)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

const chosen = process.argv.slice(2)
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.patch'))
  .map((name) => name.slice(0, -'.patch'.length))
  .filter((name) => chosen.length === 0 || chosen.includes(name))
let lives = 0
for (const name of names) {
  const patch = readFileSync(join(folder, `${name}.patch`), 'utf8')
  try {
    const death = inCopy(patch)
    if (death === undefined) lives++
    console.log(`${death === undefined ? 'LIVES ' : 'killed'}  ${name}${death ? `  ${death}` : ''}`)
  } catch (error) {
    lives++
    console.log(`BROKEN  ${name}  ${error.message}`)
  }
}
console.log(`${names.length - lives} of ${names.length} mutants killed`)
process.exitCode = lives === 0 ? 0 : 1
