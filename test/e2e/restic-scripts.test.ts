/**
 * Scripts that were written for restic do with cairn what they did, once the name and the prefix of
 * the variables are replaced. What each has to print stands beside it; where restic is installed, it
 * runs them too. `since` is the version of restic from which on it does so.
 */

import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { hasRestic, isInstalled, runScript } from '../support/restic-script.ts'

const hasJq = isInstalled('jq')
const version = spawnSync('restic', ['version'], { encoding: 'utf8' }).stdout ?? ''
const resticMinor = Number(/^restic 0\.(\d+)/.exec(version)?.[1] ?? 0)

interface Script {
  readonly title: string
  readonly text: string
  readonly prints: readonly string[]
  readonly needsJq?: boolean
  readonly asNobody?: boolean
  /** The minor version of restic 0.x which first did this. */
  readonly since?: number
}

const PLANT = `
set -e
mkdir -p source/docs source/build/deep source/node_modules/x source/logs/old
echo alpha > source/docs/a.txt; echo beta > source/docs/b.txt; echo tmp > source/docs/c.tmp
echo obj > source/build/deep/main.o; echo keep > source/build/deep/keep.o; echo js > source/node_modules/x/i.js
echo 1 > source/logs/1.log; echo 2 > source/logs/old/2.log; echo '#' > 'source/#notes'; echo d > 'source/docs/$d'
ln -s a.txt source/docs/link; ln source/docs/a.txt source/docs/hard
set +e
`
const LIST = `restic ls --json latest | jq -r 'select(.struct_type == "node" and .type != "dir") | .path' | sed 's,.*/source/,,' | LC_ALL=C sort`
const QUIET_BACKUP = 'restic init >/dev/null && restic backup -q --host h "$PWD/source" || exit 9'

