import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { isCairnError } from '../../src/base/errors.ts'
import {
  findLocation,
  localRepositoryPath,
  parseLocation,
  redactLocation,
} from '../../src/service/location.ts'

const folder = mkdtempSync(join(tmpdir(), 'cairn-location-'))
afterAll(() => rmSync(folder, { recursive: true }))

function usageMessage(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isCairnError(error, 'CAIRN_USAGE')) return error.message
    throw error
  }
  throw new Error('no usage error')
}

describe('parseLocation()', () => {
  test.each([
    ['/srv/backup', '/srv/backup'],
    ['backup', '/work/backup'],
    ['./a:b', '/work/a:b'],
    ['../x', '/x'],
    ['.', '/work'],
    ['local:a:b', '/work/a:b'],
    ['local:/x', '/x'],
    ['/a:b', '/a:b'],
  ])('reads %s as a path', (text, path) => {
    expect(parseLocation(text, '/work')).toEqual({ kind: 'local', path })
  })

  test.each([
    'sftp:user@host:/p',
    's3:https://h/b/p',
    'azure:c:/p',
    'gs:b:/p',
    'rest:http://h:8000/',
    'rclone:r:p',
    'b2:b:p',
    'swift:c:/p',
    'sftp://u@h:2222//p',
  ])('knows %s and cannot open it', (text) => {
    const location = parseLocation(text)
    expect(location.kind).toBe(text.slice(0, text.indexOf(':')))
    expect(usageMessage(() => localRepositoryPath(location))).toContain(
      'not supported by this version',
    )
  })

  test('refuses what it does not know', () => {
    expect(usageMessage(() => parseLocation('foo:bar'))).toContain("'local:'")
    usageMessage(() => parseLocation(''))
  })
})

test('redactLocation() hides passwords, well formed or not', () => {
  expect(redactLocation('rest:https://ann:s3cret@host:8000/p')).toBe(
    'rest:https://ann:***@host:8000/p',
  )
  for (const location of [
    'rest:https://ann:s3@cret@host/p',
    'rest:http://ann:s3/cret@host/p',
    'rest:https://:s3cret@h/',
    'foo://a:s3cret@h',
  ]) {
    expect(redactLocation(location)).not.toContain('cret')
  }
  for (const location of [
    '/a:b@c',
    'sftp:user@host:/p',
    'rest:https://host:8000/a@b/',
    's3:https://host/b',
    'sftp://u@h:2222//p',
  ]) {
    expect(redactLocation(location)).toBe(location)
  }
  expect(
    usageMessage(() => localRepositoryPath(parseLocation('rest:http://a:s3cret@h/'))),
  ).not.toContain('s3cret')
})

describe('findLocation()', () => {
  const none = { repo: undefined, repositoryFile: undefined, environment: {} }
  const file = join(folder, 'location')
  writeFileSync(file, '\ufeff /from/file \n')

  test('prefers flags to the environment', () => {
    const environment = { CAIRN_REPOSITORY: '/env', CAIRN_REPOSITORY_FILE: '/nowhere' }
    expect(findLocation({ ...none, repo: '/flag', environment })).toBe('/flag')
    expect(findLocation({ ...none, repositoryFile: file, environment })).toBe('/from/file')
    expect(findLocation({ ...none, environment: { CAIRN_REPOSITORY: '/env' } })).toBe('/env')
    expect(
      findLocation({ ...none, environment: { CAIRN_REPOSITORY: '', CAIRN_REPOSITORY_FILE: file } }),
    ).toBe('/from/file')
    expect(
      findLocation({
        ...none,
        environmentPrefix: 'CAIRN_FROM_',
        environment: { CAIRN_FROM_REPOSITORY: '/o' },
      }),
    ).toBe('/o')
  })

  test('refuses none, two, and an empty file', () => {
    expect(usageMessage(() => findLocation(none))).toContain('CAIRN_REPOSITORY')
    usageMessage(() => findLocation({ ...none, repo: '/a', repositoryFile: file }))
    usageMessage(() =>
      findLocation({
        ...none,
        environment: { CAIRN_REPOSITORY: '/a', CAIRN_REPOSITORY_FILE: file },
      }),
    )
    const empty = join(folder, 'empty')
    writeFileSync(empty, '\n')
    usageMessage(() => findLocation({ ...none, repositoryFile: empty }))
  })
})
