import { type Arguments, defineCommand } from '../command.ts'
import { choice, flag, nonEmpty, text, usage } from '../option.ts'

/** The secret of the new slot, and who it is for. */
const NEW_KEY_OPTIONS = {
  'new-password-file': nonEmpty('file to read the new password from', 'file'),
  'new-key-file': nonEmpty('file with the new raw key: 32 bytes or 64 hex digits', 'file'),
  'new-insecure-no-password': flag('set the empty password, which protects nothing'),
  user: text('user name of the new key (default: yours)', 'name'),
  host: text('host name of the new key (default: this one)', 'name'),
} as const

function checkNewSecret(args: {
  readonly newPasswordFile: string | undefined
  readonly newKeyFile: string | undefined
  readonly newInsecureNoPassword: boolean
}): void {
  const given = [
    ...(args.newPasswordFile === undefined ? [] : ['--new-password-file']),
    ...(args.newKeyFile === undefined ? [] : ['--new-key-file']),
    ...(args.newInsecureNoPassword ? ['--new-insecure-no-password'] : []),
  ]
  if (given.length > 1) throw usage(`${given.join(' and ')} exclude each other`)
}

export type KeyAddArguments = Arguments<typeof KEY_ADD.options>
export const KEY_ADD = defineCommand({
  name: 'key add',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Makes another key for the repository: a password, or a key file for clients that run ' +
    'unattended. A writer makes backups and can read none, its own included; a reader restores, ' +
    'checks and makes backups, and takes nothing away; an admin does everything. Adding, changing ' +
    'and removing keys takes an admin key.',
  examples: [
    { command: 'cairn key add', meaning: 'asks for the new password twice' },
    {
      command: 'cairn key add --role writer --new-key-file /etc/cairn.key',
      meaning: 'for a server; head -c 32 /dev/urandom > /etc/cairn.key makes the file',
    },
  ],
  options: {
    role: choice('what the key may do (default: admin)', ['admin', 'writer', 'reader']),
    ...NEW_KEY_OPTIONS,
  },
  validate: checkNewSecret,
})

export type KeyPasswdArguments = Arguments<typeof KEY_PASSWD.options>
export const KEY_PASSWD = defineCommand({
  name: 'key passwd',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Changes the password of the key that opens the repository, or makes it a key file. The old one ' +
    'opens the repository until the new one does. Whoever has used the old one on a copy of the ' +
    'repository can go on reading that copy.',
  whenInterrupted: 'the old secret opens the repository, or else the new one does',
  examples: [{ command: 'cairn key passwd', meaning: 'asks for the new password twice' }],
  options: NEW_KEY_OPTIONS,
  validate: checkNewSecret,
})

export type KeyListArguments = Arguments<typeof KEY_LIST.options>
export const KEY_LIST = defineCommand({
  name: 'key list',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description: 'Lists the keys that open the repository. * marks the one in use.',
  examples: [{ command: 'cairn key list --json', meaning: 'for a program' }],
  options: {},
  onlyShows: true,
})

export type KeyRemoveArguments = Arguments<typeof KEY_REMOVE.options>
export const KEY_REMOVE = defineCommand({
  name: 'key remove',
  operands: 'ID',
  operandsMin: 1,
  operandsMax: 1,
  description:
    'Removes a key for good, also if its file is put back. The key in use cannot be removed. Whoever ' +
    'has opened the repository with the removed key may have kept what it protects.',
  examples: [{ command: 'cairn key remove 1a2b3c4d', meaning: 'an id from cairn key list' }],
  options: {},
})

export type KeyExportArguments = Arguments<typeof KEY_EXPORT.options>
export const KEY_EXPORT = defineCommand({
  name: 'key export',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    'Prints a recovery sheet: the key in use and the config, to be kept apart from the repository, on ' +
    'paper for example. With the password it opens a repository whose own copies are lost. Without ' +
    'it, it opens nothing.',
  examples: [{ command: 'cairn key export > sheet.txt', meaning: 'and print it' }],
  options: {},
  onlyShows: true,
})
