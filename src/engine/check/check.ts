/**
 * Checks a repository: that all that is there is as it was written, and that all that snapshots
 * need is there. It finds and tells; it repairs nothing but an unconfirmed snapshot's state.
 *
 * Damage is a finding, never an exception, and ends nothing. A storage that fails is an exception,
 * never a finding. Memory: about 90 bytes a blob for the index and 40 for each tree node, and what
 * reading packs takes (pack-reading.ts).
 */

import { CairnError, errorChain, isCairnError } from '../../base/errors.ts'
import { blobIdOf, type FileName, shortId } from '../../base/ids.ts'
import type { IndexedPack } from '../../format/index-file.ts'
import type { Mark } from '../../format/session.ts'
import { BlobReader } from '../../repository/blob-reader.ts'
import { requireReader } from '../../repository/keyring.ts'
import { listSessions, type SeenSession } from '../../repository/sessions.ts'
import type { Repository } from '../../repository/repository.ts'
import type { Snapshot } from '../../repository/snapshots.ts'
import { readPackDirectory } from '../../pipeline/pack-directory-reader.ts'
import { type AffectedPaths, AffectedWalk } from './affected-paths.ts'
import { type CheckContext, isDamage, operation, readTwice } from './check-context.ts'
import { checkConfigAndKeys } from './check-keys.ts'
import { checkMarks, checkObjects, type CheckedObjects, listFolder } from './check-objects.ts'
import type { CheckOptions, CheckReport } from './check-options.ts'
import { FindingList } from './finding.ts'
import { checkHistory } from './history.ts'
import { type IdTable } from './id-table.ts'
import { loadClaims, type PackClaims } from './pack-claims.ts'
import { type KnownClaims, PackReading } from './pack-reading.ts'
import type { PackFileInfo } from './subset.ts'
import { TreeWalk } from './tree-walk.ts'
import { resolveUnconfirmed } from './unconfirmed.ts'

const SEGMENT_CACHE_BYTES = 64 << 20
