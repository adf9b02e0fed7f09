/** The commands there are. Their modules are loaded when they are called, and not before. */

import type { Arguments, CommandAction, CommandDefinition } from './command.ts'
import type { OptionTable } from './option.ts'

export interface RegisteredCommand {
  readonly name: string
  /** One line for `cairn help`. */
  readonly summary: string
  /** Not for people: neither in help nor in suggestions. */
  readonly isHidden: boolean
  load(): Promise<LoadedCommand>
  /** Without the code. */
  loadDefinition(): Promise<LoadedCommand['definition']>
}

export interface LoadedCommand {
  readonly definition: CommandDefinition<OptionTable>
  readonly run: CommandAction<Arguments<OptionTable>>
}

/** Holds options and code of a command together: the code takes what the options give. */
function command<Table extends OptionTable>(
  name: string,
  summary: string,
  definition: () => Promise<CommandDefinition<Table>>,
  code: () => Promise<{ readonly default: CommandAction<Arguments<Table>> }>,
  isHidden = false,
): RegisteredCommand {
  return {
    name,
    summary,
    isHidden,
    loadDefinition: async () => (await definition()) as unknown as LoadedCommand['definition'],
    load: async () => {
      const [loadedDefinition, module] = await Promise.all([definition(), code()])
      // Sound because whoever parses with `definition` calls `run` with what it got.
      return { definition: loadedDefinition, run: module.default } as unknown as LoadedCommand
    },
  }
}

