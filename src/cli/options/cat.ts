import { type Arguments, defineCommand } from '../command.ts'
import { usage } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

const CAT_KINDS = [
  'masterkey',
  'config',
  'pack',
  'blob',
  'snapshot',
  'index',
  'key',
  'lock',
  'tree',
] as const
export type CatKind = (typeof CAT_KINDS)[number]

export type CatArguments = Arguments<typeof CAT.options>

/** The kind and the id, which `validate` has checked. */
export function catOperands(args: CatArguments): { readonly kind: CatKind; readonly id: string } {
  const [kind, id = ''] = args.operands
  const known = CAT_KINDS.find((one) => one === kind)
  if (known === undefined) {
    throw usage(`'${kind ?? ''}' is nothing that 'cat' shows: write one of ${CAT_KINDS.join(', ')}`)
  }
  if (id === '' && known !== 'masterkey' && known !== 'config') {
    throw usage(`'cairn cat ${known}' needs an id`)
  }
  return { kind: known, id }
}

export const CAT = defineCommand({
  name: 'cat',
  operands: 'KIND [ID]',
  operandChoices: CAT_KINDS,
  operandsMin: 1,
  operandsMax: 2,
  description:
    'Prints one object of the repository. KIND is masterkey, config, pack, blob, snapshot, index, ' +
    'key, lock or tree; a tree is named SNAPSHOT:directory.',
  examples: [
    { command: 'cairn cat config', meaning: "the repository's settings" },
    { command: 'cairn cat snapshot latest', meaning: 'the newest snapshot' },
  ],
  options: { ...FILTER_OPTIONS },
  onlyShows: true,
  validate(args) {
    catOperands(args)
  },
})
