import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { FASTCDC_WASM_BASE64 } from '../../src/chunker/fastcdc-wasm.ts'

interface Wabt {
  parseWat(
    name: string,
    text: string,
  ): { validate(): void; toBinary(options: object): { buffer: Uint8Array } }
}

test('FASTCDC_WASM_BASE64 is fastcdc.wat, compiled', async () => {
  const wabt = (await createRequire(import.meta.url)('wabt')()) as Wabt
  const source = new URL('../../src/chunker/fastcdc.wat', import.meta.url)
  const module = wabt.parseWat('fastcdc.wat', readFileSync(source, 'utf8'))
  module.validate()
  const base64 = Buffer.from(module.toBinary({}).buffer).toString('base64')
  if (base64 !== FASTCDC_WASM_BASE64) {
    const lines = base64.match(/.{1,88}/g) ?? []
    console.log(lines.map((line) => `  '${line}'`).join(' +\n'))
  }
  expect(FASTCDC_WASM_BASE64).toBe(base64)
})