export const COMMANDS: readonly RegisteredCommand[] = [
  command(
    'accept',
    'acknowledge what the storage has lost',
    async () => (await import('./options/accept.ts')).ACCEPT,
    () => import('./commands/accept.ts'),
  ),
  command(
    'backup',
    'make a snapshot of files and directories',
    async () => (await import('./options/backup.ts')).BACKUP,
    () => import('./commands/backup.ts'),
  ),
  command(
    'benchmark',
    'measure how fast this machine is',
    async () => (await import('./options/benchmark.ts')).BENCHMARK,
    () => import('./commands/benchmark.ts'),
  ),
  command(
    'cache',
    'list caches, or remove old ones',
    async () => (await import('./options/cache.ts')).CACHE,
    () => import('./commands/cache.ts'),
  ),
  command(
    'cat',
    'print an object of the repository',
    async () => (await import('./options/cat.ts')).CAT,
    () => import('./commands/cat.ts'),
  ),
  command(
    'check',
    'check that all that snapshots need is there',
    async () => (await import('./options/check.ts')).CHECK,
    () => import('./commands/check.ts'),
  ),
  command(
    '__complete',
    'answer a shell',
    async () => (await import('./options/complete.ts')).COMPLETE,
    () => import('./commands/complete.ts'),
    true,
  ),
  command(
    'completion',
    'print what a shell needs to complete command lines',
    async () => (await import('./options/completion.ts')).COMPLETION,
    () => import('./commands/completion.ts'),
  ),
  command(
    'copy',
    'copy snapshots from another repository',
    async () => (await import('./options/copy.ts')).COPY,
    () => import('./commands/copy.ts'),
  ),
  command(
    'diff',
    'show what differs between two snapshots',
    async () => (await import('./options/diff.ts')).DIFF,
    () => import('./commands/diff.ts'),
  ),
  command(
    'doctor',
    'say what this machine offers',
    async () => (await import('./options/doctor.ts')).DOCTOR,
    () => import('./commands/doctor.ts'),
  ),
  command(
    'dump',
    'print a file of a snapshot, or a directory as an archive',
    async () => (await import('./options/dump.ts')).DUMP,
    () => import('./commands/dump.ts'),
  ),
  command(
    'find',
    'find files in snapshots',
    async () => (await import('./options/find.ts')).FIND,
    () => import('./commands/find.ts'),
  ),
  command(
    'forget',
    'forget snapshots, by a policy or by name',
    async () => (await import('./options/forget.ts')).FORGET,
    () => import('./commands/forget.ts'),
  ),
  command(
    'head',
    'print a short digest of all that is there',
    async () => (await import('./options/head.ts')).HEAD,
    () => import('./commands/head.ts'),
  ),
  command(
    'init',
    'create a repository',
    async () => (await import('./options/init.ts')).INIT,
    () => import('./commands/init.ts'),
  ),
  command(
    'key add',
    'make another key for the repository',
    async () => (await import('./options/key.ts')).KEY_ADD,
    async () => ({ default: (await import('./commands/key.ts')).keyAdd }),
  ),
  command(
    'key export',
    'print a recovery sheet',
    async () => (await import('./options/key.ts')).KEY_EXPORT,
    async () => ({ default: (await import('./commands/key.ts')).keyExport }),
  ),
  command(
    'key list',
    'list the keys of the repository',
    async () => (await import('./options/key.ts')).KEY_LIST,
    async () => ({ default: (await import('./commands/key.ts')).keyList }),
  ),
  command(
    'key passwd',
    'change the password of the key in use',
    async () => (await import('./options/key.ts')).KEY_PASSWD,
    async () => ({ default: (await import('./commands/key.ts')).keyPasswd }),
  ),
  command(
    'key remove',
    'remove a key',
    async () => (await import('./options/key.ts')).KEY_REMOVE,
    async () => ({ default: (await import('./commands/key.ts')).keyRemove }),
  ),
  command(
    'list',
    'list the ids of objects',
    async () => (await import('./options/list.ts')).LIST,
    () => import('./commands/list.ts'),
  ),
  command(
    'ls',
    'list the files of a snapshot',
    async () => (await import('./options/ls.ts')).LS,
    () => import('./commands/ls.ts'),
  ),
  command(
    'mount',
    'show the repository as a file system',
    async () => (await import('./options/mount.ts')).MOUNT,
    () => import('./commands/mount.ts'),
  ),
  command(
    'prune',
    'remove data that no snapshot needs',
    async () => (await import('./options/prune.ts')).PRUNE,
    () => import('./commands/prune.ts'),
  ),
  command(
    'recover',
    'make a snapshot of trees that no snapshot refers to',
    async () => (await import('./options/recover.ts')).RECOVER,
    () => import('./commands/recover.ts'),
  ),
  command(
    'repair index',
    'make the index say what packs are there',
    async () => (await import('./options/repair-index.ts')).REPAIR_INDEX,
    () => import('./commands/repair-index.ts'),
  ),
  command(
    'repair packs',
    'save what can be read of damaged packs',
    async () => (await import('./options/repair-packs.ts')).REPAIR_PACKS,
    () => import('./commands/repair-packs.ts'),
  ),
  command(
    'repair snapshots',
    'put restorable snapshots in the place of damaged ones',
    async () => (await import('./options/repair-snapshots.ts')).REPAIR_SNAPSHOTS,
    () => import('./commands/repair-snapshots.ts'),
  ),
  command(
    'restore',
    'write files of a snapshot to a directory',
    async () => (await import('./options/restore.ts')).RESTORE,
    () => import('./commands/restore.ts'),
  ),
  command(
    'rewrite',
    'make snapshots without some files, or with another host or time',
    async () => (await import('./options/rewrite.ts')).REWRITE,
    () => import('./commands/rewrite.ts'),
  ),
  command(
    'serve webdav',
    'serve the repository by WebDAV',
    async () => (await import('./options/serve-webdav.ts')).SERVE_WEBDAV,
    () => import('./commands/serve-webdav.ts'),
  ),
  command(
    'snapshots',
    'list snapshots',
    async () => (await import('./options/snapshots.ts')).SNAPSHOTS,
    () => import('./commands/snapshots.ts'),
  ),
  command(
    'stats',
    'count what snapshots hold',
    async () => (await import('./options/stats.ts')).STATS,
    () => import('./commands/stats.ts'),
  ),
  command(
    'tag',
    'change the tags of snapshots',
    async () => (await import('./options/tag.ts')).TAG,
    () => import('./commands/tag.ts'),
  ),
  command(
    'undelete',
    'bring back forgotten snapshots',
    async () => (await import('./options/undelete.ts')).UNDELETE,
    () => import('./commands/undelete.ts'),
  ),
  command(
    'unlock',
    'remove what killed runs have left',
    async () => (await import('./options/unlock.ts')).UNLOCK,
    () => import('./commands/unlock.ts'),
  ),
  command(
    'version',
    'print the version',
    async () => (await import('./options/version.ts')).VERSION,
    () => import('./commands/version.ts'),
  ),
]
