/** `serve webdav`: what `mount` shows, for machines and programs without FUSE. */

import { CairnError } from '../base/errors.ts'
import type { Clock } from '../base/seams.ts'
import { isLoopback } from '../webdav/authorization.ts'
import { type ListenAddress, WebdavServer } from '../webdav/server.ts'
import type { Access } from './access.ts'
import { ErrorLog } from './browse/error-log.ts'
import { type BrowsingRequest, openBrowsing } from './browse/open-browsing.ts'
import { readTextFile } from './text-file.ts'
import { browseCollection } from './webdav/browse-resources.ts'

/** A storage that answers no sooner than this is told to clients as an error. */
const ANSWER_TIMEOUT_MS = 60_000

export interface ServeRequest extends BrowsingRequest {
  readonly listen: ListenAddress
  readonly user: string
  /** From the environment. */
  readonly password: string | undefined
  readonly passwordFile: string | undefined
  readonly onListening: (url: string) => void
}

/** Serves until the command is stopped. Throws CAIRN_USAGE for others to read without a password. */
export async function runServeWebdav(access: Access, request: ServeRequest): Promise<void> {
  const { seams, signal } = access
  const password = readServePassword(request)
  if (!isLoopback(request.listen.host)) {
    if (password === undefined) {
      throw new CairnError(
        'CAIRN_USAGE',
        `whoever reaches '${request.listen.host}' could read every backup: give a password for ` +
          'readers by --serve-password-file or CAIRN_SERVE_PASSWORD',
      )
    }
    access.warn('what is served to other machines is not encrypted on its way')
  }
  const browsing = await openBrowsing(access, 'serve the repository', request)
  const { root, made, blobs, nodes } = browsing
  const log = new ErrorLog(seams.clock, (message) => access.warn(message))
  const server = new WebdavServer({
    root: browseCollection('', made.madeAt.seconds * 1000, root, { blobs, nodes }),
    credentials: password === undefined ? undefined : { user: request.user, password },
    onError: (error) => log.report(error),
    within: (work) => within(work, seams.clock),
  })
  try {
    request.onListening(urlOf(await server.listen(request.listen)))
    await aborted(signal)
  } finally {
    await server.close()
    await browsing.close()
  }
}

function readServePassword({ password, passwordFile }: ServeRequest): string | undefined {
  const text =
    passwordFile === undefined
      ? password
      : readTextFile(passwordFile, 'password for readers').split(/\r?\n/)[0]
  if (text !== '') return text
  throw new CairnError('CAIRN_USAGE', 'the password for readers is empty')
}

function urlOf({ host, port }: ListenAddress): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}/`
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function within<T>(work: Promise<T>, clock: Clock): Promise<T> {
  const controller = new AbortController()
  const limit = clock.sleep(ANSWER_TIMEOUT_MS, controller.signal).then(() => {
    const seconds = ANSWER_TIMEOUT_MS / 1000
    throw new CairnError(
      'CAIRN_STORAGE_DOWN',
      `the storage did not answer a reader within ${seconds} s`,
    )
  })
  limit.catch(() => {}) // Interrupted where the work was done in time.
  try {
    return await Promise.race([work, limit])
  } finally {
    controller.abort()
  }
}
