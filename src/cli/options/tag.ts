import { type Arguments, defineCommand } from '../command.ts'
import { list, mapped, usage } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'

function tagList(describe: string) {
  return mapped(list(describe, 'tag[,tag...]'), (values) =>
    values.length === 0
      ? undefined
      : values
          .flatMap((value) => value.split(','))
          .map((tag) => tag.trim())
          .filter((tag) => tag !== ''),
  )
}

export type TagArguments = Arguments<typeof TAG.options>

export const TAG = defineCommand({
  name: 'tag',
  operands: '[SNAPSHOT...]',
  operandsMin: 0,
  operandsMax: Number.POSITIVE_INFINITY,
  description:
    'Changes the tags of the snapshots that are named, or that a filter lets through. Each that ' +
    'changes is written anew, under a new id, before the old one is forgotten.',
  examples: [
    { command: 'cairn tag --add keep latest', meaning: 'one more tag' },
    { command: "cairn tag --tag nightly --set ''", meaning: 'no tags, where there was this one' },
  ],
  options: {
    set: tagList("tags in place of those there are; '' for none (repeatable)"),
    add: tagList('tags to add (repeatable)'),
    remove: tagList('tags to remove (repeatable)'),
    ...FILTER_OPTIONS,
  },
  validate({ set, add, remove }) {
    if (set === undefined && add === undefined && remove === undefined) {
      throw usage('nothing to do: write --set, --add or --remove')
    }
    if (set !== undefined && (add !== undefined || remove !== undefined)) {
      throw usage('--set excludes --add and --remove')
    }
  },
})
