import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpus } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import pg from 'pg'
import type { OutboxMeasurement, OutboxTask } from './children/outbox.ts'
import type { OutboxContenderName } from './contenders/outbox.ts'
import { printTable, printTargets, type Target } from './report.ts'
import { median } from './rounds.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, rounds: { type: 'string' }, only: { type: 'string' }, plugin: { type: 'string' }, url: { type: 'string' } }
})
const url = values.url ?? process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const root = resolve(values.plugin ?? fileURLToPath(new URL('..', import.meta.url)))
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
const bound = values.quick ? 10_000 : 20_000
const backlogs = values.quick ? [1000, 100_000, 1_000_000] : [1000, 20_000, 100_000, 300_000, 1_000_000]
const EVENTS = 20_000
const SNAPSHOT_EVENTS = 200_000
const contenders = ['ours', 'plain'] as const
const schema = `bench_${randomBytes(6).toString('hex')}`

const run = promisify(execFile)
const child = fileURLToPath(new URL('children/outbox.ts', import.meta.url))

type Case = Partial<OutboxTask> & Pick<OutboxTask, 'database' | 'kind' | 'pending' | 'keys' | 'events'>
/** Medians; `exceeded` when one was. */
type Result = Record<OutboxContenderName, OutboxMeasurement>

const thousands = (value: number): string => value.toLocaleString('en')
const keysOf = (keys: number): string => keys === 1 ? 'one key' : `${thousands(keys)} keys`

/** Ends what a child has left running, which may wait for its statement for minutes, and removes the tables. */
async function removeSchema (): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [schema])
  await client.query('SET client_min_messages = error')
  await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
  await client.end()
}

async function createSchema (): Promise<void> {
  await removeSchema()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`CREATE SCHEMA ${schema}`)
  await client.end()
}

async function measureOnce (contender: OutboxContenderName, task: Case): Promise<OutboxMeasurement> {
  if (task.database === 'postgres') await createSchema()
  const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', child, JSON.stringify({ contender, root, url, schema, bound, ...task })])
  return JSON.parse(stdout) as OutboxMeasurement
}

function medianOf (measured: readonly OutboxMeasurement[]): OutboxMeasurement {
  const medianBy = (figure: 'value' | 'max' | 'before' | 'blocked') => median(measured.map((one) => one[figure] ?? NaN))
  return {
    value: medianBy('value'), max: medianBy('max'), before: medianBy('before'), blocked: medianBy('blocked'), exceeded: measured.some(({ exceeded }) => exceeded)
  }
}

async function measure (task: Case): Promise<Result> {
  const measured: Record<OutboxContenderName, OutboxMeasurement[]> = { ours: [], plain: [] }
  for (let round = 0; round < rounds; round++) {
    // Whoever comes second in one round comes first in the next.
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) measured[contender].push(await measureOnce(contender, task))
  }
  return { ours: medianOf(measured.ours), plain: medianOf(measured.plain) }
}

const number = (value: number): string => value < 100 ? value.toFixed(1) : thousands(Math.round(value))
/** A rate that exceeded the bound is at most so much, a time at least. */
const rate = ({ value, exceeded }: OutboxMeasurement): string => (exceeded ? '< ' : '') + number(value)
const time = ({ value, exceeded }: OutboxMeasurement): string => (exceeded ? '> ' : '') + number(value)
const ratio = ({ ours, plain }: Result): number => ours.value / plain.value
const rateColumns = (result: Result): string[] => [...contenders.map((contender) => rate(result[contender])), ratio(result).toFixed(2)]
const rateHeader = ['ours', 'plain', 'ours / plain']

const targets: Target[] = []

async function postgresBacklogs (): Promise<void> {
  const rows: string[][] = []
  for (const keys of [1, 50_000]) {
    const results: Result[] = []
    for (const pending of backlogs) {
      const result = await measure({ database: 'postgres', kind: 'backlog', pending, keys, events: EVENTS })
      results.push(result)
      rows.push([`${thousands(pending)} pending, ${keysOf(keys)}`, ...rateColumns(result)])
    }
    const evenness = (contender: OutboxContenderName) => {
      const rates = results.map((result) => result[contender].value)
      return Math.min(...rates) / Math.max(...rates)
    }
    rows.push([`slowest / fastest, ${keysOf(keys)}`, ...contenders.map((contender) => evenness(contender).toFixed(2)), ''])
    targets.push({ name: `PostgreSQL, ${keysOf(keys)}: slowest / fastest backlog`, value: evenness('ours'), wanted: { min: 0.8 } })
    targets.push({ name: `PostgreSQL, ${keysOf(keys)}: ours / plain, the worst`, value: Math.min(...results.map(ratio)), wanted: { min: 0.5 } })
  }
  printTable('PostgreSQL: events a second by backlog', ['', ...rateHeader], rows)
}

