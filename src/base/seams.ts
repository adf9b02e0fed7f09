/**
 * The seams through which the engine meets time and chance. Everything that runs under the
 * deterministic simulation takes these as arguments; only `node-seams.ts` calls the real ones.
 */

export interface Clock {
  /** Wall time in nanoseconds since 1970 (UTC). May jump. */
  wallNs(): bigint
  /** Milliseconds on a clock that never goes back. It may stand still while a machine sleeps. */
  monotonicMs(): number
  /** Resolves after `delayMs`, or rejects with CAIRN_ABORTED as soon as `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
  /** Calls `action` every `periodMs` until the returned function is called. Keeps nothing alive. */
  every(periodMs: number, action: () => void): () => void
}

export interface Randomness {
  /** `byteCount` unpredictable bytes (1 to 65,536). */
  bytes(byteCount: number): Uint8Array
}

/** Who is running: for sessions and for the defaults of a snapshot. */
export interface Process {
  readonly pid: number
  readonly hostname: string
  readonly username: string
  readonly uid: number
  readonly gid: number
  /**
   * Changes at every start of the machine, and is another in a container with process ids of its own;
   * empty where the system does not tell.
   */
  readonly bootId: string
  /** As Node names them: 'linux', 'x64'. */
  readonly system: string
  readonly architecture: string
  /** Whether a process of this boot and this process namespace is still running. */
  isAlive(pid: number): boolean
}

export function wallMs(clock: Clock): number {
  return Number(clock.wallNs() / 1_000_000n)
}
