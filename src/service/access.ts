/** From what the command line says to an open repository: where it is, with which secret and cache. */

import { nodeClock, nodeProcess, nodeRandomness } from '../base/node-seams.ts'
import type { Environment as Seams } from '../engine/environment.ts'
import type { PreparedIndex } from '../repository/open-index.ts'
import type { Repository } from '../repository/repository.ts'
import type { Backend } from '../storage/backend.ts'
import type { CacheDirectory } from '../storage/cache/cache-directory.ts'
import { openLocalBackend } from '../storage/local/local-backend.ts'
import { LocalAccess, type OpeningSeams, type Spelling } from './local-access.ts'
import { findLocation, localRepositoryPath, parseLocation } from './location.ts'
import type { RepositoryMemory } from './memory.ts'
import type { Secret } from './secrets.ts'
import type { Environment } from './text-file.ts'

/** The global arguments that matter here, as the command line has them. */
export interface AccessArguments {
  readonly repo: string | undefined
  readonly repositoryFile: string | undefined
  readonly passwordFile: string | undefined
  readonly passwordCommand: string | undefined
  readonly keyFile: string | undefined
  readonly keyHint: string | undefined
  readonly insecureNoPassword: boolean
  readonly expectHead: string | undefined
  readonly cacheDir: string | undefined
  readonly noCache: boolean
  readonly cleanupCache: boolean
}

export interface AccessContext {
  readonly environment: Environment
  readonly json: boolean
  readonly signal: AbortSignal
  warn(message: string): void
  /** To be called before the user is asked; what it returns, afterwards. */
  takeTerminal?(): () => void
  /** False if nothing is remembered of what is seen. */
  readonly remembers?: boolean
  /** Instead of what options and the environment say, and of asking. */
  secret?(): Promise<Secret>
}

/** For commands that only look into a repository: no files of the machine, no threads. */
export interface RepositoryAccess {
  readonly backend: Backend
  /** The path of a local repository. */
  readonly path: string
  readonly signal: AbortSignal
  warn(message: string): void
  /** The secret, asked for once. */
  secret(prompt: 'once' | 'twice'): Promise<Secret>
  /** Opens the repository; a second call gives the same one. */
  open(): Promise<Repository>
  /** The cache folder of the repository, or undefined where there is none or none is wanted. */
  cache(): Promise<CacheDirectory | undefined>
  /** To be called before `open` by who is going to look up blobs: while keys are derived there is time. */
  prepareIndex(): void
  /** What has come of that, once: whoever takes it closes it. */
  takeIndex(): Promise<PreparedIndex | undefined>
  /** What was seen of the repository before, and is missing; once it is open. */
  memory(): RepositoryMemory | undefined
  /** A repository was created here: the one that was here before is not missed. */
  forgetPlace(): Promise<void>
  close(): Promise<void>
}

export interface Access extends RepositoryAccess {
  readonly seams: Seams
}

export async function openAccess(
  args: AccessArguments,
  context: AccessContext,
  jobs?: number,
): Promise<Access> {
  // Loaded only here: `snapshots` starts 5 ms sooner without it.
  const { nodeEnvironment } = await import('./node-environment.ts')
  const seams = nodeEnvironment(jobs)
  return Object.assign(await openLocalAccess(args, context, seams), { seams })
}

/**
 * As `openAccess`, and begins to open the repository, whose failure shows when `open` is called: for
 * commands that load much code, which they can do while keys are derived.
 */
export async function beginAccess(args: AccessArguments, context: AccessContext): Promise<Access> {
  const access = await openRepositoryAccess(args, context)
  access.open().catch(() => {})
  const { nodeEnvironment, tuneForReading } = await import('./node-environment.ts')
  tuneForReading()
  return Object.assign(access, { seams: nodeEnvironment(undefined) })
}

/** The other repository of a command with two, as the command line has it. */
export interface FromArguments {
  readonly fromRepo: string | undefined
  readonly fromRepositoryFile: string | undefined
  readonly fromPasswordFile: string | undefined
  readonly fromPasswordCommand: string | undefined
  readonly fromKeyFile: string | undefined
  readonly fromKeyHint: string | undefined
  readonly fromInsecureNoPassword: boolean
}

const FROM_SPELLING: Spelling = {
  environmentPrefix: 'CAIRN_FROM_',
  optionPrefix: '--from-',
  promptMessage: 'enter password for source repository:',
}

/** Opens the repository that another is copied from. It has no cache: it is read from end to end. */
export async function openFromAccess(
  args: FromArguments,
  context: AccessContext,
): Promise<RepositoryAccess> {
  const seams = { clock: nodeClock(), random: nodeRandomness(), process: nodeProcess() }
  const from: AccessArguments = {
    repo: args.fromRepo,
    repositoryFile: args.fromRepositoryFile,
    passwordFile: args.fromPasswordFile,
    passwordCommand: args.fromPasswordCommand,
    keyFile: args.fromKeyFile,
    keyHint: args.fromKeyHint,
    insecureNoPassword: args.fromInsecureNoPassword,
    expectHead: undefined,
    cacheDir: undefined,
    noCache: true,
    cleanupCache: false,
  }
  return await openLocalAccess(from, context, seams, FROM_SPELLING)
}

export async function openRepositoryAccess(
  args: AccessArguments,
  context: AccessContext,
): Promise<RepositoryAccess> {
  const seams = { clock: nodeClock(), random: nodeRandomness(), process: nodeProcess() }
  return await openLocalAccess(args, context, seams)
}

async function openLocalAccess(
  args: AccessArguments,
  context: AccessContext,
  seams: OpeningSeams,
  spelling: Spelling = {},
): Promise<LocalAccess> {
  const location = findLocation({
    repo: args.repo,
    repositoryFile: args.repositoryFile,
    environment: context.environment,
    ...spelling,
  })
  const path = localRepositoryPath(parseLocation(location))
  const backend = openLocalBackend({ path, clock: seams.clock, random: seams.random })
  return new LocalAccess({ args, context, seams, spelling, backend, path })
}
