/** A browser on a built repository, without threads and without a cache. */

import { onTestFinished } from 'vitest'
import { type Browser, openBrowser } from '../../src/engine/browse/open-browser.ts'
import type { Repository } from '../../src/repository/repository.ts'
import { nodeEnvironment } from '../../src/service/node-environment.ts'

export async function browserOf(
  repository: Repository,
  cacheBytesMax = 64 << 20,
): Promise<Browser> {
  const controller = new AbortController()
  const browser = await openBrowser({
    environment: { ...nodeEnvironment(1), threads: 0 },
    repository,
    cacheDirectory: () => Promise.resolve(undefined),
    cacheBytesMax,
    signal: controller.signal,
  })
  onTestFinished(() => browser.close())
  return browser
}
