import { describe, expect, test } from 'vitest'
import { ephemeral, exchanger, publicKeyOf, sharedSecret } from '../../src/crypto/exchange.ts'
import { signer, verifier } from '../../src/crypto/sign.ts'

const fromHex = (text: string) => new Uint8Array(Buffer.from(text, 'hex'))
const hex = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString('hex')

describe('signer() and verifier()', () => {
  test.each([
    [
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      '',
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    ],
    [
      '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      '72',
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    ],
  ])('RFC 8032, 7.1: seed %s', (seed, publicKey, message, signature) => {
    const one = signer(fromHex(seed))
    expect(hex(one.publicKey)).toBe(publicKey)
    expect(hex(one.sign(fromHex(message)))).toBe(signature)
    expect(verifier(fromHex(publicKey)).verify(fromHex(message), fromHex(signature))).toBe(true)
  })

  const one = signer(new Uint8Array(32).fill(3))
  const message = Buffer.from('a message')
  const signature = one.sign(message)
  const check = verifier(one.publicKey)

  test('rejects any flipped bit', () => {
    expect(check.verify(message, signature)).toBe(true)
    for (let bit = 0; bit < signature.length * 8; bit++) {
      const forged = Uint8Array.from(signature)
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(check.verify(message, forged)).toBe(false)
    }
    expect(check.verify(Buffer.from('a messagf'), signature)).toBe(false)
    const other = verifier(signer(new Uint8Array(32).fill(4)).publicKey)
    expect(other.verify(message, signature)).toBe(false)
  })

  test('rejects a signature whose scalar is not reduced', () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n
    const scalar = BigInt(`0x${hex(signature.slice(32).reverse())}`) + order
    const forged = Uint8Array.from(signature)
    forged.set(fromHex(scalar.toString(16).padStart(64, '0')).reverse(), 32)
    expect(check.verify(message, forged)).toBe(false)
  })

  test('is strict about lengths', () => {
    expect(check.verify(message, signature.subarray(1))).toBe(false)
    expect(check.verify(message, new Uint8Array([...signature, 0]))).toBe(false)
    expect(check.verify(message, new Uint8Array(0))).toBe(false)
    expect(() => signer(new Uint8Array(33))).toThrow(RangeError)
    expect(() => verifier(new Uint8Array(31))).toThrow(RangeError)
  })

  test('a public key that is no point verifies nothing', () => {
    expect(verifier(new Uint8Array(32).fill(0xff)).verify(message, signature)).toBe(false)
  })
})

describe('sharedSecret()', () => {
  test('RFC 7748, 5.2', () => {
    expect(
      hex(
        sharedSecret(
          fromHex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'),
          fromHex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c'),
        ),
      ),
    ).toBe('c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552')
  })

  test('RFC 7748, 5.2: a thousand times', () => {
    let [k, u]: [Uint8Array, Uint8Array] = [
      fromHex(`09${'00'.repeat(31)}`),
      fromHex(`09${'00'.repeat(31)}`),
    ]
    for (let i = 0; i < 1000; i++) {
      const result = sharedSecret(k, u)
      if (i === 0) {
        const first = '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079'
        expect(hex(result)).toBe(first)
      }
      ;[k, u] = [result ?? new Uint8Array(32), k]
    }
    expect(hex(k)).toBe('684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51')
  })

  test('both sides get the same, and the public key is the multiple of the base point', () => {
    const [one, two] = [
      ephemeral(new Uint8Array(32).fill(1)),
      ephemeral(new Uint8Array(32).fill(2)),
    ]
    expect(sharedSecret(one.secretKey, two.publicKey)).toEqual(
      sharedSecret(two.secretKey, one.publicKey),
    )
    expect(publicKeyOf(one.secretKey)).toEqual(
      sharedSecret(one.secretKey, fromHex(`09${'00'.repeat(31)}`)),
    )
  })

  test.each([
    ['zero', '00'.repeat(32)],
    ['one', `01${'00'.repeat(31)}`],
    ['order 8', 'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'],
    ['order 8, the other', '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'],
    ['p - 1', `ec${'ff'.repeat(30)}7f`],
    ['p', `ed${'ff'.repeat(30)}7f`],
    ['p + 1', `ee${'ff'.repeat(30)}7f`],
    ['zero with the top bit set', `${'00'.repeat(31)}80`],
  ])('is undefined for the low-order point %s', (_, point) => {
    expect(sharedSecret(new Uint8Array(32).fill(9), fromHex(point))).toBeUndefined()
  })

  test('exchanger() holds one key for many', () => {
    const secretKey = new Uint8Array(32).fill(1)
    const one = exchanger(secretKey)
    expect(one.publicKey).toEqual(publicKeyOf(secretKey))
    for (const seed of [2, 3]) {
      const { publicKey } = ephemeral(new Uint8Array(32).fill(seed))
      expect(one.sharedSecret(publicKey)).toEqual(sharedSecret(secretKey, publicKey))
    }
  })

  test('is strict about lengths', () => {
    const good = new Uint8Array(32).fill(9)
    expect(() => sharedSecret(new Uint8Array(31), good)).toThrow(RangeError)
    expect(() => sharedSecret(good, new Uint8Array(33))).toThrow(RangeError)
    expect(() => ephemeral(new Uint8Array(31))).toThrow(RangeError)
  })
})
