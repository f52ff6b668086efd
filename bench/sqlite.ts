import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import type { SqliteMeasurement, SqliteTask } from './children/sqlite.ts'
import type { SqliteContenderName, Synchronous } from './contenders/sqlite.ts'
import { printTable, printTargets, type Target } from './report.ts'
import { median } from './rounds.ts'

const run = promisify(execFile)
const child = fileURLToPath(new URL('children/sqlite.ts', import.meta.url))
const flags = ['--expose-gc', '--disable-warning=ExperimentalWarning']

interface Comparison {
  kind: 'enqueue' | 'work'
  peer: SqliteContenderName
  /** Our throughput divided by the peer's, at least. */
  wanted: Record<Synchronous, number>
  /** Whoever pays for every job on its own runs fewer. */
  peerJobs: Record<Synchronous, number>
}

const comparisons: Comparison[] = [
  { kind: 'enqueue', peer: 'better-sqlite3', wanted: { FULL: 15, NORMAL: 4 }, peerJobs: { FULL: 10_000, NORMAL: 50_000 } },
  { kind: 'work', peer: 'plainjob', wanted: { FULL: 8, NORMAL: 4 }, peerJobs: { FULL: 5000, NORMAL: 20_000 } }
]
/** Milliseconds. */
const LATENCY_P99 = 2

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, rounds: { type: 'string' } } })
const rounds = Number(values.rounds ?? (values.quick ? 3 : 7))
const share = values.quick ? 0.3 : 1
const JOBS = 100_000
const LATENCY_JOBS = 2000

async function measure (task: SqliteTask): Promise<SqliteMeasurement> {
  const { stdout } = await run(process.execPath, [...flags, child, JSON.stringify({ ...task, jobs: Math.round(task.jobs * share) })])
  return JSON.parse(stdout) as SqliteMeasurement
}

console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]!.model}`)
const targets: Target[] = []
for (const { kind, peer, wanted, peerJobs } of comparisons) {
  const rows: string[][] = []
  for (const synchronous of ['FULL', 'NORMAL'] as const) {
    const ours: number[] = []
    const theirs: number[] = []
    for (let round = 0; round < rounds; round++) {
      theirs.push((await measure({ kind, contender: peer, synchronous, jobs: peerJobs[synchronous] })).value)
      ours.push((await measure({ kind, contender: 'ours', synchronous, jobs: JOBS })).value)
    }
    const ratio = median(theirs) / median(ours)
    rows.push([synchronous, ...[ours, theirs].flatMap((times) => [median(times).toFixed(2), (1e6 / median(times)).toFixed(0)]), ratio.toFixed(1)])
    targets.push({ name: `${kind}, ${synchronous}: ours / ${peer}`, value: ratio, wanted: { min: wanted[synchronous] } })
  }
  printTable(kind === 'enqueue' ? 'Enqueue, 100 in parallel' : 'A backlog worked off, concurrency 100',
    ['synchronous', 'ours, µs a job', 'jobs/s', `${peer}, µs a job`, 'jobs/s', 'ours / theirs'], rows)
}

const rows: string[][] = []
for (const synchronous of ['FULL', 'NORMAL'] as const) {
  const measured: SqliteMeasurement[] = []
  for (let round = 0; round < rounds; round++) measured.push(await measure({ kind: 'latency', contender: 'ours', synchronous, jobs: LATENCY_JOBS }))
  const [p50, p99] = [median(measured.map(({ value }) => value)) / 1000, median(measured.map(({ p99 }) => p99!)) / 1000]
  rows.push([synchronous, p50.toFixed(2), p99.toFixed(2)])
  targets.push({ name: `latency p99 in ms, ${synchronous}`, value: p99, wanted: { max: LATENCY_P99 } })
}
printTable('From the call of enqueue to the handler, one process, ms', ['synchronous', 'p50', 'p99'], rows)
printTargets(targets)
