import { readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { hasProgram, outputOf, runProgram } from '../support/mount.ts'
import { type Box, type Finished, newRepository } from '../support/run-cairn.ts'

interface Server {
  /** With a slash at its end. */
  readonly url: string
  end(): Promise<Finished>
}

async function serve(
  box: Box,
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const words = ['serve', 'webdav', '--listen', 'localhost:0', ...args]
  const { child, finished } = box.start(words, { environment })
  const url = new Promise<string>((resolve) => {
    let stdout = ''
    child.stdout?.on('data', (text: string) => {
      stdout += text
      const found = /http:[^\s"]+/.exec(stdout)
      if (found !== null) resolve(found[0])
    })
  })
  const first = await Promise.race([url, finished])
  if (typeof first !== 'string') throw new Error(`it ended with ${first.code}: ${first.stderr}`)
  return {
    url: first,
    end: () => {
      child.kill('SIGTERM')
      return finished
    },
  }
}

async function backedUp(): Promise<Box> {
  const box = await newRepository()
  box.write('sub/large', Buffer.alloc(3_000_000, 'some text. '))
  box.write('empty', '')
  box.write('<b>&"', 'markup')
  writeFileSync(Buffer.from(`${box.source}/\xff\xe4`, 'latin1'), 'no text')
  symlinkSync('.', join(box.source, 'loop'))
  await box.succeed(['backup', box.source])
  return box
}

const shown = (server: Server, box: Box) => `${server.url}snapshots/latest${box.source}/`

function propfind(url: string, depth: string, body?: string): Promise<Response> {
  return fetch(url, {
    method: 'PROPFIND',
    headers: { depth },
    ...(body === undefined ? {} : { body }),
  })
}

describe('serve webdav', () => {
  test('GET gives files whole, in ranges and not at all if they are known', async () => {
    const box = await backedUp()
    const server = await serve(box)
    const base = shown(server, box)
    const large = Buffer.alloc(3_000_000, 'some text. ')
    const whole = await fetch(`${base}sub/large`)
    expect([whole.status, whole.headers.get('content-length')]).toEqual([200, '3000000'])
    expect(Buffer.from(await whole.arrayBuffer()).equals(large)).toBe(true)
    const get = (range: string, more = {}) =>
      fetch(`${base}sub/large`, { headers: { range, ...more } })
    const part = await get('bytes=1500000-2500000')
    expect(part.status).toBe(206)
    expect(part.headers.get('content-range')).toBe('bytes 1500000-2500000/3000000')
    const bytes = Buffer.from(await part.arrayBuffer())
    expect(bytes.equals(large.subarray(1_500_000, 2_500_001))).toBe(true)
    const behind = await get('bytes=3000000-')
    expect([behind.status, behind.headers.get('content-range')]).toEqual([416, 'bytes */3000000'])
    const tag = whole.headers.get('etag') ?? ''
    expect(tag).toMatch(/^"[0-9a-f]{32}"$/)
    const known = await fetch(`${base}sub/large`, { headers: { 'if-none-match': tag } })
    expect([known.status, await known.text()]).toEqual([304, ''])
    expect((await get('bytes=0-9', { 'if-range': '"other"' })).status).toBe(200)
    const head = await fetch(`${base}sub/large`, { method: 'HEAD' })
    expect([head.headers.get('content-length'), await head.text()]).toEqual(['3000000', ''])
    const empty = await fetch(`${base}empty`)
    expect([empty.status, await empty.text()]).toEqual([200, ''])
    expect((await fetch(`${base}missing`)).status).toBe(404)
    expect((await server.end()).code).toBe(0)
  })

  test('PROPFIND lists a collection with names as they are, and no links', async () => {
    const box = await backedUp()
    const server = await serve(box)
    const base = shown(server, box)
    const response = await propfind(base, '1')
    expect(response.status).toBe(207)
    const text = await response.text()
    const { pathname } = new URL(base)
    const hrefs = [...text.matchAll(/<D:href>([^<]*)<\/D:href>/g)].map(([, href]) => href)
    expect(hrefs).toEqual(
      ['', '%3Cb%3E%26%22', 'a.txt', 'empty', 'sub/', '%FF%E4'].map((name) => `${pathname}${name}`),
    )
    expect(await (await fetch(`${base}%FF%E4`)).text()).toBe('no text')
    expect(text).toContain('<D:displayname>&#60;b&#62;&#38;&#34;</D:displayname>')
    const alone = await (await propfind(base, '0')).text()
    expect(alone.match(/<D:response>/g)).toHaveLength(1)
    expect((await propfind(base, 'infinity')).status).toBe(403)
    expect(await (await propfind(base, 'infinity')).text()).toContain('propfind-finite-depth')
    expect((await propfind(base, '1', '<broken')).status).toBe(400)
    expect((await propfind(base, '1', 'x'.repeat(100_000))).status).toBe(413)
    expect((await propfind(`${base}missing`, '0')).status).toBe(404)
  })

  test('OPTIONS names what it can, everything else is refused', async () => {
    const box = await backedUp()
    const server = await serve(box)
    const options = await fetch(server.url, { method: 'OPTIONS' })
    expect(options.headers.get('dav')).toBe('1')
    expect(options.headers.get('allow')).toBe('OPTIONS, GET, HEAD, PROPFIND')
    for (const method of ['PUT', 'POST', 'DELETE', 'MKCOL', 'MOVE', 'COPY', 'PROPPATCH', 'LOCK']) {
      expect((await fetch(`${shown(server, box)}x`, { method })).status, method).toBe(405)
    }
    for (const path of ['%2e%2e/%2e%2e/etc/passwd', 'a%00b', '%zz', 'a%2fb']) {
      expect((await rawGet(server.url, `/${path}`)).status, path).toBe(400)
    }
  })

  test('browsers get a listing in which nothing runs', async () => {
    const box = await backedUp()
    const server = await serve(box)
    const response = await fetch(shown(server, box))
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    const text = await response.text()
    expect(text).toContain('<a href="./%3Cb%3E%26%22">&#60;b&#62;&#38;&#34;</a>')
    const bare = await fetch(shown(server, box).slice(0, -1), { redirect: 'manual' })
    expect([bare.status, bare.headers.get('location')]).toEqual([
      301,
      new URL(shown(server, box)).pathname,
    ])
    const file = await fetch(`${shown(server, box)}a.txt`)
    expect(file.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('without a password only this machine may ask, by a name of its own', async () => {
    const box = await backedUp()
    const server = await serve(box)
    expect((await rawGet(server.url, '/', 'rebound.example')).status).toBe(403)
    const refused = await box.run(['serve', 'webdav', '--listen', '0.0.0.0:0'])
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('give a password') })
    const empty = await box.run(['serve', 'webdav'], { environment: { CAIRN_SERVE_PASSWORD: '' } })
    expect(empty).toMatchObject({ code: 2 })
    const bad = await box.run(['serve', 'webdav', '--listen', 'nonsense'])
    expect(bad).toMatchObject({ code: 2 })
  })

  test('with a password nothing is shown without it', async () => {
    const box = await backedUp()
    const secret = box.write('../reader-password', 'open sesame\n')
    const server = await serve(box, ['--serve-user', 'ann', '--serve-password-file', secret])
    const ask = (text?: string) =>
      fetch(`${shown(server, box)}a.txt`, {
        headers:
          text === undefined
            ? {}
            : { authorization: `Basic ${Buffer.from(text).toString('base64')}` },
      })
    for (const one of [undefined, 'ann:wrong', 'cairn:open sesame']) {
      const response = await ask(one)
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toContain('Basic')
    }
    expect(await (await ask('ann:open sesame')).text()).toBe('alpha')
    const finished = await server.end()
    expect(finished.stdout + finished.stderr).not.toContain('sesame')
  })

  test('what is damaged is an error or an answer cut off, and named', async () => {
    const box = await newRepository()
    box.write('large', Buffer.from(Array.from({ length: 2_000_000 }, (_, i) => (i * 7919) >> 5)))
    await box.succeed(['backup', box.source])
    const server = await serve(box)
    const packs = join(box.repository, 'packs')
    // Trees are read first, so that they are remembered.
    expect((await propfind(shown(server, box), '1')).status).toBe(207)
    for (const name of readdirSync(packs, { recursive: true, encoding: 'utf8' })) {
      if (/[0-9a-f]{64}$/.test(name)) rmSync(join(packs, name))
    }
    const outcome = await fetch(`${shown(server, box)}large`).then(
      async (response) => (response.ok ? await response.text() : response.status),
      () => 'cut off',
    )
    expect([500, 'cut off']).toContain(outcome)
    expect((await server.end()).stderr).toMatch(/error: .*(?:missing|damaged)/)
  })

  test.skipIf(!hasProgram('rclone', 'version'))(
    'rclone finds every file equal (needs rclone)',
    async () => {
      const box = await backedUp()
      const server = await serve(box)
      const how = ['--config', '/dev/null', 'check', '--download', '--skip-links']
      // rclone takes names for UTF-8, and makes them so.
      const what = ['--exclude', '[^ -~]*', '--webdav-url', shown(server, box)]
      const args = [...how, ...what, ':webdav:', box.source]
      const { code, stderr } = await runProgram('rclone', args)
      expect(stderr).toContain(' 0 differences found')
      expect(code).toBe(0)
    },
  )

  test.skipIf(!hasProgram('cadaver', '--version'))(
    'cadaver lists and gets (needs cadaver)',
    async () => {
      const box = await backedUp()
      const server = await serve(box)
      const target = join(box.path, 'got')
      const script = `ls\\ncd snapshots/latest${box.source}\\nls\\nget sub/large ${target}\\nquit\\n`
      const text = await outputOf('sh', ['-c', `printf '${script}' | cadaver ${server.url}`])
      expect(text).toContain('Coll:   sub')
      expect(await outputOf('cmp', [target, join(box.source, 'sub/large')])).toBe('')
    },
  )
})

/** With a path and a name of the server that `fetch` would tidy up. */
function rawGet(url: string, path: string, host?: string): Promise<{ readonly status: number }> {
  const { hostname, port } = new URL(url)
  const headers = host === undefined ? {} : { host }
  return new Promise((resolve, reject) => {
    request({ hostname: hostname.replace(/^\[|\]$/g, ''), port, path, headers }, (response) => {
      response.resume()
      resolve({ status: response.statusCode ?? 0 })
    })
      .on('error', reject)
      .end()
  })
}
