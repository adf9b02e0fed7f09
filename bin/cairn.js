#!/usr/bin/env node
import { existsSync } from 'node:fs'

const entry = new URL('../dist/cli/main.js', import.meta.url)
if (existsSync(entry)) {
  const { main } = await import(entry.href)
  await main()
} else {
  process.stderr.write("Fatal: cairn has not been built; run 'npm ci' in its directory\n")
  process.exitCode = 1
}
