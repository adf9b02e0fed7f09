/**
 * Known mistakes, one for each rule that keeps data safe. Each is put into a copy of the tree, and
 * has to be found there: by the simulation with one of `profiles`, or by the tests named.
 */

const LOST = 'src/engine/writer-run.ts'
const BACKUP = 'src/engine/backup/backup.ts'
const SWEEP = 'src/engine/prune/sweep.ts'
const LOST_PACKS = 'names.filter((name) => doomed.has(name) || missing.has(name))'
const SECOND_WALK = 'await used.walk(needed.snapshots, unconfirmedOf(needed, isSettled))'
const FLUSHED_SNAPSHOT =
  '    await repository.backend.flush()\n' +
  '    if ((await this.#lost(repository, result)) !== undefined) {'
const INTERLEAVING = { file: 'test/engine/prune/interleaving.test.ts' }
const RACES = { file: 'test/engine/prune/races.test.ts' }

/** Each `find` is in its file exactly once (mutants.test.ts). */
export const MUTANTS = [
  {
    name: 'backup-no-final-look',
    why: 'a backup does not look again at marks and packs once its snapshot is written',
    tests: { ...INTERLEAVING, name: 'last looks' },
    edits: [
      {
        file: BACKUP,
        find: '    if ((await this.#lost(repository, result)) !== undefined) {',
        replace: '    if (result.relied.length < 0) {',
      },
    ],
  },
  {
    name: 'backup-no-final-marks',
    why: 'the last look of a backup does not list marks',
    tests: { ...INTERLEAVING, name: 'last looks' },
    edits: [{ file: LOST, find: LOST_PACKS, replace: 'names.filter((name) => missing.has(name))' }],
  },
  {
    name: 'backup-no-final-packs',
    why: 'the last look of a backup does not list packs',
    tests: { ...INTERLEAVING, name: 'last looks' },
    edits: [{ file: LOST, find: LOST_PACKS, replace: 'names.filter((name) => doomed.has(name))' }],
  },
  {
    name: 'backup-final-look-swapped',
    why: 'the last look of a backup lists packs before marks',
    tests: { ...INTERLEAVING, name: 'last looks' },
    edits: [
      {
        file: LOST,
        find: '  const doomed = await doomedPacks(repository, signal, phase)\n',
        replace: '',
      },
      {
        file: LOST,
        find: '  const missing = await missingPacks(repository, names, signal)\n',
        replace:
          '  const missing = await missingPacks(repository, names, signal)\n' +
          '  const doomed = await doomedPacks(repository, signal, phase)\n',
      },
    ],
  },
  {
    name: 'retaken-snapshot-stays',
    why: 'a snapshot that lacks something is not taken back',
    tests: { ...INTERLEAVING, name: 'last looks' },
    edits: [
      {
        file: BACKUP,
        find: "      await repository.backend.remove({ kind: 'snapshots', name: saved.name })\n",
        replace: '',
      },
    ],
  },
  {
    name: 'session-ends-unconfirmed',
    why: 'a run that could not look again at its snapshot ends as if it had',
    profiles: ['cloud', 'local'],
    edits: [{ file: BACKUP, find: 'if (!dryRun && isOver) await', replace: 'if (!dryRun) await' }],
  },
  {
    name: 'unsettled-named',
    why: 'a snapshot names others that their runs may still take back, or that a power cut may',
    profiles: ['local', 'race'],
    edits: [
      {
        file: 'src/repository/snapshots.ts',
        find: 'seen.snapshots.filter(seen.isSettled)',
        replace: '[...seen.snapshots]',
      },
    ],
  },
  {
    name: 'stream-read-twice',
    why: 'a stream that has been read is read again, and nothing comes',
    tests: { file: 'test/engine/backup/prune-race.test.ts', name: 'a stream' },
    edits: [
      {
        file: 'src/engine/backup/stream-source.ts',
        find: 'if (isRead) {',
        replace: "if (isRead && input.name === '') {",
      },
    ],
  },
  {
    name: 'backup-trusts-scan-cache',
    why: 'a backup rests on packs that its cache knows and the repository has no more',
    profiles: ['race', 'cloud'],
    edits: [
      {
        file: BACKUP,
        find: 'cached.filter((name) => doomed.has(name) || !listed.has(name))',
        replace: "cached.filter((name) => doomed.has(name) && !listed.has(name) && name === '')",
      },
      { file: LOST, find: LOST_PACKS, replace: "names.filter((name) => name === '')" },
    ],
  },
  {
    name: 'listed-packs-not-asked',
    why: 'an index entry counts though its pack is not listed',
    profiles: ['race', 'cloud'],
    edits: [
      {
        file: 'src/repository/open-index.ts',
        find: '  index.setStates(listed, new Set())\n',
        replace:
          '  for (const name of names)\n' +
          '    for (const pack of (await loadIndexFile(repository, name, signal))?.packs ?? [])\n' +
          '      listed.set(pack.name, pack.byteCount)\n' +
          '  index.setStates(listed, new Set())\n',
      },
      { file: LOST, find: LOST_PACKS, replace: "names.filter((name) => name === '')" },
    ],
  },
  {
    name: 'snapshot-not-durable',
    why: 'a backup reports a snapshot that no flush has followed',
    profiles: ['local'],
    edits: [{ file: BACKUP, find: FLUSHED_SNAPSHOT, replace: FLUSHED_SNAPSHOT.split('\n')[1] }],
  },
  {
    name: 'index-before-packs-durable',
    why: 'an index file is durable before the packs that it names',
    profiles: ['local'],
    edits: [
      {
        file: 'src/repository/pack-store.ts',
        find: '    await repository.backend.flush(operation)\n    const body = encodeIndexFile',
        replace: '    const body = encodeIndexFile',
      },
      {
        file: 'src/repository/pack-store.ts',
        find:
          "    const { name } = await repository.saveObject('index', body, signal)\n" +
          '    await repository.backend.flush(operation)\n',
        replace: "    const { name } = await repository.saveObject('index', body, signal)\n",
      },
      { file: BACKUP, find: FLUSHED_SNAPSHOT, replace: FLUSHED_SNAPSHOT.split('\n')[1] },
    ],
  },
  {
    name: 'list-error-is-empty',
    why: 'a listing that fails is taken for one of nothing',
    profiles: ['cloud', 'local'],
    edits: [
      {
        file: 'src/repository/repository.ts',
        find: 'const files = await this.backend.list(folder, operation)',
        replace: 'const files = await this.backend.list(folder, operation).catch(() => [])',
      },
    ],
  },
  {
    name: 'unconfirmed-not-needed',
    why: 'a prune takes no account of snapshots that were not confirmed',
    profiles: ['cloud', 'local'],
    edits: [
      {
        file: 'src/engine/prune/prune-view.ts',
        find: 'await used.walk(needed.snapshots, unconfirmed)',
        replace:
          'await used.walk(needed.snapshots.filter(({ id }) => !unconfirmed.has(id)), unconfirmed)',
      },
      {
        file: SWEEP,
        find: SECOND_WALK,
        replace:
          'const open = unconfirmedOf(needed, isSettled)\n' +
          '  await used.walk(needed.snapshots.filter(({ id }) => !open.has(id)), open)',
      },
    ],
  },
  {
    name: 'settled-by-sessions-alone',
    why: 'a snapshot whose run began after the sessions were listed counts as confirmed',
    tests: RACES,
    edits: [
      {
        file: 'src/repository/sessions.ts',
        find: 'before.has(name) && !open.has(',
        replace: 'name.length <= 64 && !open.has(',
      },
    ],
  },
  {
    name: 'sweep-beside-sessions',
    why: 'a sweeper does not look for runs that began before its intent was there',
    profiles: ['calm', 'cloud'],
    edits: [
      {
        file: SWEEP,
        find: 'if (sessions.some((session) => blocks(session, oldest)))',
        replace: 'if (sessions.every((session) => blocks(session, oldest)) && sessions.length < 0)',
      },
    ],
  },
  {
    name: 'prune-no-second-look',
    why: 'a sweeper takes no account of snapshots that came before its intent was written',
    profiles: ['race', 'cloud'],
    edits: [
      {
        file: SWEEP,
        find: SECOND_WALK,
        replace: 'await used.walk([], unconfirmedOf(needed, isSettled))',
      },
    ],
  },
  {
    name: 'prune-without-intent',
    why: 'a sweeper removes packs without an intent',
    profiles: ['race', 'calm'],
    edits: [
      {
        file: SWEEP,
        find: "saveMark(repository, 'sweep', packs, operation.signal)",
        replace: "saveMark(repository, 'mark', packs, operation.signal)",
      },
    ],
  },
  {
    name: 'prune-intent-withdrawn',
    why: 'an intent is removed before the packs that it names',
    profiles: ['race', 'cloud'],
    edits: [
      {
        file: SWEEP,
        find: '  await removePacks(context, input.view, doomed, decision.listed)\n',
        replace:
          '  await removeMarks(context, mark === undefined ? [intent] : [intent, mark])\n' +
          '  await removePacks(context, input.view, doomed, decision.listed)\n',
      },
    ],
  },
  {
    name: 'marks-do-not-doom-copies',
    why: 'a copy in a pack that somebody is about to remove counts as one that stays',
    profiles: ['race', 'cloud'],
    edits: [
      {
        file: SWEEP,
        find: 'doomedBy([...marks, ...view.marks, intent])',
        replace: 'doomedBy([])',
      },
    ],
  },
  {
    name: 'marks-cleared-by-age',
    why: 'marks and intents go when they are old, whatever they name',
    tests: RACES,
    edits: [
      {
        file: 'src/engine/prune/execute.ts',
        find: 'return isCertain && !stored.mark.packs.some((name) => listed.has(name))',
        replace: 'return isCertain && listed.size >= 0',
      },
    ],
  },
  {
    name: 'repacked-index-lost',
    why: 'an index file is replaced by nothing',
    profiles: ['race', 'calm'],
    edits: [
      {
        file: 'src/engine/prune/replace-index.ts',
        find: '    // The last file names what all of them replace',
        replace:
          '    if (names.length > 0) break\n    // The last file names what all of them replace',
      },
    ],
  },
  {
    name: 'sweeps-at-once-on-weak-listings',
    why: 'packs are removed at once though listings lag',
    profiles: ['weak'],
    edits: [
      {
        file: 'src/engine/prune/plan.ts',
        find: "return isAlone && repository.backend.listsConsistently ? 'now' : 'later'",
        replace: "return isAlone && repository.backend.location !== '' ? 'now' : 'later'",
      },
    ],
  },
  {
    name: 'fresh-packs-must-be-listed',
    why: 'a backup takes its own packs for lost as long as a lagging listing does not show them',
    tests: RACES,
    edits: [
      {
        file: LOST,
        find: 'if (backend.listsConsistently) return',
        replace: "if (backend.location !== '') return",
      },
    ],
  },
  {
    name: 'tombstone-after-snapshot',
    why: 'a snapshot is removed before its tombstone is written',
    profiles: ['cloud', 'local'],
    edits: [
      {
        file: 'src/repository/tombstones.ts',
        find:
          '  const known = (await repository.tombstones(options)).map(({ id }) => id)\n' +
          '  await saveTombstones(',
        replace:
          '  const gone = items.map(({ snapshot }) => snapshot.name)\n' +
          '  await removeSnapshotFiles(repository, gone, options)\n' +
          '  const known = (await repository.tombstones(options)).map(({ id }) => id)\n' +
          '  await saveTombstones(',
      },
    ],
  },
  {
    name: 'salt-from-randomness-alone',
    why: 'the key of a file comes from random bytes alone, which a cloned machine repeats',
    profiles: ['cloud'],
    edits: [
      {
        file: 'src/crypto/key-hierarchy.ts',
        find: 'concat(entropy.hedge, numbers, entropy.sessionId, entropy.content)',
        replace: 'concat(entropy.hedge, numbers.subarray(20))',
      },
    ],
  },
]
