/** `cairn completion` */

import type { CommandContext } from '../command.ts'
import { type CompletionArguments, shellOf } from '../options/completion.ts'
import { COMPLETION_SCRIPTS } from '../render/completion-scripts.ts'

export default async function completion(
  args: CompletionArguments,
  { stdout }: CommandContext,
): Promise<number> {
  stdout.write(COMPLETION_SCRIPTS[shellOf(args)])
  return 0
}
