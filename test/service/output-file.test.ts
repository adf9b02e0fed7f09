/** Files that a command writes its output to. */

import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openOutputFile } from '../../src/service/output-file.ts'

function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'cairn-output-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('a file appears under its name when it is whole, and not if it is discarded', async () => {
  const directory = scratch()
  const path = join(directory, 'out')
  const file = await openOutputFile(path)
  await file.write(Buffer.from('one '))
  await file.write(Buffer.from('two'))
  expect(existsSync(path)).toBe(false)
  await file.commit()
  expect(readFileSync(path, 'utf8')).toBe('one two')
  const other = await openOutputFile(path)
  await other.write(Buffer.from('half'))
  await other.discard()
  expect(readFileSync(path, 'utf8')).toBe('one two')
  expect(readdirSync(directory)).toEqual(['out'])
})

test('a file behind a link is replaced, with its mode, and the link stays', async () => {
  const directory = scratch()
  const path = join(directory, 'real')
  writeFileSync(path, 'old')
  chmodSync(path, 0o600)
  symlinkSync('real', join(directory, 'link'))
  const file = await openOutputFile(join(directory, 'link'))
  await file.write(Buffer.from('new'))
  await file.commit()
  expect(lstatSync(join(directory, 'link')).isSymbolicLink()).toBe(true)
  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(statSync(path).mode & 0o777).toBe(0o600)
})

test('a pipe is written as it comes', async () => {
  const path = join(scratch(), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = spawn('cat', [path])
  let text = ''
  reader.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString()
  })
  const closed = new Promise((resolve) => reader.on('close', resolve))
  const file = await openOutputFile(path)
  await file.write(Buffer.from('through'))
  await file.commit()
  await closed
  expect(text).toBe('through')
})

test('a directory, and a directory that is not there, are refused by name', async () => {
  const directory = scratch()
  await expect(openOutputFile(directory)).rejects.toThrow('it is a directory')
  await expect(openOutputFile(join(directory, 'no/file'))).rejects.toMatchObject({
    code: 'CAIRN_FAILED',
  })
})
