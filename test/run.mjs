/**
 * `npm test`: everything that must hold, in one command. Installs what tests need of the system
 * where it may (root on Debian), builds, checks format, lint and types, runs the tests, and ends
 * with the line `N passed, N failed, N skipped`. A failed check counts as a failed test.
 */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { catalogueReport, judge, readCatalogue } from './catalogue.mjs'

const root = new URL('..', import.meta.url).pathname
const bin = (name) => join(root, 'node_modules', '.bin', name)
const scratch = mkdtempSync(join(tmpdir(), 'cairn-test-'))
const report = join(scratch, 'report.json')

let passed = 0
let failed = 0
let skipped = 0

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error) console.error(`${command}: ${error.message}`)
  return status === 0
}

function check(title, command, args) {
  console.log(`\n== ${title}`)
  if (run(command, args)) passed++
  else {
    failed++
    console.log(`FAILED: ${title}`)
  }
}

function readReport() {
  try {
    return JSON.parse(readFileSync(report, 'utf8'))
  } catch (error) {
    console.error(`the tests left no report: ${error.message}`)
    return undefined
  }
}

/** The fault catalogue. Evidence that was not found counts as a failed test. */
function judgeFaults(files) {
  const catalogue = readCatalogue()
  const verdicts = judge(catalogue, files)
  // A reason that begins like this may also be what a fault's tests leave out.
  failed += verdicts.filter(
    ({ verdict, reason }) => verdict === 'failed' && reason.startsWith('no test '),
  ).length
  console.log(`\n${catalogueReport(catalogue, verdicts).join('\n')}`)
}

function countTests() {
  const result = readReport()
  if (result === undefined) {
    failed++
    return
  }
  passed += result.numPassedTests
  failed += result.numFailedTests
  skipped += result.numPendingTests + result.numTodoTests
  // A file that does not load has no tests to fail.
  if (result.numFailedTests === 0 && !result.success) failed++
  const names = result.testResults.flatMap((file) =>
    file.assertionResults
      .filter(({ status }) => status !== 'passed' && status !== 'failed')
      .map(({ fullName }) => fullName),
  )
  if (names.length > 0) console.log('\nskipped, each with its reason in the title or above:')
  for (const name of names) console.log(`  ${name}`)
  judgeFaults(result.testResults)
}

run('bash', [join(root, 'test', 'setup-system.sh')])
// Where the registry cannot be reached, what needs other lines of Node.js is skipped and named.
run('npm', [
  'ci',
  '--prefix',
  join(root, 'test', 'nodes'),
  '--ignore-scripts',
  '--no-audit',
  '--no-fund',
])
check('build', 'npm', ['run', 'build'])
check('types of tests and benchmarks', bin('tsc'), ['-p', 'test/tsconfig.json'])
check('format', bin('biome'), ['format'])
check('lint', bin('oxlint'), ['--type-aware'])
console.log('\n== tests')
run(bin('vitest'), ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`])
countTests()
rmSync(scratch, { recursive: true, force: true })
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = failed === 0 ? 0 : 1
