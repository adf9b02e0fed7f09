/**
 * Every error cairn throws on purpose. A code is public and never changes its meaning; messages may.
 * Wording: lower case, the failed action first, values in quotes, the cause after a colon, the next
 * step last.
 */

/** How a caller should treat a code: the process exit status (README.md, "Exit codes") and retry. */
export interface ErrorTraits {
  readonly exit: number
  readonly retry: 'never' | 'later'
}

/** Every code cairn can throw. */
export const ERRORS = {
  CAIRN_FAILED: { exit: 1, retry: 'never' },
  CAIRN_USAGE: { exit: 2, retry: 'never' },
  CAIRN_INCOMPLETE: { exit: 3, retry: 'never' },
  CAIRN_REPOSITORY_MISSING: { exit: 10, retry: 'never' },
  CAIRN_CONFLICT: { exit: 11, retry: 'later' },
  CAIRN_WRONG_SECRET: { exit: 12, retry: 'never' },
  CAIRN_FORMAT_TOO_NEW: { exit: 13, retry: 'never' },
  CAIRN_CORRUPT: { exit: 20, retry: 'never' },
  CAIRN_STORAGE_DOWN: { exit: 21, retry: 'later' },
  CAIRN_STORAGE_REFUSED: { exit: 21, retry: 'never' },
  CAIRN_ABORTED: { exit: 130, retry: 'never' },
} as const satisfies Record<string, ErrorTraits>

export type ErrorCode = keyof typeof ERRORS

export type ErrorDetails = Readonly<Record<string, string | number>>

/** An expected failure, with a stable code. Broken invariants inside cairn are `BugError`. */
export class CairnError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly details?: ErrorDetails } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = code === 'CAIRN_ABORTED' ? 'AbortError' : 'CairnError'
    this.code = code
    this.details = options.details ?? {}
  }

  get exitCode(): number {
    return ERRORS[this.code].exit
  }
}

/** A broken invariant inside cairn: not meant to be caught, the process stops. */
export class BugError extends Error {
  override readonly name = 'BugError'
}

/** Stops the process when something that must hold does not. `message` says what was expected. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new BugError(message)
}

export function isCairnError(error: unknown, code?: ErrorCode): error is CairnError {
  return error instanceof CairnError && (code === undefined || error.code === code)
}

/** Whether an error says that stored bytes are bad, or of a later format, and not that the storage is. */
export function isDamage(error: unknown): error is CairnError {
  return isCairnError(error, 'CAIRN_CORRUPT') || isCairnError(error, 'CAIRN_FORMAT_TOO_NEW')
}

/** Throws CAIRN_ABORTED if `signal` has been aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new CairnError('CAIRN_ABORTED', 'interrupted', { cause: signal.reason })
  }
}

/** Whether the disk could not read what is there: one sector of it, perhaps, and nothing else. */
export function isUnreadable(error: unknown): boolean {
  return isCairnError(error, 'CAIRN_STORAGE_DOWN') && error.details['errno'] === 'EIO'
}

/** What an error says, whatever was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message
  return typeof error === 'string' ? error : JSON.stringify(error)
}

/** The whole chain of messages of `error`, outermost first, joined by colons, each once. */
export function errorChain(error: unknown): string {
  const parts: string[] = []
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 8; depth++) {
    const message = messageOf(at)
    if (!parts.some((part) => part.includes(message))) parts.push(message)
    at = at instanceof Error ? at.cause : undefined
  }
  return parts.join(': ')
}
