/** What an entry of a directory is, in the words that people are shown. */

import type { NodeType } from '../base/units.ts'
import { ENTRY_TYPE, type EntryTypeNumber } from '../format/tree.ts'

const TYPE_NAMES: Readonly<Record<EntryTypeNumber, NodeType>> = {
  [ENTRY_TYPE.file]: 'file',
  [ENTRY_TYPE.directory]: 'dir',
  [ENTRY_TYPE.symlink]: 'symlink',
  [ENTRY_TYPE.fifo]: 'fifo',
  [ENTRY_TYPE.socket]: 'socket',
  [ENTRY_TYPE.chardevice]: 'chardev',
  [ENTRY_TYPE.blockdevice]: 'dev',
}

/** Undefined for a type that a newer program wrote. */
export function typeName(type: number): NodeType | undefined {
  return type in TYPE_NAMES ? TYPE_NAMES[type as EntryTypeNumber] : undefined
}
