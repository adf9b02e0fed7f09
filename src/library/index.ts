/**
 * cairn as a library. Nothing here is global: no environment variable is read, nothing is printed,
 * nothing asked for, and no process ended.
 *
 * @packageDocumentation
 */

export { CairnError, type ErrorCode, isCairnError } from '../base/errors.ts'
export type { CreateOptions, OpenOptions, Secret, SecretInput } from './open.ts'
export { createRepository, openRepository } from './open.ts'
export type {
  BackupOptions,
  BackupProgress,
  BackupResult,
  CheckOptions,
  CheckProgress,
  CheckResult,
  DumpOptions,
  Entry,
  Finding,
  ForgetOptions,
  ForgetResult,
  KeepRules,
  ListOptions,
  OperationOptions,
  PruneOptions,
  PruneResult,
  RestoreOptions,
  RestoreProgress,
  RestoreResult,
  Snapshot,
  SnapshotChoice,
  StatsOptions,
  StatsResult,
  StepProgress,
} from './operations.ts'
export type { CairnRepository } from './repository.ts'
