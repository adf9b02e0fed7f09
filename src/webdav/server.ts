/**
 * A read-only WebDAV server of class 1 (RFC 4918) on node:http: OPTIONS, PROPFIND of depth 0 and 1,
 * GET with ranges, HEAD. Everything else is refused.
 *
 * Memory: a buffer for each answer under way, and for listings a page of entries.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CairnError } from '../base/errors.ts'
import { type ByteString, textOf } from '../base/bytes.ts'
import { type Credentials, isAuthorized, isLocalHostHeader } from './authorization.ts'
import { isRangeWanted, isRefused, isUnchanged, parseRange } from './conditions.ts'
import { listingHtml } from './listing.ts'
import {
  httpDate,
  MULTISTATUS_BEGIN,
  MULTISTATUS_END,
  parsePropfind,
  propertyResponse,
  type Wanted,
} from './properties.ts'
import type { WebdavCollection, WebdavFile, WebdavResource } from './resource.ts'
import { namesOfPath, pathOfNames } from './url-path.ts'

const METHODS = 'OPTIONS, GET, HEAD, PROPFIND'
const READ_BYTES = 1 << 20
const BODY_BYTES_MAX = 64 * 1024

export interface WebdavOptions {
  readonly root: WebdavCollection
  /** Without them everybody who reaches it may read everything: for this machine alone. */
  readonly credentials: Credentials | undefined
  /** An error that a client saw as one of the server, or as an answer that was cut off. */
  readonly onError: (error: unknown) => void
  /** Rejects if `work` takes longer than a client should wait. */
  readonly within: <T>(work: Promise<T>) => Promise<T>
}

export interface ListenAddress {
  readonly host: string
  /** 0 takes any that is free. */
  readonly port: number
}

/** An answer that ends a request: no failure. */
class HttpStatus extends Error {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, text: string, headers: Readonly<Record<string, string>> = {}) {
    super(text)
    this.status = status
    this.headers = headers
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly names: readonly ByteString[]
}

export class WebdavServer {
  readonly #options: WebdavOptions
  readonly #server: Server

