import { describe, expect, test } from 'vitest'
import { isAuthorized, isLocalHostHeader, isLoopback } from '../../src/webdav/authorization.ts'
import { isRangeWanted, isRefused, isUnchanged, parseRange } from '../../src/webdav/conditions.ts'
import { parsePropfind, propertyResponse } from '../../src/webdav/properties.ts'
import { namesOfPath, pathOfNames } from '../../src/webdav/url-path.ts'
import { escapeXml, parseXml } from '../../src/webdav/xml.ts'

describe('paths', () => {
  test('are names of bytes, there and back', () => {
    const names = ['a b', '\xc3\xa4', '\xff', '%41', '?#&"\'<>', '2024-01-01T00:00:00Z']
    const path = pathOfNames(names, false)
    expect(path).toMatch(/^[/A-Za-z0-9%._~-]+$/)
    expect(path).toContain('/%C3%A4/%FF/%2541/')
    expect(namesOfPath(path)).toEqual(names)
    expect(namesOfPath('/\u00e4')).toEqual(['\xc3\xa4'])
    expect(pathOfNames([], true)).toBe('/')
  })

  test.each(['a', '/%', '/%4', '/%zz', '/a/%2e%2e/b', '/..', '/a%2fb', '/a%00'])(
    '%s is none',
    (path) => expect(namesOfPath(path)).toBeUndefined(),
  )
})

describe('XML', () => {
  test('text is escaped, and what XML cannot say is replaced', () => {
    expect(escapeXml(`<&>"'`)).toBe('&#60;&#38;&#62;&#34;&#39;')
    expect(escapeXml('a\0b\x1bc\ud800d\n\u{1f600}')).toBe('a\ufffdb\ufffdc\ufffdd\n\u{1f600}')
  })

  test('elements are read with their namespaces', () => {
    const text = `<?xml version="1.0"?><!-- x --><a:x xmlns:a='urn:a' xmlns="urn:b"><y/><a:z q="1"> t <![CDATA[<]]></a:z></a:x> `
    expect(parseXml(text)).toEqual({
      namespace: 'urn:a',
      name: 'x',
      children: [
        { namespace: 'urn:b', name: 'y', children: [] },
        { namespace: 'urn:a', name: 'z', children: [] },
      ],
    })
  })

  test.each([
    '',
    'text',
    '<a>',
    '<a></b>',
    '<a/><b/>',
    '<p:a/>',
    '<a:b:c xmlns:a="x"/>',
    '<a x=1/>',
    '<a><b</a>',
    '<p:a xmlns:p=""/>',
    '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    '<a>'.repeat(100) + '</a>'.repeat(100),
  ])('%s is refused', (text) => expect(parseXml(text)).toBeUndefined())

  test('long nonsense takes no time', () => {
    expect(parseXml(`<a ${' '.repeat(60_000)}`)).toBeUndefined()
    expect(parseXml('<'.repeat(60_000))).toBeUndefined()
    expect(parseXml(`<a ${'x="" '.repeat(12_000)}/>`)).toBeDefined()
  })
})

describe('PROPFIND', () => {
  const file = {
    kind: 'file',
    name: 'a&b',
    mtimeMs: 0,
    byteCount: 5,
    tag: 'abc',
    read: () => Promise.resolve(0),
  } as const
  const about = (body: string) => {
    const wanted = parsePropfind(body)
    if (wanted === undefined) return undefined
    return propertyResponse(file, { path: '/a%26b', text: 'a&b', wanted })
  }

  test('without a body asks for everything', () => {
    expect(about('')).toContain('<D:getcontentlength>5</D:getcontentlength>')
    expect(about('')).toContain('<D:displayname>a&#38;b</D:displayname>')
    expect(about('')).toContain('Thu, 01 Jan 1970 00:00:00 GMT')
    expect(about('')).toBe(about('<propfind xmlns="DAV:"><allprop/></propfind>'))
  })

  test('gives what is asked for, and says what is not there', () => {
    const text = about(
      '<d:propfind xmlns:d="DAV:"><d:prop><d:getetag/><d:quota/><x:y xmlns:x="urn:&quot;x"/></d:prop></d:propfind>',
    )
    expect(text).toContain(
      '<D:prop><D:getetag>&#34;abc&#34;</D:getetag></D:prop><D:status>HTTP/1.1 200',
    )
    expect(text).toContain('<D:quota/>')
    expect(text).toContain('HTTP/1.1 404')
    expect(text).not.toContain('constructor')
    const undeclared = '<propfind xmlns="DAV:"><prop><constructor:x/></prop></propfind>'
    expect(parsePropfind(undeclared)).toBeUndefined()
  })

  test('gives names alone', () => {
    expect(about('<propfind xmlns="DAV:"><propname/></propfind>')).toContain('<D:getetag/>')
  })

  test.each(['<propfind xmlns="other"/>', '<propfind xmlns="DAV:"/>', 'no', '<a'])(
    '%s is refused',
    (body) => expect(parsePropfind(body)).toBeUndefined(),
  )
})