const SCRIPTS: readonly Script[] = [
  {
    title: 'a file of excludes: comments, variables, anchors, double stars and exceptions',
    needsJq: true,
    text: `${PLANT}
export SKIPPED=logs
cat > excludes <<EOF
# what can be made again

node_modules
*.o
!keep.o
*.tmp
$PWD/source/\\$SKIPPED/old/
docs/**/[b-c].txt
\\$\\$d
EOF
restic init >/dev/null
restic backup -q --exclude-file excludes "$PWD/source" || exit 9
${LIST}`,
    prints: ['#notes', 'build/deep/keep.o', 'docs/a.txt', 'docs/hard', 'docs/link', 'logs/1.log'],
  },
  {
    title: 'excludes on the command line, of either case, by size, by tag file and by other file',
    needsJq: true,
    text: `${PLANT}
mkdir source/cache source/marked
echo 'Signature: 8a477f597d28d172789f06886806bc55' > source/cache/CACHEDIR.TAG; echo x > source/cache/x
touch source/marked/.nobackup source/marked/y; head -c 20000 /dev/zero > source/large
restic init >/dev/null
restic backup -q --iexclude '*.TXT' --exclude 'node_*' -e logs --exclude-caches \\
  --exclude-if-present .nobackup --exclude-larger-than 10K -x source || exit 9
restic ls --json latest | jq -r 'select(.type == "file") | .path' | LC_ALL=C sort`,
    prints: [
      '/source/#notes',
      '/source/build/deep/keep.o',
      '/source/build/deep/main.o',
      '/source/cache/CACHEDIR.TAG',
      '/source/docs/$d',
      '/source/docs/c.tmp',
      '/source/docs/hard',
      '/source/marked/.nobackup',
    ],
  },
  {
    title: 'lists of sources: patterns, verbatim and with NUL',
    needsJq: true,
    text: `${PLANT}
restic init >/dev/null
printf '# comment\\nsource/docs/*.txt\\n\\n' > patterns
printf 'source/#notes\\n' > names
printf 'source/docs/$d\\0' > raw
restic backup -q --files-from patterns --files-from-verbatim names --files-from-raw raw || exit 9
restic ls --json latest | jq -r 'select(.type == "file") | .path' | LC_ALL=C sort`,
    prints: ['/source/#notes', '/source/docs/$d', '/source/docs/a.txt', '/source/docs/b.txt'],
  },
  {
    title: 'a nightly job: made on first use, exit codes told apart, retention, check',
    asNobody: true,
    text: `${PLANT}
log() { echo "backup: $*"; }
nightly() {
  restic cat config >/dev/null 2>&1 || { restic init >/dev/null || exit 1; log created; }
  restic unlock >/dev/null 2>&1
  restic backup --quiet --host "$1" --tag nightly --exclude-caches "$PWD/source" >/dev/null 2>errors
  case $? in
    0) log done ;;
    3) log incomplete; grep -c 'source/docs/b.txt' errors ;;
    *) log failed; return 1 ;;
  esac
  restic forget --quiet --tag nightly --keep-last 2 --keep-within 0h --prune >/dev/null || log 'not forgotten'
  restic check >/dev/null 2>&1 && log checked
}
nightly h
chmod 0 source/docs/b.txt
nightly h; nightly h; nightly other
restic snapshots --json | tr , '\\n' | grep -c '"hostname":"h"'
RESTIC_PASSWORD=wrong restic snapshots >/dev/null 2>&1 || log 'wrong password'
restic -r "$PWD/nowhere" snapshots >/dev/null 2>&1 || log 'no repository'
restic backup "$PWD/none" >/dev/null 2>&1 || log 'no source'
restic restore latest --target >/dev/null 2>&1 || log 'usage'`,
    prints: [
      'backup: created',
      'backup: done',
      'backup: checked',
      ...[
        'incomplete',
        '1',
        'checked',
        'incomplete',
        '1',
        'checked',
        'incomplete',
        '1',
        'checked',
      ].map((word) => (word === '1' ? word : `backup: ${word}`)),
      '2',
      'backup: wrong password',
      'backup: no repository',
      'backup: no source',
      'backup: usage',
    ],
  },
  {
    title: 'exit codes that scripts tell apart',
    since: 19,
    text: `${PLANT}
restic snapshots >/dev/null 2>&1; echo "no repository $?"
restic init >/dev/null 2>&1; echo "init $?"
restic init >/dev/null 2>&1; echo "init again $?"
RESTIC_PASSWORD=wrong restic snapshots >/dev/null 2>&1; echo "wrong password $?"
restic backup -q source none >/dev/null 2>&1; echo "missing source $?"
restic backup -q none >/dev/null 2>&1; echo "no source $?"
restic ls abcdef12 >/dev/null 2>&1; echo "no snapshot $?"
restic dump latest /none >/dev/null 2>&1; echo "no path $?"
restic find none >/dev/null 2>&1; echo "nothing found $?"
restic check >/dev/null 2>&1; echo "check $?"
restic prune >/dev/null 2>&1; echo "prune $?"`,
    prints: [
      'no repository 10',
      'init 0',
      'init again 1',
      'wrong password 12',
      'missing source 3',
      'no source 1',
      'no snapshot 1',
      'no path 1',
      'nothing found 0',
      'check 0',
      'prune 0',
    ],
  },
  {
    title: 'secrets and places from files and commands',
    text: `${PLANT}
echo "$RESTIC_REPOSITORY" > where; printf 'other secret\\n' > secret
unset RESTIC_REPOSITORY RESTIC_PASSWORD
export RESTIC_REPOSITORY_FILE="$PWD/where" RESTIC_PASSWORD_COMMAND="cat $PWD/secret"
restic init >/dev/null && echo made
unset RESTIC_PASSWORD_COMMAND
export RESTIC_PASSWORD_FILE="$PWD/secret"
restic backup -q source && echo saved
unset RESTIC_PASSWORD_FILE RESTIC_REPOSITORY_FILE
restic --repo repository --password-file secret snapshots >/dev/null && echo listed
restic -r repository -p secret --no-cache --no-lock list snapshots | wc -l | tr -d ' '`,
    prints: ['made', 'saved', 'listed', '1'],
  },
  {
    title: 'a database from a pipe, and back',
    text: `restic init >/dev/null
printf 'create table t;\\n' | restic backup -q --stdin --stdin-filename db.sql --tag db || exit 9
restic dump -q latest db.sql
restic dump -q --tag db latest /db.sql | wc -c | tr -d ' '`,
    prints: ['create table t;', '16'],
  },
  {
    title: 'one file back, one directory back, and an archive of it',
    text: `${PLANT}
${QUIET_BACKUP}
restic restore -q latest --target out --include "$PWD/source/docs/a.txt" >/dev/null || exit 8
(cd out && find . -type f | sed 's,.*/source/,,')
restic restore -q "latest:$PWD/source/logs" --target plain >/dev/null 2>&1
restic restore -q latest --target all --exclude '*.o' >/dev/null || exit 8
diff -r source "all/$PWD/source" | sed 's,.*/,,'
restic dump latest "$PWD/source/docs" | tar t | sed 's,.*source/,,' | grep -v '/$' | LC_ALL=C sort
restic dump -a zip latest "$PWD/source/docs" | head -c 2`,
    prints: [
      'docs/a.txt',
      'deep: keep.o',
      'deep: main.o',
      'docs/$d',
      'docs/a.txt',
      'docs/b.txt',
      'docs/c.tmp',
      'docs/hard',
      'docs/link',
      'PK',
    ],
  },
  {
    title: 'snapshots by host, tag and path; tags changed; one forgotten by its short id',
    needsJq: true,
    text: `${PLANT}
${QUIET_BACKUP}
restic backup -q --host h --tag one,two "$PWD/source/docs" || exit 9
restic backup -q --host other --tag three "$PWD/source" 2>/dev/null || exit 9
count() { restic snapshots --json "$@" | jq length; }
count; count --host h; count --host h --host other; count --tag one,two; count --tag one --tag three; count --tag ''
count --path "$PWD/source/docs"; count --latest 1
restic snapshots --json --group-by host,tags | jq -c '[.[] | [.group_key.hostname, .group_key.tags, (.snapshots | length)]] | sort'
restic tag --tag one --add four --remove one >/dev/null
restic snapshots --json --tag four | jq -c '(.[0].tags | sort), (.[0].original | length)'
id=$(restic snapshots --json --host other | jq -r '.[0].short_id')
restic forget -q "$id" >/dev/null && count
restic tag --host h --set x >/dev/null; count --tag x`,
    prints: [
      '3',
      '2',
      '3',
      '1',
      '2',
      '1',
      '1',
      '3',
      '[["h",null,1],["h",["one","two"],1],["other",["three"],1]]',
      '["four","two"]',
      '64',
      '2',
      '2',
    ],
  },
  {
    title: 'a pipeline over the summary of a backup',
    needsJq: true,
    text: `${PLANT}
restic init >/dev/null
fields='select(.message_type == "summary") | [.files_new, .files_changed, .files_unmodified, .dirs_changed, .total_files_processed, .total_bytes_processed, (.snapshot_id | type), (.total_duration < 600), (.data_added > 0)]'
restic backup --json "$PWD/source" | jq -c "$fields"
echo more >> source/docs/a.txt
rm source/docs/hard
restic backup --json "$PWD/source" | jq -c "$fields"
restic backup -vv --json "$PWD/source/docs" | jq -rs '[.[] | select(.message_type == "verbose_status" and (.item | test("source/docs/[ab].txt$"))) | .action] | join(" ")'
restic snapshots --json | jq -c '[.[] | (.paths | length), (.time | test("^20.*Z$|[+]00:00$"))]'`,
    prints: [
      '[11,0,0,0,11,41,"string",true,true]',
      '[0,1,9,4,10,40,"string",true,true]',
      'new new',
      '[1,true,1,true,1,true]',
    ],
  },
  {
    title: 'pipelines over ls, find, diff, stats and key list',
    needsJq: true,
    text: `${PLANT}
${QUIET_BACKUP}
echo more >> source/docs/a.txt; rm source/docs/hard; ln -sf b.txt source/docs/link; mkdir source/new; chmod 600 source/docs/b.txt
restic backup -q --host h "$PWD/source" || exit 9
ids=$(restic snapshots --json | jq -r '.[].id')
restic ls --json latest "$PWD/source/docs" | jq -c 'select(.struct_type == "node" and .type != "dir") | [.name, .type, .size, .mode, .permissions]'
restic find --json '*.log' | jq -c '[length, (.[0] | .hits, (.matches | length), (.matches[0] | .type, .mode, .size, .permissions))]'
restic find --json none | jq -c .
restic diff --json $ids | jq -c 'select(.message_type == "change") | [.modifier, (.path | sub(".*/source/"; ""))]'
restic diff --json --metadata $ids | jq -c 'select(.modifier == "U") | .path | sub(".*/source/"; "")' | grep b.txt
restic diff --json $ids | jq -c 'select(.message_type == "statistics") | [.changed_files, .added.files, .added.dirs, .removed.files, .removed.data_blobs, (.added.bytes > 0)]'
restic stats --json latest | jq -c '[.total_size, .total_file_count]'
restic stats --json --mode files-by-contents | jq -c '[.total_size, .total_file_count]'
restic stats --json --mode raw-data | jq -c '[(.total_size > 0), (.total_blob_count > 0)]'
restic key list --json | jq -c '[.[] | .current, (.id | type), (.userName | type), (.hostName | type), (.created | test("^20..-..-.. ..:..:..$"))]'`,
    prints: [
      '["$d","file",2,420,"-rw-r--r--"]',
      '["a.txt","file",11,420,"-rw-r--r--"]',
      '["b.txt","file",5,384,"-rw-------"]',
      '["c.tmp","file",4,420,"-rw-r--r--"]',
      '["link","symlink",null,134218239,"Lrwxrwxrwx"]',
      '[2,2,2,"file",420,2,"-rw-r--r--"]',
      '[]',
      '["M","docs/a.txt"]',
      '["-","docs/hard"]',
      '["+","new/"]',
      '"docs/b.txt"',
      '[1,0,1,1,1,true]',
      '[40,22]',
      '[46,12]',
      '[true,true]',
      '[true,"string","string","string",true]',
    ],
  },
  {
    title: 'a pipeline over what a policy keeps and removes',
    needsJq: true,
    text: `${PLANT}
restic init >/dev/null
for day in 1 2 3 4; do restic backup -q --host h --time "2025-03-0$day 01:00:00" "$PWD/source" || exit 9; done
policy='--keep-daily 2 --group-by host'
restic forget $policy --dry-run --json | sed -n 1p | jq -c '.[] | [.host, .paths, .tags, [.keep[].time[0:10]], [.remove[].time[0:10]], .reasons[0].matches, .reasons[0].counters, .reasons[0].snapshot.hostname]'
restic forget $policy --prune --json | sed -n 1p | jq -c '[.[] | (.keep | length), (.remove | length)]'
restic forget $policy --json | sed -n 1p | jq -c '[.[] | (.keep | length), (.remove | type)]'
restic forget --json latest | wc -c | tr -d ' '
restic snapshots --json | jq length`,
    prints: [
      '["h",null,null,["2025-03-04","2025-03-03"],["2025-03-02","2025-03-01"],["daily snapshot"],{"daily":1},"h"]',
      '[2,2]',
      '[2,"null"]',
      '0',
      '1',
    ],
  },
  {
    title: 'JSON of init, tag, check, restore, prune and version',
    needsJq: true,
    since: 19,
    text: `${PLANT}
restic init --json | jq -c '[.message_type, (.id | type), (.repository | type)]'
restic backup -q --host h "$PWD/source" || exit 9
restic tag --json --add x latest | jq -c '[.message_type, (.old_snapshot_id | type), (.new_snapshot_id | type), .changed_snapshots]'
restic check --json 2>/dev/null | jq -c '[.message_type, .num_errors, .broken_packs, .suggest_repair_index, .suggest_prune]'
restic restore --json latest --target out | tail -n 1 | jq -c '[.message_type, .total_files == .files_restored, .total_bytes == .bytes_restored, (.seconds_elapsed // 0 | type)]'
restic version --json | jq -c '[.message_type, (.version | type)]'
restic ls --json latest | jq -c .message_type | LC_ALL=C sort -u
RESTIC_PASSWORD=wrong restic snapshots --json 2>&1 >/dev/null | tail -n 1 | jq -c '[.message_type, .code, (.message | type)]'
restic snapshots --json | jq -c '.[0] | [(.program_version | type), (.summary | .total_files_processed, .total_bytes_processed)]'`,
    prints: [
      '["initialized","string","string"]',
      '["changed","string","string",null]',
      '["summary","null","null",1]',
      '["summary",0,[],false,false]',
      '["summary",true,true,"number"]',
      '["version","string"]',
      '"node"',
      '"snapshot"',
      '["exit_error",12,"string"]',
      '["string",11,41]',
    ],
  },
]

/** What a script printed, line by line. */
function printed(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}

for (const { title, text, prints, needsJq = false, asNobody, since = 0 } of SCRIPTS) {
  describe.skipIf(needsJq && !hasJq)(`${title}${needsJq && !hasJq ? ' (needs jq)' : ''}`, () => {
    test('with cairn', () => {
      const { stdout, stderr } = runScript('cairn', text, { asNobody: asNobody ?? false })
      expect(printed(stdout), stderr).toEqual(prints)
    })

    const isTooOld = hasRestic && resticMinor < since
    const reason = isTooOld ? ` (needs restic 0.${since})` : hasRestic ? '' : ' (needs restic)'
    test.skipIf(reason !== '')(`with restic${reason}`, () => {
      const { stdout, stderr } = runScript('restic', text, { asNobody: asNobody ?? false })
      expect(printed(stdout), stderr).toEqual(prints)
    })
  })
}
