import { type Arguments, defineCommand } from '../command.ts'
import { integer } from '../option.ts'
import { FILTER_OPTIONS, FROM_OPTIONS } from '../options.ts'

export type CopyArguments = Arguments<typeof COPY.options>

export const COPY = defineCommand({
  name: 'copy',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Copies snapshots of another repository into this one: all of them, those that a filter lets ' +
    'through, or those named. What was copied before is skipped. Both repositories have keys of ' +
    'their own. Backups and copies share data only in a repository that was created with cairn init ' +
    '--from-repo ... --copy-chunker-params.',
  whenInterrupted: 'what was copied is kept; run it again for the rest',
  examples: [
    {
      command: 'cairn copy --from-repo /srv/backup -r /mnt/usb/backup',
      meaning: 'everything that is not there yet; asks for both passwords',
    },
    {
      command: 'cairn copy --from-repo /srv/backup --host laptop latest',
      meaning: 'the latest one of a host',
    },
  ],
  options: {
    ...FROM_OPTIONS,
    ...FILTER_OPTIONS,
    jobs: integer('use n workers instead of one for each core', 'n', { min: 1, max: 1024 }),
  },
})
