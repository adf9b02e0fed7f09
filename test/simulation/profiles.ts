/** What kinds of storage and of trouble a run meets. Every seed draws its own rates within these. */

import { FAULTS, type FaultRates } from './faults.ts'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from './kernel.ts'
import type { PlaceTraits } from './sim-place.ts'
import type { SeededRandom } from './seeded-random.ts'

export interface Profile {
  readonly name: string
  readonly traits: PlaceTraits
  readonly clientsMax: number
  /** Everything happens within seconds of everything else. */
  readonly isTight: boolean
  /** The highest rate of each fault that is possible at all. */
  readonly faultRateMax: number
  /** The same for calls that take long: they let others pass. */
  readonly slowRateMax: number
  /** How likely a step meets them. */
  readonly interruptions: {
    readonly crash: number
    readonly pause: number
  }
  readonly pauseMsMax: number
  /** How wrong a client's clock may be. */
  readonly skewMsMax: number
  readonly powerCuts: boolean
  readonly clones: boolean
  readonly fullDisk: boolean
}

const DAY_MS = 24 * HOUR_MS
const CONSISTENT: PlaceTraits = {
  listingLagMs: 0,
  listMsMax: 60,
  losesUnflushed: false,
  byteCountMax: Number.POSITIVE_INFINITY,
}
const BASE: Profile = {
  name: '',
  traits: CONSISTENT,
  clientsMax: 4,
  isTight: false,
  faultRateMax: 0,
  slowRateMax: 0,
  interruptions: { crash: 0, pause: 0 },
  pauseMsMax: 6 * DAY_MS,
  skewMsMax: 0,
  powerCuts: false,
  clones: false,
  fullDisk: false,
}

export const PROFILES: readonly Profile[] = [
  // Nothing fails: every command must succeed.
  { ...BASE, name: 'calm' },
  // A strict object store, clients that die, sleep and have wrong clocks.
  {
    ...BASE,
    name: 'cloud',
    faultRateMax: 0.02,
    slowRateMax: 0.02,
    interruptions: { crash: 0.25, pause: 0.25 },
    skewMsMax: 2 * DAY_MS,
    clones: true,
  },
  // Backups and prunes at once that do not know of each other, since their clocks are days apart.
  {
    ...BASE,
    name: 'race',
    // Long listings let much happen between two of them.
    traits: { ...CONSISTENT, listMsMax: 4 * SECOND_MS },
    clientsMax: 3,
    isTight: true,
    faultRateMax: 0.002,
    slowRateMax: 0.05,
    interruptions: { crash: 0.05, pause: 0.2 },
    pauseMsMax: MINUTE_MS,
    skewMsMax: 2 * DAY_MS,
  },
  // A local disk whose power goes, and which fills up.
  {
    ...BASE,
    name: 'local',
    traits: { ...CONSISTENT, losesUnflushed: true },
    faultRateMax: 0.01,
    slowRateMax: 0.01,
    interruptions: { crash: 0.3, pause: 0.15 },
    powerCuts: true,
    fullDisk: true,
  },
  // Listings lag. FORMAT.md's condition: no run and no lag reaches the grace period.
  {
    ...BASE,
    name: 'weak',
    traits: { ...CONSISTENT, listingLagMs: HOUR_MS },
    faultRateMax: 0.01,
    slowRateMax: 0.01,
    interruptions: { crash: 0.2, pause: 0.2 },
    pauseMsMax: 3 * HOUR_MS,
    skewMsMax: HOUR_MS,
  },
]

export function profileNamed(name: string): Profile {
  const profile = PROFILES.find((each) => each.name === name)
  if (profile === undefined) {
    const names = PROFILES.map((each) => each.name).join(', ')
    throw new RangeError(`there is no profile '${name}': ${names}`)
  }
  return profile
}

/** A random subset of the faults, each at a random rate. */
export function drawRates(profile: Profile, random: SeededRandom): FaultRates {
  const rates: Record<string, number> = {}
  for (const fault of FAULTS) {
    const isOn = random.chance(0.6)
    const rateMax = fault === 'slow' ? profile.slowRateMax : profile.faultRateMax
    const rate = random.next() * rateMax
    if (isOn && rate > 0) rates[fault] = rate
  }
  return rates
}
