import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { byteStringOf } from '../../../src/base/bytes.ts'
import { type SourceNode, sourceRoots } from '../../../src/engine/backup/source-roots.ts'
import { MemoryBackend } from '../../../src/storage/memory/memory-backend.ts'
import { backUp, contentsOf, create, open } from '../../support/backup-harness.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'

const folder = temporaryFolder('cairn-source-roots-')

/** Which places of the snapshot are filled with the whole of what. */
function placesOf(paths: readonly string[], workingDirectory: string): Record<string, string> {
  const places: Record<string, string> = {}
  const visit = (node: SourceNode, place: string): void => {
    if (node.children === undefined) places[place === '' ? '/' : place] = node.path
    for (const [name, child] of node.children ?? []) visit(child, `${place}/${name}`)
  }
  visit(sourceRoots(paths, workingDirectory).root, '')
  return places
}

describe('where sources are in the snapshot', () => {
  test('an absolute one keeps its path, a relative one what it was given with', () => {
    expect(placesOf(['a/b', '/srv', './c/', 'a/d', 'a/b'], '/home')).toEqual({
      '/a/b': '/home/a/b',
      '/srv': '/srv',
      '/c': '/home/c',
      '/a/d': '/home/a/d',
    })
    expect(placesOf(['.'], '/home')).toEqual({ '/': '/home' })
    expect(placesOf(['.', 'a', 'b/c'], '/home')).toEqual({ '/': '/home' })
    expect(placesOf(['a/x', '/a/y'], '/home')).toEqual({ '/a/x': '/home/a/x', '/a/y': '/a/y' })
    expect(placesOf(['..', '../b'], '/home/a')).toEqual({ '/home': '/home' })
    expect(placesOf(['.', '/srv'], '/')).toEqual({ '/': '/' })
  })

  test('the working directory does not take the place of the sources beside it', () => {
    const both = { '/home': '/home', '/srv': '/srv' }
    expect(placesOf(['.', '/srv'], '/home')).toEqual(both)
    expect(placesOf(['/srv', '.'], '/home')).toEqual(both)
    expect(placesOf(['.', '/home/a'], '/home')).toEqual({ '/home': '/home' })
  })

  test('a relative source does not take the place of an absolute one of the same name', () => {
    const both = { '/home/etc': '/home/etc', '/etc': '/etc' }
    expect(placesOf(['etc', '/etc'], '/home')).toEqual(both)
    expect(placesOf(['/etc', 'etc'], '/home')).toEqual(both)
    const below = { '/home/etc': '/home/etc', '/etc/ssh': '/etc/ssh' }
    expect(placesOf(['etc', '/etc/ssh'], '/home')).toEqual(below)
    expect(placesOf(['/etc/ssh', 'etc'], '/home')).toEqual(below)
    expect(placesOf(['/etc', 'etc/ssh'], '/home')).toEqual({
      '/home/etc/ssh': '/home/etc/ssh',
      '/etc': '/etc',
    })
  })

  test('every source of several is in the snapshot, whichever places they have', async () => {
    const cwd = join(folder, 'here')
    const [top = ''] = folder.split('/').filter((part) => part !== '')
    mkdirSync(join(cwd, top), { recursive: true })
    mkdirSync(join(folder, 'there'))
    writeFileSync(join(cwd, top, 'relative'), 'r')
    writeFileSync(join(folder, 'there/absolute'), 'a')
    const backend = new MemoryBackend()
    await create(backend)
    for (const paths of [
      [top, join(folder, 'there')],
      ['.', join(folder, 'there')],
    ]) {
      const input = {
        kind: 'paths' as const,
        paths: paths.map(byteStringOf),
        workingDirectory: cwd,
      }
      await backUp(backend, '', { input })
      const repository = await open(backend)
      const snapshot = (await repository.history()).snapshots.at(-1)
      if (snapshot === undefined) throw new Error('there is no snapshot')
      const found = await contentsOf(repository, snapshot)
      expect([...found.keys()]).toContain(byteStringOf(join(folder, 'there/absolute')))
      expect([...found.keys()]).toContain(byteStringOf(join(cwd, top, 'relative')))
    }
  })
})
