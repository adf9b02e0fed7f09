/** Errors of the shape Node's own file system calls throw, for the calls that Node does not have. */

import { constants } from 'node:os'
import { getSystemErrorMap, getSystemErrorName } from 'node:util'
import { type ByteString, textOf } from '../base/bytes.ts'

type Code = keyof typeof constants.errno

/** Like Node's: `code` as 'ENOENT', `errno` negative, `path` as text for a person. */
class SystemError extends Error {
  readonly code: string
  readonly errno: number
  readonly syscall: string
  readonly path: string

  constructor(code: Code, syscall: string, path: ByteString, reason?: string) {
    const errno = -constants.errno[code]
    const text = reason ?? getSystemErrorMap().get(errno)?.[1] ?? 'unknown error'
    const shown = textOf(path)
    super(`${code}: ${text}, ${syscall} '${shown}'`)
    this.code = code
    this.errno = errno
    this.syscall = syscall
    this.path = shown
  }
}

/** `error.code` if `error` came from the operating system, as 'ENOENT'. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
}

/** An error that says `reason`, or what the system says of `code`, about `path`. */
export function systemError(
  code: Code,
  syscall: string,
  path: ByteString,
  reason?: string,
): SystemError {
  return new SystemError(code, syscall, path, reason)
}

/** The error for a positive errno, as a C function leaves it. */
export function errnoError(errno: number, syscall: string, path: ByteString): SystemError {
  return new SystemError(getSystemErrorName(-errno) as Code, syscall, path)
}

/** The same failure, told about `path` instead of the detour by which a call reached it. */
export function errorAbout(path: ByteString, error: unknown): unknown {
  const code = errorCode(error)
  if (code === undefined || !(code in constants.errno)) return error
  if (error instanceof SystemError && error.path === textOf(path)) return error
  const { syscall } = error as NodeJS.ErrnoException
  return new SystemError(code as Code, syscall ?? 'access', path)
}

/** Runs `action` and tells its error about `path`. */
export function about<T>(path: ByteString, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw errorAbout(path, error)
  }
}
