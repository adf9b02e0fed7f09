import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { canMount, hasProgram, MOUNT_NEEDS } from '../support/mount.ts'

const project = resolve(import.meta.dirname, '../..')

test.skipIf(!canMount)(
  `npm run bench:mount -- --tiny measures every row (needs ${MOUNT_NEEDS})`,
  () => {
    const scratch = mkdtempSync(join(tmpdir(), 'cairn-bench-mount-test-'))
    onTestFinished(() => rmSync(scratch, { recursive: true, force: true }))
    // Into the place of the real one: the program is found from there.
    const build = join(project, 'dist/bench-build')
    const compiler = join(project, 'node_modules/.bin/tsc')
    const compiled = spawnSync(compiler, ['-p', join(project, 'bench/tsconfig.json'), '--noCheck'])
    expect(compiled.status).toBe(0)
    const json = join(scratch, 'samples.json')
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(build, 'bench/mount.js'), '--tiny', '--work', scratch, '--json', json],
      { encoding: 'utf8', timeout: 100_000 },
    )
    expect(stderr).toBe('')
    expect(status).toBe(0)
    const samples = JSON.parse(readFileSync(json, 'utf8')) as { tool: string; seconds: number }[]
    const tools = hasProgram('restic', 'version') ? ['cairn', 'restic'] : ['cairn']
    for (const tool of tools) expect(samples.filter((one) => one.tool === tool)).toHaveLength(6)
    for (const { seconds } of samples) expect(seconds).toBeGreaterThan(0)
    expect(stdout).toContain('| large file in order, first time |')
  },
)
