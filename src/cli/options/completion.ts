import { type Arguments, defineCommand } from '../command.ts'
import { usage } from '../option.ts'
import { type Shell, SHELLS } from '../render/completion-scripts.ts'

export type CompletionArguments = Arguments<typeof COMPLETION.options>

/** The shell, which `validate` has checked. */
export function shellOf({ operands }: { readonly operands: readonly string[] }): Shell {
  const shell = SHELLS.find((one) => one === operands[0])
  if (shell !== undefined) return shell
  throw usage(
    `there is no completion for '${operands[0] ?? ''}': write one of ${SHELLS.join(', ')}`,
  )
}

export const COMPLETION = defineCommand({
  name: 'completion',
  operands: 'bash|zsh|fish',
  operandChoices: SHELLS,
  operandsMin: 1,
  operandsMax: 1,
  description:
    'Prints what the shell needs to complete command lines: commands, options, their values, files ' +
    'and ids of snapshots. For the latter the repository is opened, unless that takes a prompt or ' +
    'a password command.',
  examples: [
    { command: 'source <(cairn completion bash)', meaning: 'in ~/.bashrc' },
    { command: 'source <(cairn completion zsh)', meaning: 'in ~/.zshrc, behind compinit' },
    {
      command: 'cairn completion fish > ~/.config/fish/completions/cairn.fish',
      meaning: 'once',
    },
  ],
  options: {},
  onlyShows: true,
  validate(args) {
    shellOf(args)
  },
})
