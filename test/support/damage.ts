/** Damages one stored file in a way that a disk, a person or an attacker might. */

import {
  appendFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

export const DAMAGES = ['flip', 'truncate', 'extend', 'zero', 'delete', 'swap'] as const
export type Damage = (typeof DAMAGES)[number]

/** Every stored file of a repository that has a meaning, relative to it, sorted. */
export function storedFiles(repository: string): string[] {
  return readdirSync(repository, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\/[0-9a-f]{64}$/.test(path))
    .sort()
}

/** Does it, and says what was done. */
export function damageFile(repository: string, damage: Damage, random: () => number): string {
  const files = storedFiles(repository)
  // Every kind as likely as any other, or nearly all damage would be to packs.
  const kinds = [...new Set(files.map((path) => path.split('/')[0] ?? ''))]
  const kind = kinds[Math.floor(random() * kinds.length)]
  const ofKind = files.filter((path) => path.startsWith(`${kind}/`))
  const path = ofKind[Math.floor(random() * ofKind.length)] ?? ''
  const full = join(repository, path)
  const { size } = statSync(full)
  if (damage === 'delete') rmSync(full)
  else if (damage === 'extend') appendFileSync(full, Buffer.alloc(1 + Math.floor(random() * 100)))
  else if (damage === 'truncate') {
    writeFileSync(full, readFileSync(full).subarray(0, Math.floor(random() * size)))
  } else if (damage === 'zero') writeFileSync(full, Buffer.alloc(size))
  else if (damage === 'flip') {
    const bytes = readFileSync(full)
    const at = Math.floor(random() * size)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8))
    writeFileSync(full, bytes)
  } else {
    const others = files.filter((other) => other !== path)
    const other = others[Math.floor(random() * others.length)] ?? path
    const aside = join(repository, 'tmp', 'aside')
    renameSync(full, aside)
    renameSync(join(repository, other), full)
    renameSync(aside, join(repository, other))
    return `swap ${path} with ${other}`
  }
  return `${damage} ${path}`
}