async function postgresSnapshot (): Promise<void> {
  const rows: string[][] = []
  const results: Result[] = []
  for (const keys of [1, 50_000]) {
    for (const pending of [100_000, 1_000_000]) {
      const result = await measure({ database: 'postgres', kind: 'backlog', pending, keys, events: EVENTS, snapshot: SNAPSHOT_EVENTS })
      results.push(result)
      rows.push([`${thousands(pending)} pending, ${keysOf(keys)}`, ...rateColumns(result), ...contenders.map((contender) => number(result[contender].before!))])
    }
  }
  targets.push({ name: 'PostgreSQL, old snapshot: ours / plain, the worst', value: Math.min(...results.map(ratio)), wanted: { min: 0.5 } })
  printTable('PostgreSQL: events a second while an old snapshot is open, after so many were published', ['', ...rateHeader, 'after (ours)', '(plain)'], rows)
}

async function postgresLag (): Promise<void> {
  const rows: string[][] = []
  for (const keys of [1, 50_000]) {
    for (const snapshot of [undefined, SNAPSHOT_EVENTS]) {
      const result = await measure({ database: 'postgres', kind: 'lag', pending: snapshot ?? 1000, keys, events: values.quick ? 20 : 50, snapshot })
      rows.push([`${snapshot === undefined ? 'no snapshot' : 'old snapshot'}, ${keysOf(keys)}`, ...contenders.flatMap((contender) => [time(result[contender]), number(result[contender].max!)])])
    }
  }
  printTable('PostgreSQL: from the commit of a fresh event to its publish, ms', ['', 'ours, p50', 'max', 'plain, p50', 'max'], rows)
}

async function postgresOthers (): Promise<void> {
  const result = await measure({ database: 'postgres', kind: 'others', pending: 5000, keys: 1, events: 1, bound: 60_000 })
  printTable("PostgreSQL: wait of another key's event behind 5,000 of one key, 1 ms each, ms", ['', 'ours', 'plain'], [['wait', ...contenders.map((contender) => time(result[contender]))]])
}

async function postgresLarge (): Promise<void> {
  const rows: string[][] = []
  for (const keys of [1, 64]) {
    const result = await measure({ database: 'postgres', kind: 'large', pending: 0, keys, events: 64 })
    rows.push([keysOf(keys), ...rateColumns(result), ...contenders.map((contender) => number(result[contender].blocked!))])
  }
  printTable('PostgreSQL: 64 events of 1 MiB, events a second, and the longest block of the event loop in ms', ['', ...rateHeader, 'blocked (ours)', '(plain)'], rows)
}

async function sqliteBacklogs (): Promise<void> {
  const rows: string[][] = []
  const pending = 50_000
  for (const keys of [1, 50_000]) {
    const result = await measure({ database: 'sqlite', kind: 'backlog', pending, keys, events: pending })
    rows.push([`${thousands(pending)} pending, ${keysOf(keys)}`, ...rateColumns(result), ...contenders.map((contender) => number(result[contender].blocked!))])
    targets.push({ name: `SQLite, ${keysOf(keys)}: ours / plain`, value: ratio(result), wanted: { min: 0.5 } })
  }
  printTable('SQLite: events a second, and the longest block of the event loop in ms', ['', ...rateHeader, 'blocked (ours)', '(plain)'], rows)
}

async function sqlitePruning (): Promise<void> {
  const rows: string[][] = []
  for (const late of [false, true]) {
    const measured: OutboxMeasurement[] = []
    for (let round = 0; round < rounds; round++) measured.push(await measureOnce('ours', { database: 'sqlite', kind: 'prune', pending: 500_000, keys: 95, events: 95, late, bound: 60_000 }))
    const result = medianOf(measured)
    rows.push([late ? 'added while it prunes' : 'there from the start', time(result), number(result.blocked!)])
  }
  printTable('SQLite: 95 events published while 500,000 expired ones are to prune, ms', ['', 'all published after', 'event loop blocked'], rows)
}

console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]!.model}, ${rounds} ${rounds === 1 ? 'round' : 'rounds'}`)
if (values.only !== 'sqlite') {
  process.once('SIGINT', () => { removeSchema().finally(() => process.exit(130)) })
  try {
    for (const part of [postgresBacklogs, postgresSnapshot, postgresLag, postgresOthers, postgresLarge]) await part()
  } finally {
    await removeSchema()
  }
}
if (values.only !== 'postgres') {
  for (const part of [sqliteBacklogs, sqlitePruning]) await part()
}
printTargets(targets)