describe('ranges', () => {
  test.each([
    ['bytes=0-', { start: 0, end: 100 }],
    ['bytes=10-19', { start: 10, end: 20 }],
    ['bytes=90-1000', { start: 90, end: 100 }],
    ['bytes=-30', { start: 70, end: 100 }],
    ['bytes=-300', { start: 0, end: 100 }],
    ['bytes=100-', 'none'],
    ['bytes=-0', 'none'],
    ['bytes=20-10', undefined],
    ['bytes=1-2,5-6', undefined],
    ['bytes=-', undefined],
    ['lines=1-2', undefined],
    [undefined, undefined],
  ])('%s', (header, wanted) => expect(parseRange(header, 100)).toEqual(wanted))

  test('conditions are held against tag and time', () => {
    const one = { tag: '"x"', mtimeMs: Date.UTC(2024, 0, 1) + 500 }
    const date = 'Mon, 01 Jan 2024 00:00:00 GMT'
    expect(isUnchanged({ 'if-none-match': 'W/"y", W/"x"' }, one)).toBe(true)
    expect(isUnchanged({ 'if-none-match': '"y"', 'if-modified-since': date }, one)).toBe(false)
    expect(isUnchanged({ 'if-none-match': '*' }, one)).toBe(true)
    expect(isUnchanged({ 'if-modified-since': date }, one)).toBe(true)
    expect(isUnchanged({}, one)).toBe(false)
    expect(isRefused({ 'if-match': '"y"' }, one)).toBe(true)
    expect(isRefused({ 'if-match': '"x"' }, one)).toBe(false)
    expect(isRefused({}, one)).toBe(false)
    expect(isRangeWanted({ 'if-range': '"x"' }, one)).toBe(true)
    expect(isRangeWanted({ 'if-range': '"y"' }, one)).toBe(false)
    expect(isRangeWanted({ 'if-range': date }, one)).toBe(true)
  })
})

describe('who may ask', () => {
  const credentials = { user: 'ann', password: 'p:\u00e4' }
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

  test('user and password, both', () => {
    expect(isAuthorized(basic('ann:p:\u00e4'), credentials)).toBe(true)
    for (const wrong of ['ann:p', 'bob:p:\u00e4', '', ':', 'ann']) {
      expect(isAuthorized(basic(wrong), credentials)).toBe(false)
    }
    expect(isAuthorized(undefined, credentials)).toBe(false)
    expect(isAuthorized('Bearer x', credentials)).toBe(false)
  })

  test('names and addresses of this machine', () => {
    for (const host of [
      'localhost',
      '127.0.0.1',
      '127.1.2.3',
      '::1',
      '[::1]',
      '::ffff:127.0.0.1',
    ]) {
      expect(isLoopback(host), host).toBe(true)
    }
    for (const host of [
      '127.0.0.1.example.org',
      '0.0.0.0',
      '::',
      'localhost.example',
      '1.127.0.0',
    ]) {
      expect(isLoopback(host), host).toBe(false)
    }
    expect(isLocalHostHeader('localhost:8081')).toBe(true)
    expect(isLocalHostHeader('[::1]:8081')).toBe(true)
    expect(isLocalHostHeader('rebound.example:8081')).toBe(false)
    expect(isLocalHostHeader(undefined)).toBe(false)
  })
})
