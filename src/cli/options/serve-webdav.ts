import { type Arguments, defineCommand } from '../command.ts'
import { mapped, nonEmpty, usage } from '../option.ts'
import { FILTER_OPTIONS } from '../options.ts'
import { BROWSE_OPTIONS, checkTimeTemplate } from './browse.ts'

const LISTEN_DEFAULT = { host: 'localhost', port: 8081 }

/** `host:port`, `[address]:port`, or a port of this machine. */
function readListen(value: string | undefined, spelling: string) {
  if (value === undefined) return LISTEN_DEFAULT
  const [, bracketed, plain, digits = ''] =
    /^(?:\[([^\]]+)\]:|([^:]*):|)(\d{1,5})$/.exec(value) ?? []
  const host = bracketed ?? (plain === undefined || plain === '' ? LISTEN_DEFAULT.host : plain)
  const port = Number(digits)
  if (digits === '' || port > 65_535) {
    throw usage(`'${value}' is not a value of ${spelling}: write an address, a colon and a port`)
  }
  return { host, port }
}

export type ServeWebdavArguments = Arguments<typeof SERVE_WEBDAV.options>

export const SERVE_WEBDAV = defineCommand({
  name: 'serve webdav',
  operands: '',
  operandsMin: 0,
  operandsMax: 0,
  description:
    "Serves what 'cairn mount' shows by WebDAV, read-only, where there is no FUSE: for browsers, " +
    'file managers, rclone and the like. By default only programs of this machine can read it, ' +
    'without a password; for others a password is needed, which CAIRN_SERVE_PASSWORD may hold. ' +
    'It is not encrypted on its way.',
  examples: [
    { command: 'cairn serve webdav', meaning: 'then look at the address that it prints' },
    {
      command: 'cairn serve webdav --listen 192.0.2.1:8081 --serve-password-file secret',
      meaning: 'for other machines',
    },
  ],
  options: {
    listen: mapped(nonEmpty('where to listen (localhost, port 8081)', 'host:port'), readListen),
    'serve-user': nonEmpty('the user that readers name (cairn)', 'name'),
    'serve-password-file': nonEmpty('file with the password of readers', 'file', {
      readElsewhere: 'CAIRN_SERVE_PASSWORD',
    }),
    ...BROWSE_OPTIONS,
    ...FILTER_OPTIONS,
  },
  validate: checkTimeTemplate,
})
