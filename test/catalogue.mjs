/**
 * The fault catalogue (test/catalogue.json) held against what the tests did: each fault has the tests
 * that prove it, or the reason why it is not run.
 */

import { readFileSync } from 'node:fs'

/** @returns {import('./catalogue.d.mts').Catalogue} */
export function readCatalogue() {
  return JSON.parse(readFileSync(new URL('catalogue.json', import.meta.url), 'utf8'))
}

/** `file: part of a title`, with the file below `test/`. */
export function parseEvidence(/** @type {string} */ text) {
  const at = text.indexOf(': ')
  return { file: text.slice(0, at), title: text.slice(at + 2) }
}

/** Whether a full title has this part; `%s` and the like stand for anything. */
export function hasTitle(/** @type {string} */ fullName, /** @type {string} */ part) {
  const pattern = part
    .split(/%[a-z]/)
    .map((literal) => literal.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&'))
    .join('.*')
  return new RegExp(pattern, 's').test(fullName)
}

/**
 * What became of every fault. Failed: one of its tests has failed, or evidence that it names was not
 * found. Passed: not failed, and some of its tests passed. Anything else was not run.
 * @param {import('./catalogue.d.mts').Catalogue} catalogue
 * @param {readonly import('./catalogue.d.mts').FileResult[]} files as vitest reports them
 * @returns {import('./catalogue.d.mts').Verdict[]}
 */
export function judge(catalogue, files) {
  const byFile = new Map(
    files.map(({ name, assertionResults }) => [
      name.slice(name.lastIndexOf('/test/') + '/test/'.length),
      assertionResults,
    ]),
  )
  return Object.entries(catalogue.faults).map(([id, fault]) => {
    const missing = []
    const statuses = new Set()
    for (const text of fault.tests ?? []) {
      const { file, title } = parseEvidence(text)
      const found = (byFile.get(file) ?? []).filter(({ fullName }) => hasTitle(fullName, title))
      if (found.length === 0) missing.push(text)
      for (const { status } of found) statuses.add(status)
    }
    if (missing.length > 0) return { id, verdict: 'failed', reason: `no test '${missing[0]}'` }
    if (statuses.has('failed')) return { id, verdict: 'failed', reason: 'a test failed' }
    if (statuses.has('passed')) return { id, verdict: 'passed', reason: fault.limits ?? '' }
    return { id, verdict: 'not run', reason: fault.notRun ?? 'its tests were skipped' }
  })
}

/**
 * A table by group, and everything that did not pass with its reason.
 * @param {import('./catalogue.d.mts').Catalogue} catalogue
 * @param {readonly import('./catalogue.d.mts').Verdict[]} verdicts
 */
export function catalogueReport(catalogue, verdicts) {
  const row = (/** @type {string} */ title, /** @type {typeof verdicts} */ some) => {
    const count = (/** @type {string} */ verdict) =>
      String(some.filter((one) => one.verdict === verdict).length).padStart(9)
    return `  ${title.padEnd(30)}${count('passed')}${count('failed')}${count('not run')}`
  }
  const lines = [`fault catalogue${'passed   failed  not run'.padStart(43)}`]
  for (const [group, title] of Object.entries(catalogue.groups)) {
    const some = verdicts.filter(({ id }) => id.replace(/\d+$/, '') === group)
    lines.push(row(`${group}  ${title}`, some))
  }
  lines.push(row('all', verdicts))
  for (const verdict of ['failed', 'not run']) {
    const some = verdicts.filter((one) => one.verdict === verdict)
    if (some.length > 0) lines.push(`${verdict}:`)
    for (const { id, reason } of some) lines.push(`  ${id.padEnd(5)}${reason}`)
  }
  return lines
}
