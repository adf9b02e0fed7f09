/**
 * `npm run mutants [-- name …]`: puts each known mistake of mutants.mjs into a copy of the tree, where
 * the simulation, or the test that is named with it, has to find it. Prints the seed or test that did. A
 * mutant that lives is a hole: exit code 1.
 */

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { MUTANTS } from './mutants.mjs'

const RUNS_MAX = process.env.CAIRN_MUTANT_RUNS ?? '600'
const root = new URL('../..', import.meta.url).pathname

function run(command, args, cwd) {
  const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' }
  return spawnSync(command, args, { cwd, env, encoding: 'utf8', maxBuffer: 1 << 28 })
}

function spoil(copy, { edits }) {
  for (const { file, find, replace } of edits) {
    const path = join(copy, file)
    const text = readFileSync(path, 'utf8')
    if (text.split(find).length !== 2) throw new Error(`${file} has not exactly one of: ${find}`)
    writeFileSync(
      path,
      text.replace(find, () => replace),
    )
  }
}

/** How the simulation has found it, or undefined. */
function simulate(copy, profiles) {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const built = run(tsc, ['-p', 'test/simulation/tsconfig.json'], copy)
  // A mistake may leave something unused, which the compiler tells and builds all the same.
  const errors = built.stdout.split('\n').filter((line) => /error TS(?!6133)/.test(line))
  if (errors.length > 0) throw new Error(`it does not build: ${errors[0]}`)
  const program = 'dist/simulation-build/test/simulation/simulate.js'
  const options = ['--profile', profiles.join(), '--seed', '1', '--runs', RUNS_MAX, '--no-shrink']
  const found = run(process.execPath, [program, ...options], copy)
  const [, seed, violation] = /^VIOLATION: .* -- (.*)\n\s*(.*)/m.exec(found.stdout) ?? []
  if (seed !== undefined) return `${seed}: ${violation}`
  // A program that breaks down altogether is found out as well.
  return found.status === 0 ? undefined : `it breaks down: ${found.stderr.slice(0, 200)}`
}

/** How tests have found it, or undefined. */
function test(copy, { file, name }) {
  const only = name === undefined ? [] : ['-t', name]
  const args = ['run', file, ...only, '--bail=1', '--testTimeout=600000']
  const found = run(join(root, 'node_modules/.bin/vitest'), args, copy)
  if (found.status === 0) return undefined
  const [, title, error] = /FAIL\s+(.*)\n(.*)/.exec(`${found.stdout}${found.stderr}`) ?? []
  if (title === undefined) throw new Error(`its tests do not run: ${found.stderr.slice(0, 500)}`)
  return `${title}: ${error}`
}

function hunt(mutant) {
  const copy = mkdtempSync(join(tmpdir(), 'cairn-mutant-'))
  try {
    for (const name of ['src', 'test', 'tsconfig.json', 'package.json', 'vitest.config.ts']) {
      cpSync(join(root, name), join(copy, name), { recursive: true })
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    spoil(copy, mutant)
    const { profiles, tests } = mutant
    return tests === undefined ? simulate(copy, profiles) : test(copy, tests)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

const chosen = process.argv.slice(2)
const mutants = MUTANTS.filter(({ name }) => chosen.length === 0 || chosen.includes(name))
let lives = 0
for (const mutant of mutants) {
  try {
    const death = hunt(mutant)
    if (death === undefined) lives++
    const what = death === undefined ? 'LIVES ' : 'killed'
    console.log(`${what}  ${mutant.name}${death === undefined ? '' : `  ${death}`}`)
  } catch (error) {
    lives++
    console.log(`BROKEN  ${mutant.name}  ${error.message}`)
  }
}
console.log(`${mutants.length - lives} of ${mutants.length} mutants killed`)
process.exitCode = lives === 0 ? 0 : 1
