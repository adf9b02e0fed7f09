import { type Arguments, defineCommand } from '../command.ts'
import { flag } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'
import { BROWSE_OPTIONS, checkTimeTemplate } from './browse.ts'

export type MountArguments = Arguments<typeof MOUNT.options>

export const MOUNT = defineCommand({
  name: 'mount',
  operands: 'MOUNTPOINT',
  operandsMin: 1,
  operandsMax: 1,
  description:
    'Shows the repository read-only as a file system, until it is unmounted or stopped by Ctrl-C. ' +
    'at/TIME/ is the newest snapshot that had ended by a time, such as at/yesterday/ or ' +
    'at/2026-11-20T14:00/. versions/PATH/ holds every version of a file that differs. ' +
    'Templates are made of %i (short id), %I (id), %u (user), %h (host), %t (tag) and %T (time).',
  examples: [
    { command: 'cairn mount /mnt/backups', meaning: 'and look around in another terminal' },
    { command: 'ls -l /mnt/backups/versions/home/ann/letter.txt', meaning: 'all its versions' },
  ],
  options: {
    'allow-other': flag('let other users look in'),
    'no-default-permissions': flag('let everybody who may look in read everything'),
    'owner-root': flag('show everything as belonging to root'),
    ...BROWSE_OPTIONS,
    ...FILTER_OPTIONS,
  },
  validate: checkTimeTemplate,
})
