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
const PRUNE_TEST = 'test/engine/prune/prune.test.ts'
const CLOCKS = 'test/engine/prune/clocks.test.ts'
const UNSETTLED = 'test/engine/backup/unsettled.test.ts'
const LOCAL_FAULTS = 'test/storage/local/local-faults.test.ts'
const LOCAL_CRASH = 'test/storage/local/local-crash.test.ts'
const CHANGE_KEYS = 'test/repository/change-keys.test.ts'
const PLANTED = 'test/source/node-target-planted.test.ts'
const RACES = { file: 'test/engine/prune/races.test.ts' }

/** Each `find` is in its file exactly once (mutants.test.ts). */
export const MUTANTS = [
  {
    name: 'backup-no-final-look',
    why: 'a backup does not look again at marks and packs once its snapshot is written',
    tests: { ...INTERLEAVING, name: 'a backup at its last looks' },
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
    tests: { ...INTERLEAVING, name: 'a backup at its last looks' },
    edits: [{ file: LOST, find: LOST_PACKS, replace: 'names.filter((name) => missing.has(name))' }],
  },
  {
    name: 'backup-no-final-packs',
    why: 'the last look of a backup does not list packs',
    tests: { ...INTERLEAVING, name: 'a backup at its last looks' },
    edits: [{ file: LOST, find: LOST_PACKS, replace: 'names.filter((name) => doomed.has(name))' }],
  },
  {
    name: 'backup-final-look-swapped',
    why: 'the last look of a backup lists packs before marks',
    tests: { ...INTERLEAVING, name: 'a backup at its last looks' },
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
    // Where files can be read again, the next pass stores again what it lacks.
    tests: { file: 'test/engine/backup/prune-race.test.ts', name: 'a stream' },
    edits: [
      {
        file: BACKUP,
        find: '      await takeBack(repository, session, saved)\n',
        replace: '',
      },
    ],
  },
  {
    name: 'session-ends-unconfirmed',
    why: 'a run that could not look again at its snapshot ends as if it had',
    tests: { ...INTERLEAVING, name: 'could not look again' },
    edits: [{ file: BACKUP, find: 'if (!dryRun && isOver) await', replace: 'if (!dryRun) await' }],
  },
  {
    name: 'unsettled-named',
    why: 'a snapshot names others that their runs may still take back, or that a power cut may',
    profiles: ['local', 'race'],
    edits: [
      {
        file: 'src/repository/snapshots.ts',
        find: 'seen.snapshots.filter(settledForGood(repository, seen.isSettled))',
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
    // An index file that is durable before its packs is harmless alone: an entry counts only with a
    // listed pack (listed-packs-not-asked). A snapshot is not.
    name: 'snapshot-before-packs-durable',
    why: 'a snapshot is written before the packs that it needs are durable',
    tests: { file: 'test/engine/backup/crash.test.ts', name: 'torn the call A1 A2' },
    edits: [
      {
        file: 'src/repository/pack-store.ts',
        find: '    await repository.backend.flush(operation)\n    const body = encodeIndexFile',
        replace: '    const body = encodeIndexFile',
      },
      {
        file: 'src/repository/pack-store.ts',
        find:
          "    await repository.saveObject('index', body, signal)\n" +
          '    await repository.backend.flush(operation)\n',
        replace: "    await repository.saveObject('index', body, signal)\n",
      },
    ],
  },
  {
    name: 'list-error-is-empty',
    why: 'a listing that fails is taken for one of nothing',
    profiles: ['cloud', 'local'],
    edits: [
      {
        file: 'src/repository/repository.ts',
        find: 'const files = await this.backend.list(folder, { signal })',
        replace:
          'const files = await this.backend\n' +
          '      .list(folder, { signal })\n' +
          '      .catch((): FileInfo[] => [])',
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
    tests: { ...INTERLEAVING, name: 'has its plan before it begins' },
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
    tests: { ...INTERLEAVING, name: 'a backup at its last looks' },
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
    name: 'marks-do-not-doom-on-weak-listings',
    why: 'where listings lag, what is brought back rests on packs that a sweep is about to take',
    tests: { file: 'test/engine/replace-snapshots.test.ts', name: 'where listings lag' },
    edits: [
      {
        file: LOST,
        find: 'backend.listsConsistently ? { phase',
        replace: 'backend !== undefined ? { phase',
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
          '  const known = (await repository.seenTombstones(options)).map(({ id }) => id)\n' +
          '  await saveTombstones(',
        replace:
          '  const gone = items.map(({ snapshot }) => snapshot.name)\n' +
          '  await removeSnapshotFiles(repository, gone, options)\n' +
          '  const known = (await repository.seenTombstones(options)).map(({ id }) => id)\n' +
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
  // Listings and their order
  {
    name: 'sweep-lists-packs-before-marks',
    why: 'a sweeper takes a copy for one that stays which another has removed meanwhile',
    tests: { ...INTERLEAVING, name: 'of two prunes at' },
    edits: [
      {
        file: SWEEP,
        find: '  const marks = await listMarks(repository, operation.signal)\n',
        replace:
          '  await inventory.listPacks(doomedBy([...view.marks, intent]))\n' +
          '  const marks = await listMarks(repository, operation.signal)\n',
      },
      {
        file: SWEEP,
        find: '  await inventory.listPacks(doomedBy([...marks, ...view.marks, intent]))\n',
        replace: '',
      },
    ],
  },
  {
    name: 'snapshots-before-tombstones',
    why: 'snapshots are listed before tombstones, so that of one that is replaced neither counts',
    tests: { ...INTERLEAVING, name: 'takes the place of another' },
    edits: [
      {
        file: 'src/repository/history.ts',
        find: '  const tombstones = await repository.seenTombstones(options)\n',
        replace:
          "  const objects = await repository.loadObjects('snapshots', options)\n" +
          '  const tombstones = await repository.seenTombstones(options)\n',
      },
      {
        file: 'src/repository/history.ts',
        find: "for (const object of await repository.loadObjects('snapshots', options)) {",
        replace: 'for (const object of objects) {',
      },
    ],
  },
  {
    name: 'tombstone-before-replacement',
    why: '`tag` forgets the old snapshot before the new one is written',
    tests: { file: 'test/engine/replace-snapshots.test.ts', name: 'a power cut' },
    edits: [
      {
        file: 'src/engine/replace-snapshots.ts',
        find: '  const saved = await saveSnapshots(',
        replace:
          '  if (!keepOld) {\n' +
          '    const olds = replacements.map(({ old }) => ({ snapshot: old }))\n' +
          '    await forgetSnapshots(repository, olds, operation)\n' +
          '  }\n' +
          '  const saved = await saveSnapshots(',
      },
      {
        file: 'src/engine/replace-snapshots.ts',
        find: 'done.find(({ old }) => forgotten.has(old.id))',
        replace: 'done.find(({ old }) => keepOld && forgotten.has(old.id))',
      },
    ],
  },
  {
    name: 'interrupted-withdrawn',
    why: 'what a run has put in the place of others is withdrawn by one that takes it for dead',
    tests: { file: 'test/engine/interrupted-runs.test.ts', name: 'take each other for dead' },
    edits: [
      {
        file: 'src/engine/interrupted-runs.ts',
        find: '  type ForgetItem,\n',
        replace: '  type ForgetItem,\n  forgetSnapshots,\n',
      },
      {
        file: 'src/engine/interrupted-runs.ts',
        find: '  return over.length === 0 ? view : await lookForInterrupted(repository, options)\n',
        replace:
          '  for (const { session, snapshots } of view.interrupted) {\n' +
          '    const items = snapshots.map((snapshot) => ({ snapshot }))\n' +
          '    await forgetSnapshots(repository, items, options)\n' +
          '    await removeSession(repository, session)\n' +
          '  }\n' +
          '  return await lookForInterrupted(repository, options)\n',
      },
      // Which would make up for it.
      {
        file: 'src/engine/replace-snapshots.ts',
        find: 'standing.push(falling.has(one.id) ? ',
        replace: 'standing.push(falling.size < 0 ? ',
      },
    ],
  },
  {
    name: 'unconfirmed-replaced',
    why: '`tag` and `rewrite` write another in the place of what no run has confirmed',
    tests: { file: 'test/engine/choose-settled.test.ts', name: 'leaves it out' },
    edits: [
      {
        file: 'src/engine/choose-settled.ts',
        find: '    if (view.isSettled(one)) return true\n',
        replace: '    if (view.isSettled(one) || one.body.length > 0) return true\n',
      },
    ],
  },
  {
    name: 'replacement-not-looked-at-again',
    why: '`tag` does not see that what it wrote was forgotten before it has forgotten the old one',
    tests: { file: 'test/engine/interrupted-runs.test.ts', name: 'is written again' },
    edits: [
      {
        file: 'src/engine/replace-snapshots.ts',
        find: 'standing.push(falling.has(one.id) ? ',
        replace: 'standing.push(falling.size < 0 ? ',
      },
    ],
  },
  // Intents, marks and two pruners
  {
    name: 'intent-not-finished',
    why: 'what an intent names that somebody left stays where it is, for whoever wrote it to remove',
    tests: { file: PRUNE_TEST, name: 'an intent that somebody left' },
    edits: [
      {
        file: 'src/engine/prune/plan.ts',
        find: '      doomed: doomedBy(marks),\n',
        replace: '      doomed: doomedBy(marks.slice(marks.length)),\n',
      },
    ],
  },
  {
    name: 'pruners-do-not-meet',
    why: 'a prune goes on although another one is alive',
    tests: { file: PRUNE_TEST, name: 'C3' },
    edits: [
      {
        file: 'src/engine/prune/prune-view.ts',
        find: '  if (other === undefined) return\n',
        replace: "  if (other === undefined || other.author !== '') return\n",
      },
    ],
  },
  {
    name: 'marks-of-others-not-seen',
    why: 'a sweeper does not look for intents that came after its plan',
    tests: { ...INTERLEAVING, name: 'of two prunes at' },
    edits: [
      {
        file: SWEEP,
        find: '  const marks = await listMarks(repository, operation.signal)\n',
        replace: '  const marks = view.marks\n',
      },
    ],
  },
  // When packs go at once, and which sessions are alive
  {
    name: 'grace-period-ignored',
    why: 'what was marked is removed by the next prune, whenever it comes',
    tests: { file: PRUNE_TEST, name: 'after the grace period' },
    edits: [
      {
        file: 'src/engine/prune/plan.ts',
        find: 'markAgeNs(repository, stored) >= BigInt(settings.graceMs) * NS_PER_MS &&',
        replace: 'markAgeNs(repository, stored) >= BigInt(settings.graceMs) * 0n &&',
      },
    ],
  },
  {
    name: 'mark-age-by-own-clock-alone',
    why: 'a mark from the future counts as old as it is far ahead',
    tests: { file: CLOCKS, name: 'does not ripen early' },
    edits: [
      {
        file: 'src/repository/marks.ts',
        find: 'return age > 0n ? age : 0n',
        replace: 'return age > 0n ? age : -age',
      },
    ],
  },
  {
    name: 'future-beat-is-dead',
    why: 'a session whose clock is ahead counts as dead',
    tests: { file: CLOCKS, name: 'in the future is alive' },
    edits: [
      {
        file: 'src/repository/sessions.ts',
        find: 'return ageNs(beat, repository) < ALIVE_NS',
        replace:
          'const age = ageNs(beat, repository)\n' +
          '  return age < ALIVE_NS && age > -1_000_000_000n',
      },
    ],
  },
  {
    name: 'process-elsewhere-looked-for-here',
    why: 'a session of another machine counts as dead because no process here has its number',
    tests: { file: 'test/engine/unlock.test.ts', name: 'certainly dead' },
    edits: [
      {
        file: 'src/repository/sessions.ts',
        find: "process.bootId !== '' && bootId === process.bootId && hostname === process.hostname",
        replace: "process.bootId !== '' && bootId === process.bootId",
      },
    ],
  },
  // What was not confirmed
  {
    name: 'prune-ends-dead-sessions',
    why: 'a prune removes the sessions of dead backups, so that what they left counts as confirmed',
    tests: { file: UNSETTLED, name: 'leaves the session of a dead run' },
    edits: [
      {
        file: 'src/engine/prune/prune.ts',
        find: 'if (isAlive || beat.role !== SESSION_ROLE.pruner) continue',
        replace: 'if (isAlive || beat.role > SESSION_ROLE.pruner) continue',
      },
    ],
  },
  {
    name: 'dead-sessions-listed-last',
    why: 'a dead session is judged by snapshots that were listed before it died',
    tests: { file: UNSETTLED, name: 'is not just believed' },
    edits: [
      {
        file: BACKUP,
        find: 'await resolveDeadSessions(repository, environment, signal)',
        replace: 'await resolveDeadSessions(repository, environment, signal, seen.snapshots)',
      },
      {
        file: 'src/engine/backup/dead-sessions.ts',
        find: '  signal: AbortSignal,\n): Promise<void> {',
        replace: '  signal: AbortSignal,\n  seen: readonly Snapshot[],\n): Promise<void> {',
      },
      {
        file: 'src/engine/backup/dead-sessions.ts',
        find: 'const kept = [...history.snapshots, ...history.replaced].filter(',
        replace: 'const kept = seen.filter(',
      },
    ],
  },
  {
    name: 'confirmed-taken-back-silently',
    why: 'a snapshot that others have confirmed, and may have named, is taken back without a tombstone',
    tests: { file: UNSETTLED, name: 'took for dead' },
    edits: [
      {
        file: LOST,
        find: 'if (!(await session.wasEnded())) {',
        replace: 'if (session !== undefined) {',
      },
      {
        file: LOST,
        find: 'if (!(await session.wasEnded())) return',
        replace: 'return',
      },
    ],
  },
  {
    name: 'checkpoint-left-open',
    why: 'a checkpoint that could not be looked at again is forgotten when the run ends',
    tests: { file: 'test/engine/backup/checkpoint.test.ts', name: 'may lack something' },
    edits: [
      {
        file: 'src/engine/backup/checkpoints.ts',
        find: 'return this.#unconfirmed.length > 0 || this.#failedSaves > 0',
        replace: 'return this.#unconfirmed.length < 0',
      },
    ],
  },
  {
    name: 'slept-session-not-renewed',
    why: 'a run that slept writes a snapshot though somebody has removed its session meanwhile',
    tests: { file: UNSETTLED, name: 'a run that slept' },
    edits: [
      {
        file: BACKUP,
        find: '    await session.renew(signal)\n    this.#isUnconfirmed = true\n',
        replace: '    this.#isUnconfirmed = true\n',
      },
    ],
  },
  {
    name: 'removed-session-not-renewed',
    why: 'a run whose session somebody removed, who took it for dead, writes a snapshot without one',
    tests: { file: UNSETTLED, name: 'dies right after its snapshot' },
    edits: [
      {
        file: 'src/repository/sessions.ts',
        find: 'if (ageNs > RENEWED_AFTER_NS || (await this.wasEnded())) await',
        replace: 'if (ageNs > RENEWED_AFTER_NS) await',
      },
    ],
  },
  {
    name: 'unlock-ends-unconfirmed',
    why: '`unlock` removes the session of a snapshot that was not confirmed',
    tests: { file: 'test/engine/unlock.test.ts', name: 'an unconfirmed snapshot' },
    edits: [
      {
        file: 'src/engine/unlock.ts',
        find: 'if (withSnapshot.has(toHex(session.beat.sessionId))) {',
        replace: 'if (withSnapshot.has(toHex(session.beat.sessionId)) && session.isAlive) {',
      },
    ],
  },
  // Tombstones
  {
    name: 'tombstone-without-body',
    why: 'a tombstone keeps nothing of what it forgets',
    tests: {
      file: 'test/engine/replace-snapshots.test.ts',
      name: 'brings back what was forgotten',
    },
    edits: [
      {
        file: 'src/repository/tombstones.ts',
        find: '    body: snapshot.body,\n',
        replace: '    body: snapshot.body.slice(snapshot.body.length),\n',
      },
    ],
  },
  {
    name: 'merged-tombstones-go-first',
    why: 'tombstones are removed before the one that takes their place is durable',
    tests: { file: 'test/repository/tombstones.test.ts', name: 'one tombstone of many' },
    edits: [
      {
        file: 'src/repository/tombstones.ts',
        find:
          '  await saveTombstones(repository, items, names, signal)\n' +
          '  for (const { name } of small) {\n' +
          "    await repository.backend.remove({ kind: 'retired', name }, { signal })\n" +
          '  }\n',
        replace:
          '  for (const { name } of small) {\n' +
          "    await repository.backend.remove({ kind: 'retired', name }, { signal })\n" +
          '  }\n' +
          '  await saveTombstones(repository, items, names, signal)\n',
      },
    ],
  },
  // A full disk
  {
    name: 'prune-repacks-first',
    why: 'a prune needs space before it frees any',
    tests: { file: 'test/engine/prune/crash.test.ts', name: 'F38' },
    edits: [
      {
        file: 'src/engine/prune/execute.ts',
        find:
          '    await this.#doom(remove)\n' +
          '    await this.#adopt()\n' +
          '    const emptied = await this.#repack()\n',
        replace:
          '    await this.#adopt()\n' +
          '    const emptied = await this.#repack()\n' +
          '    await this.#doom(remove)\n',
      },
    ],
  },
  {
    name: 'index-needed-to-free-space',
    why: 'a prune removes no pack where there is no space for an index file',
    tests: { file: 'test/engine/prune/crash.test.ts', name: 'F38' },
    edits: [
      {
        file: SWEEP,
        find: "      if (!isCairnError(error, 'CAIRN_STORAGE_REFUSED')) throw error\n    }\n  }\n  await",
        replace: '      throw error\n    }\n  }\n  await',
      },
    ],
  },
  // What a machine does to bytes on their way
  {
    name: 'sealed-not-opened',
    why: 'what bad memory or a bad compressor made of the data is stored',
    tests: { file: 'test/pipeline/pack-writer.test.ts', name: 'B32' },
    edits: [
      {
        file: 'src/pipeline/pack-writer.ts',
        find: '    if (!verify || !isDue) return\n',
        replace: '    if (!verify || !isDue || end > 0) return\n',
      },
      {
        file: 'src/pipeline/pack-writer.ts',
        find: '    const end = offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(storedBytes)\n',
        replace: '',
      },
      {
        file: 'src/pipeline/pack-writer.ts',
        find: '    const { kind, verify, keys } = this.#options\n    const isDue',
        replace:
          '    const { kind, verify, keys } = this.#options\n' +
          '    const end = offset + SEGMENT_HEADER_BYTES + segmentBodyBytes(storedBytes)\n' +
          '    const isDue',
      },
    ],
  },
  {
    name: 'failed-sync-repeated',
    why: 'a sync that has failed is tried again, and then succeeds without the data',
    tests: { file: LOCAL_FAULTS, name: 'B14' },
    edits: [
      {
        file: 'src/storage/local/atomic-save.ts',
        find: '    await fs.fsync(descriptor)\n',
        replace: '    await fs.fsync(descriptor).catch(() => fs.fsync(descriptor))\n',
      },
    ],
  },
  {
    name: 'directories-not-synced',
    why: 'a new file is durable, and its name is not',
    tests: { file: LOCAL_CRASH, name: 'LocalBackend and power cuts' },
    edits: [
      {
        file: 'src/storage/local/directory-sync.ts',
        find: '        await syncDirectory(this.#fs, directory)\n',
        replace: "        if (directory === '') await syncDirectory(this.#fs, directory)\n",
      },
    ],
  },
  // Keys
  {
    name: 'old-key-goes-first',
    why: 'the old key is removed before the revision that lists the new one is durable',
    tests: { file: CHANGE_KEYS, name: 'A8: passwd' },
    edits: [
      {
        file: 'src/repository/change-keys.ts',
        find: "    await backend.save({ kind: 'config', name }, bytes, this.#operation)\n",
        replace:
          "    for (const one of removed) await backend.remove({ kind: 'keys', name: one })\n" +
          '    await backend.flush()\n' +
          "    await backend.save({ kind: 'config', name }, bytes, this.#operation)\n",
      },
    ],
  },
  // Restoring and forgetting
  {
    name: 'restore-follows-links',
    why: 'a restore goes through a link that was planted in its target',
    tests: { file: PLANTED, name: 'no operation goes through a planted link' },
    edits: [
      {
        file: 'src/source/directory-handles.ts',
        find: 'const flags = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW',
        replace: 'const flags = O_PATH | constants.O_DIRECTORY',
      },
    ],
  },
  {
    name: 'tail-of-longer-file-stays',
    why: 'a file that begins with what is restored counts as restored, whatever comes after',
    tests: { file: 'test/engine/restore/existing.test.ts', name: 'R2 always' },
    edits: [
      {
        file: 'src/engine/restore/overwrite.ts',
        find: 'existing.size === entry.size &&',
        replace: 'existing.size >= entry.size &&',
      },
      {
        file: 'src/pipeline/restore-compare.ts',
        find: 'existing.stat.size === (job.files.sizes[file] ?? 0) &&',
        replace: 'existing.stat.size >= (job.files.sizes[file] ?? 0) &&',
      },
    ],
  },
  {
    name: 'short-content-accepted',
    why: 'a frame with less content than stated leaves the end of the buffer as it was',
    tests: { file: 'test/compression/zstd.test.ts', name: 'another length' },
    edits: [
      {
        file: 'src/compression/zstd.ts',
        find: 'codec.decompress(target, input) === plainBytes',
        replace: 'codec.decompress(target, input) <= plainBytes',
      },
      {
        file: 'src/compression/zstd.ts',
        find: '!isOneFrame(input, plainBytes)',
        replace: 'input.byteLength === 0',
      },
    ],
  },
  {
    name: 'landed-by-any-clock',
    why: 'what died an hour ago by a clock that is days off may still send its snapshot',
    tests: { file: 'test/engine/prune/clocks.test.ts', name: 'a clock days behind' },
    edits: [
      {
        file: 'src/repository/sessions.ts',
        find: 'isHere(beat, repository) ? LANDED_NS : LANDED_ELSEWHERE_NS',
        replace: 'LANDED_NS',
      },
    ],
  },
  {
    name: 'type-not-in-id',
    why: 'the bytes of a node of one type have the same id as a node of another',
    tests: { file: 'test/format/worked-example.test.ts' },
    edits: [
      {
        file: 'src/pipeline/keys.ts',
        find: 'this.#scratch[0] = type',
        replace: 'this.#scratch[0] = 0',
      },
    ],
  },
  {
    name: 'future-snapshots-counted',
    why: 'a snapshot from a clock that was ahead takes the place of a real one',
    tests: { file: 'test/engine/forget/policy.test.ts', name: 'G: a clock that was ahead' },
    edits: [
      {
        file: 'src/engine/forget/policy.ts',
        find: '!one.isPartial && one.isConfirmed && one.timeNs <= nowNs + AHEAD_NS',
        replace: '!one.isPartial && one.isConfirmed',
      },
    ],
  },
]
