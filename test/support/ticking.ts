/** A clock of which time passes as files are opened, so that what is periodic is due within a short run. */

import type { Environment } from '../../src/engine/environment.ts'
import { inlineEnvironment } from './backup-harness.ts'

const OPENS_PER_PERIOD = 15

/** What is due every `periodMs` is due after every 15 files that were opened, and `onOpen` after each. */
export function tickingEnvironment(
  periodMs: number,
  onOpen?: (count: number) => void,
): Environment {
  const actions = new Set<() => void>()
  const environment = inlineEnvironment()
  const clock = {
    ...environment.clock,
    every: (period: number, action: () => void) => {
      if (period === periodMs) actions.add(action)
      return () => void actions.delete(action)
    },
  }
  let opens = 0
  const tick = (count: number) => {
    onOpen?.(count)
    if (count % OPENS_PER_PERIOD === 0) for (const action of actions) action()
  }
  const source = new Proxy(environment.source, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        // Never in the middle of synchronous work: no timer comes there either.
        if (name === 'open') {
          const count = ++opens
          queueMicrotask(() => tick(count))
        }
        return value.apply(target, args) as unknown
      }
    },
  })
  return { ...environment, clock, source }
}
