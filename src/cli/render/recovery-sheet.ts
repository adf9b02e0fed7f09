/** `key export`: what to keep of a repository, in a form that survives paper. */

import type { ExportedFile, ExportedKey } from '../../service/keys.ts'
import type { JsonValue } from './json-lines.ts'
import { printable } from './printable.ts'

const LINE_CHARACTERS = 64

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

/** The commands are those of any Unix: the sheet has to be of use without cairn. */
function fileLines({ kind, name, bytes }: ExportedFile): string[] {
  const text = base64(bytes)
  const lines: string[] = []
  for (let at = 0; at < text.length; at += LINE_CHARACTERS) {
    lines.push(text.slice(at, at + LINE_CHARACTERS))
  }
  return [`mkdir -p ${kind} && base64 -d > ${kind}/\\`, `${name} << END`, ...lines, 'END', '']
}

export function recoverySheet(exported: ExportedKey): string {
  const { repositoryId, location, key, role, secret, files } = exported
  return [
    'Recovery sheet of a cairn repository',
    '',
    `repository  ${repositoryId}`,
    `place       ${printable(location)}`,
    `key         ${key}`,
    `role        ${role}`,
    `opened by   its ${secret}, which is not on this sheet`,
    '',
    'Keep it apart from the repository. If the files of the folders config and',
    'keys are lost or damaged, run the commands below in the folder of the',
    'repository (elsewhere, and copy the two files there, if it is not a local',
    `folder), and open it with the ${secret}. A file typed in from paper is right`,
    'if sha256sum gives its name. Changing or removing keys makes the sheet old.',
    '',
    ...files.flatMap(fileLines),
  ].join('\n')
}

export function recoverySheetJson({ repositoryId, files, ...rest }: ExportedKey): JsonValue {
  return {
    message_type: 'recovery_sheet',
    repository_id: repositoryId,
    ...rest,
    files: files.map(({ kind, name, bytes }) => ({
      path: `${kind}/${name}`,
      base64: base64(bytes),
    })),
  }
}
