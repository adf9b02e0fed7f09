/** Which snapshots `--host`, `--path` and `--tag` let through. */

/** An empty list lets everything through. */
export interface SnapshotFilter {
  /** One of them must be the snapshot's host. */
  readonly hosts: readonly string[]
  /** The snapshot must have all of them, spelled as it has them. */
  readonly paths: readonly string[]
  /** One of the lists must be wholly among the snapshot's tags; `''` stands for having none. */
  readonly tags: readonly (readonly string[])[]
}

export interface FilterableSnapshot {
  readonly hostname: string
  readonly paths: readonly string[]
  readonly tags: readonly string[]
}

function hasTags(snapshot: FilterableSnapshot, wanted: readonly string[]): boolean {
  return wanted.every((tag) =>
    tag === '' ? snapshot.tags.length === 0 : snapshot.tags.includes(tag),
  )
}

export function matchesFilter(snapshot: FilterableSnapshot, filter: SnapshotFilter): boolean {
  return (
    (filter.hosts.length === 0 || filter.hosts.includes(snapshot.hostname)) &&
    filter.paths.every((path) => snapshot.paths.includes(path)) &&
    (filter.tags.length === 0 || filter.tags.some((tags) => hasTags(snapshot, tags)))
  )
}

/** For messages: `host 'a', tag 'x,y'`; empty if everything is let through. */
export function describeFilter(filter: SnapshotFilter): string {
  return [
    ...filter.hosts.map((host) => `host '${host}'`),
    ...filter.paths.map((path) => `path '${path}'`),
    ...filter.tags.map((tags) => `tag '${tags.join(',')}'`),
  ].join(', ')
}
