/**
 * `npm run mutants [-- --jobs N] [-- name …]`: puts each known mistake of mutants.mjs into a copy of the
 * tree, where the simulation, or the test that is named with it, has to find it. As many at once as there
 * are processors, unless told otherwise. Prints the seed or test that did, and how long it took. A mutant
 * that lives is a hole: exit code 1. CAIRN_MUTANT_RUNS is how many runs the simulation may take for each.
 */

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { MUTANTS } from './mutants.mjs'

const RUNS_MAX = process.env.CAIRN_MUTANT_RUNS ?? '600'
const root = new URL('../..', import.meta.url).pathname

/** Resolves with what the program said when it has ended. */
function run(command, args, cwd) {
  const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' }
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const told = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => {
      told[stream] += text
    })
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (status) => resolve({ status, ...told }))
  })
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
async function simulate(copy, profiles) {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const built = await run(tsc, ['-p', 'test/simulation/tsconfig.json'], copy)
  // A mistake may leave something unused, which the compiler tells and builds all the same.
  const errors = built.stdout.split('\n').filter((line) => /error TS(?!6133)/.test(line))
  if (errors.length > 0) throw new Error(`it does not build: ${errors[0]}`)
  const program = 'dist/simulation-build/test/simulation/simulate.js'
  const options = ['--profile', profiles.join(), '--seed', '1', '--runs', RUNS_MAX, '--no-shrink']
  const found = await run(process.execPath, [program, ...options], copy)
  const [, seed, violation] = /^VIOLATION: .* -- (.*)\n\s*(.*)/m.exec(found.stdout) ?? []
  if (seed !== undefined) return `${seed}: ${violation}`
  const [, steered, broken] = /^VIOLATION of a steered run: (.*)\n\s*(.*)/m.exec(found.stdout) ?? []
  if (steered !== undefined) return `a steered run of seed ${JSON.parse(steered).seed}: ${broken}`
  // A program that breaks down altogether is found out as well.
  return found.status === 0 ? undefined : `it breaks down: ${found.stderr.slice(0, 200)}`
}

/** How tests have found it, or undefined. */
async function test(copy, { file, name }) {
  const only = name === undefined ? [] : ['-t', name]
  const args = ['run', file, ...only, '--bail=1', '--testTimeout=600000']
  const found = await run(join(root, 'node_modules/.bin/vitest'), args, copy)
  if (found.status === 0) return undefined
  const [, title, error] = /FAIL\s+(.*)\n(.*)/.exec(`${found.stdout}${found.stderr}`) ?? []
  if (title === undefined) throw new Error(`its tests do not run: ${found.stderr.slice(0, 500)}`)
  return `${title}: ${error}`
}

const COPIED = [
  'src',
  'test',
  'FORMAT.md',
  'package.json',
  'tsconfig.json',
  'rolldown.config.ts',
  'vitest.config.ts',
]

async function hunt(mutant) {
  const copy = mkdtempSync(join(tmpdir(), 'cairn-mutant-'))
  try {
    for (const name of COPIED) cpSync(join(root, name), join(copy, name), { recursive: true })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    const { profiles, tests } = mutant
    // A test that fails in any copy has found nothing.
    const before = tests === undefined ? undefined : await test(copy, tests)
    if (before !== undefined) throw new Error(`its tests fail without it as well: ${before}`)
    spoil(copy, mutant)
    return await (tests === undefined ? simulate(copy, profiles) : test(copy, tests))
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

async function report(mutant) {
  const begin = performance.now()
  const tell = (verdict, how) => {
    const seconds = ((performance.now() - begin) / 1000).toFixed(0)
    console.log(`${verdict}  ${mutant.name}  ${seconds} s${how === undefined ? '' : `  ${how}`}`)
    return verdict === 'killed'
  }
  try {
    const death = await hunt(mutant)
    return death === undefined ? tell('LIVES ') : tell('killed', death)
  } catch (error) {
    return tell('BROKEN', error.message)
  }
}

const { values, positionals: chosen } = parseArgs({
  options: { jobs: { type: 'string', default: String(availableParallelism()) } },
  allowPositionals: true,
})
const unknown = chosen.filter((name) => !MUTANTS.some((mutant) => mutant.name === name))
if (unknown.length > 0) throw new Error(`there is no mutant ${unknown.join(', ')}`)
const mutants = MUTANTS.filter(({ name }) => chosen.length === 0 || chosen.includes(name))
const waiting = [...mutants]
let killed = 0
async function work() {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (await report(next)) killed++
  }
}
await Promise.all(Array.from({ length: Math.max(1, Number(values.jobs)) }, work))
console.log(`${killed} of ${mutants.length} mutants killed`)
process.exitCode = killed === mutants.length ? 0 : 1
