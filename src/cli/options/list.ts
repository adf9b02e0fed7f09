import { type Arguments, defineCommand } from '../command.ts'
import { usage } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

const LISTED_KINDS = ['blobs', 'packs', 'index', 'snapshots', 'keys', 'locks', 'sessions'] as const
export type ListedKind = (typeof LISTED_KINDS)[number]

export type ListArguments = Arguments<typeof LIST.options>

/** The kind and the snapshots, which `validate` has checked. */
export function listOperands(args: ListArguments): {
  readonly kind: ListedKind
  readonly references: readonly string[]
} {
  const [kind, ...references] = args.operands
  const known = LISTED_KINDS.find((one) => one === kind)
  if (known === undefined) {
    throw usage(
      `'${kind ?? ''}' is nothing that 'list' lists: write one of ${LISTED_KINDS.join(', ')}`,
    )
  }
  if (references.length > 0 && known !== 'packs') {
    throw usage(`'cairn list ${known}' takes no snapshot: only packs are listed by snapshot`)
  }
  return { kind: known, references }
}

export const LIST = defineCommand({
  name: 'list',
  operands: 'KIND [SNAPSHOT...]',
  operandsMin: 1,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Lists the ids of objects. KIND is blobs, packs, index, snapshots, keys or sessions, which ' +
    'locks is another word for. Packs can be those that some snapshots need.',
  examples: [
    { command: 'cairn list snapshots', meaning: 'full ids, one a line' },
    { command: 'cairn list packs latest', meaning: 'the packs that a snapshot rests on' },
  ],
  options: { ...FILTER_OPTIONS },
  onlyShows: true,
  validate(args) {
    listOperands(args)
  },
})
