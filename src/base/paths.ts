/** Paths as text: with a character for each byte, or as the system has them. */

/** The names on a path, without those that two slashes leave empty. */
export function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

/** Whether `path` is `root` or below it; both absolute. */
export function isWithin(path: string, root: string): boolean {
  if (root === '/' || path === root) return true
  return path.startsWith(root.endsWith('/') ? root : `${root}/`)
}