  constructor(options: WebdavOptions) {
    this.#options = options
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  /** Returns the address in use. Throws CAIRN_FAILED where it cannot listen. */
  async listen({ host, port }: ListenAddress): Promise<ListenAddress> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(new CairnError('CAIRN_FAILED', `cannot listen on ${host}, port ${port}`, { cause })),
      )
      this.#server.listen(port, host, resolve)
    })
    const { address, port: chosen } = this.#server.address() as AddressInfo
    return { host: address, port: chosen }
  }

  /** Answers nothing more; what is under way is cut off. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Without listeners, a client that goes away would be an error of this process.
    request.on('error', () => {})
    response.on('error', () => {})
    response.setHeader('DAV', '1')
    response.setHeader('X-Content-Type-Options', 'nosniff')
    // A page out of a backup must not run as part of this server.
    response.setHeader('Content-Security-Policy', "default-src 'none'; sandbox allow-downloads")
    try {
      this.#admit(request)
      await this.#answer(request, response)
    } catch (error) {
      this.#fail(response, error)
    }
  }

  #admit({ headers }: IncomingMessage): void {
    const { credentials } = this.#options
    if (credentials === undefined) {
      if (isLocalHostHeader(headers.host)) return
      throw new HttpStatus(403, 'ask for this by the name localhost')
    }
    if (isAuthorized(headers.authorization, credentials)) return
    throw new HttpStatus(401, 'user and password are needed', {
      'WWW-Authenticate': 'Basic realm="cairn", charset="UTF-8"',
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method } = request
    if (method === undefined || !METHODS.split(', ').includes(method)) {
      throw new HttpStatus(405, 'this is read-only', { Allow: METHODS })
    }
    if (method === 'OPTIONS') {
      response.writeHead(200, { Allow: METHODS, 'Content-Length': 0, 'MS-Author-Via': 'DAV' }).end()
      return
    }
    const names = namesOfPath(pathOf(request.url ?? '/'))
    if (names === undefined) throw new HttpStatus(400, 'this is no path')
    const exchange = { request, response, names }
    const found = await this.#find(names)
    if (method === 'PROPFIND') await this.#propfind(exchange, found)
    else if (found.kind === 'file') await this.#sendFile(exchange, found)
    else await this.#sendListing(exchange, found)
  }

  async #find(names: readonly ByteString[]): Promise<WebdavResource> {
    let at: WebdavResource | undefined = this.#options.root
    for (const name of names) {
      at = at?.kind === 'collection' ? await this.#options.within(at.find(name)) : undefined
    }
    if (at === undefined) throw new HttpStatus(404, 'there is no such file')
    return at
  }

  async #propfind({ request, response, names }: Exchange, found: WebdavResource): Promise<void> {
    const { depth = 'infinity' } = request.headers
    const wanted = parsePropfind(await readBody(request))
    if (wanted === undefined) throw new HttpStatus(400, 'the body is no propfind of WebDAV')
    if (depth !== '0' && depth !== '1') {
      const error = '<D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>\n'
      throw new HttpStatus(403, error, { 'Content-Type': 'application/xml; charset=utf-8' })
    }
    const out = new Output(response)
    const begin = () => {
      response.writeHead(207, { 'Content-Type': 'application/xml; charset=utf-8' })
      return out.write(`${MULTISTATUS_BEGIN}${describe(found, names, wanted)}`)
    }
    if (depth === '1' && found.kind === 'collection') {
      for await (const page of this.#pages(found)) {
        if (!response.headersSent) await begin()
        const one = (child: WebdavResource) => describe(child, [...names, child.name], wanted)
        if (!(await out.write(page.map(one).join('')))) return
      }
    }
    if (!response.headersSent) await begin()
    response.end(MULTISTATUS_END)
  }

  /** The pages of a collection; each has to come in time. */
  async *#pages(found: WebdavCollection): AsyncGenerator<readonly WebdavResource[]> {
    const pages = found.pages()[Symbol.asyncIterator]()
    for (;;) {
      const next = await this.#options.within(pages.next())
      if (next.done === true) return
      yield next.value
    }
  }

  async #sendListing(exchange: Exchange, found: WebdavCollection): Promise<void> {
    const { request, response, names } = exchange
    const path = pathOfNames(names, true)
    if (pathOf(request.url ?? '/') !== path) {
      // Links in a listing are relative to a path that ends with a slash.
      throw new HttpStatus(301, 'this is a collection', { Location: path })
    }
    const out = new Output(response)
    const html = listingHtml(textOf(names.join('/')))
    const begin = () => {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' })
      return out.write(html.begin)
    }
    if (request.method === 'HEAD') {
      response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end()
      return
    }
    for await (const page of this.#pages(found)) {
      if (!response.headersSent) await begin()
      if (!(await out.write(page.map(html.row).join('')))) return
    }
    if (!response.headersSent) await begin()
    response.end(html.end)
  }

  async #sendFile({ request, response }: Exchange, file: WebdavFile): Promise<void> {
    const { headers, method } = request
    const { byteCount, mtimeMs } = file
    const validators = { tag: `"${file.tag}"`, mtimeMs }
    if (isRefused(headers, validators)) throw new HttpStatus(412, 'it is not what was expected')
    response.setHeader('ETag', validators.tag)
    response.setHeader('Last-Modified', httpDate(mtimeMs))
    if (isUnchanged(headers, validators)) {
      response.writeHead(304).end()
      return
    }
    response.setHeader('Accept-Ranges', 'bytes')
    const wanted = isRangeWanted(headers, validators) ? headers.range : undefined
    const range = parseRange(wanted, byteCount)
    if (range === 'none') {
      throw new HttpStatus(416, 'nothing lies there', { 'Content-Range': `bytes */${byteCount}` })
    }
    const { start, end } = range ?? { start: 0, end: byteCount }
    const about = {
      'Content-Type': 'application/octet-stream',
      'Content-Length': end - start,
      ...(range === undefined ? {} : { 'Content-Range': `bytes ${start}-${end - 1}/${byteCount}` }),
    }
    const status = range === undefined ? 200 : 206
    if (method === 'HEAD') response.writeHead(status, about).end()
    else
      await this.#sendBytes(response, file, {
        start,
        end,
        begin: () => response.writeHead(status, about),
      })
  }

  /** Begins only when the first bytes are there: what is damaged from the start is said in full. */
  async #sendBytes(
    response: ServerResponse,
    file: WebdavFile,
    { start, end, begin }: { readonly start: number; readonly end: number; begin(): void },
  ): Promise<void> {
    const out = new Output(response)
    for (let at = start; at < end; ) {
      // What is written is not to change until it is sent.
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - at))
      const byteCount = await this.#options.within(file.read(at, buffer))
      if (byteCount === 0) throw new CairnError('CAIRN_CORRUPT', 'the content ends too early')
      if (!response.headersSent) begin()
      if (!(await out.write(buffer.subarray(0, byteCount)))) return
      at += byteCount
    }
    if (!response.headersSent) begin()
    response.end()
  }

  #fail(response: ServerResponse, error: unknown): void {
    const known = error instanceof HttpStatus ? error : undefined
    if (known === undefined) this.#options.onError(error)
    if (response.headersSent) {
      // Shorter than announced: no client takes it for the whole.
      response.destroy()
      return
    }
    for (const name of ['ETag', 'Last-Modified', 'Accept-Ranges']) response.removeHeader(name)
    const text =
      known?.message ?? 'it cannot be read: it is damaged, or the storage does not answer'
    response.writeHead(known?.status ?? 500, {
      'Content-Type': 'text/plain; charset=utf-8',
      ...known?.headers,
    })
    response.end(`${text}\n`)
  }
}

/** The path of a request's target, which may be a whole URL. */
function pathOf(target: string): string {
  const path = target.replace(/^https?:\/\/[^/]*/i, '').split(/[?#]/)[0] ?? ''
  return path === '' ? '/' : path
}

function describe(one: WebdavResource, names: readonly ByteString[], wanted: Wanted): string {
  const path = pathOfNames(names, one.kind === 'collection')
  return propertyResponse(one, { path, text: textOf(names.at(-1) ?? ''), wanted })
}

async function readBody(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let byteCount = 0
  for await (const part of request as AsyncIterable<Buffer>) {
    byteCount += part.length
    if (byteCount > BODY_BYTES_MAX) throw new HttpStatus(413, 'the request is too long')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

/** Writes no faster than the client reads. */
class Output {
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  /** Whether the client is still there. */
  async write(data: string | Uint8Array): Promise<boolean> {
    const response = this.#response
    if (response.destroyed) return false
    if (response.write(data)) return true
    await new Promise<void>((resolve) => {
      const done = () => {
        response.off('drain', done)
        response.off('close', done)
        resolve()
      }
      response.on('drain', done)
      response.on('close', done)
    })
    return !response.destroyed
  }
}
