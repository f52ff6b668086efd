import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import pg from 'pg'
import { BATCH, loadLibrary, ours, plainPostgres, plainSqlite, type OnEvent, type OutboxContender, type OutboxContenderName } from '../contenders/outbox.ts'

export interface OutboxTask {
  database: 'postgres' | 'sqlite'
  contender: OutboxContenderName
  /** 'backlog': how fast a backlog shrinks; the others: see the README. */
  kind: 'backlog' | 'lag' | 'others' | 'large' | 'prune'
  /** The checkout that 'ours' comes from. */
  root: string
  url: string
  schema: string
  pending: number
  keys: number
  /** Events that are measured, at the most. */
  events: number
  /** Holds an old snapshot open, and has so many events published before it measures. */
  snapshot?: number
  /** The events are added when the pruning has begun. */
  late?: boolean
  /** Milliseconds that a measurement may take. */
  bound: number
}

/**
 * Events a second, `exceeded` when the bound came first and so few were published that the value is an upper limit; or milliseconds,
 * `exceeded` when they are a lower limit. `before`: events that were published before the measurement.
 */
export interface OutboxMeasurement {
  value: number
  exceeded: boolean
  max?: number
  before?: number
  /** Milliseconds for which the event loop was blocked at the most. */
  blocked?: number
}

interface Database {
  contender (table: string): OutboxContender
  /** Empties the table and puts events there, the same statistics and the same clean table for everybody. */
  fill (table: string, count: number, keys: number): Promise<void>
  close (): Promise<void>
}

const WARM_UP_EVENTS = 3000
const LARGE = 1024 * 1024
const PAYLOAD = '{"to":"someone@example.com","subject":"hello"}'

const task = JSON.parse(process.argv[2]!) as OutboxTask
const library = await loadLibrary(task.root)

/** The time of every event that was published. */
class Publications {
  readonly times: number[] = []
  #goal = Infinity
  #onGoal = (_isReached: boolean) => {}

  readonly add = (): void => {
    this.times.push(performance.now())
    if (this.times.length === this.#goal) this.#onGoal(true)
  }

  /** False when it took longer than the bound. */
  async reached (count: number, bound = Infinity): Promise<boolean> {
    if (this.times.length >= count) return true
    const controller = new AbortController()
    const goal = new Promise<boolean>((resolve) => {
      this.#goal = count
      this.#onGoal = resolve
    })
    const isReached = await Promise.race([goal, bound === Infinity ? goal : setTimeout(bound, false, controller).catch(() => false)])
    controller.abort()
    return isReached
  }
}

/** Events a second from the event at `from` on, from the beginning of its batch to the beginning of the last one. */
function rateFrom ({ times }: Publications, from: number): OutboxMeasurement {
  const events = Math.floor((times.length - 1 - from) / BATCH) * BATCH
  if (events > 0) return { value: events * 1000 / (times[from + events]! - times[from]!), exceeded: false }
  return { value: BATCH * 1000 / task.bound, exceeded: true }
}

async function withRelay<T> (contender: OutboxContender, publish: OnEvent, use: () => Promise<T>): Promise<T> {
  const end = await contender.start(publish)
  const result = await use()
  // An end that waits for a slow statement is not waited for: the measurement is there, and this process exits.
  await Promise.race([end(), setTimeout(2000)])
  return result
}

async function warmUp (database: Database): Promise<void> {
  const contender = database.contender('warm_up')
  await contender.create()
  await database.fill(contender.table, WARM_UP_EVENTS, task.keys)
  const publications = new Publications()
  await withRelay(contender, publications.add, () => publications.reached(WARM_UP_EVENTS, task.bound))
}

/** Small backlogs are filled again and again until as many events were published as of the others. */
async function backlog (database: Database, contender: OutboxContender): Promise<OutboxMeasurement> {
  const { pending, keys, bound } = task
  const events = Math.min(pending, task.events)
  const measured: OutboxMeasurement[] = []
  const end = performance.now() + bound
  for (let left = task.events; left > 0 && (measured.length === 0 || performance.now() < end); left -= events) {
    await database.fill(contender.table, pending, keys)
    const publications = new Publications()
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const measurement = await withRelay(contender, publications.add, async () => {
      await publications.reached(events, bound)
      delay.disable()
      return rateFrom(publications, 0)
    })
    measured.push({ ...measurement, blocked: delay.max / 1e6 })
  }
  // All took the same number of batches: what counts is the time of all together.
  return {
    value: measured.length / measured.reduce((sum, { value }) => sum + 1 / value, 0),
    exceeded: measured.some(({ exceeded }) => exceeded),
    blocked: Math.max(...measured.map(({ blocked }) => blocked!))
  }
}

async function postgres (): Promise<Database & { pool: pg.Pool }> {
  const { url, schema, contender } = task
  // By its name the parent finds what this process leaves running.
  const pool = new pg.Pool({ connectionString: url, max: 5, application_name: schema })
  pool.on('error', () => {})
  return {
    pool,
    contender: (table) => contender === 'ours'
      ? ours(library, library.outbox.postgres({ pool, schema, table }), table)
      : plainPostgres(pool, schema, table),
    async fill (table, count, keys) {
      const name = `${schema}.${table}`
      await pool.query(`TRUNCATE ${name}`)
      // Ids that begin with the time, as the outbox makes them.
      await pool.query(`
        INSERT INTO ${name} (id, key, type, payload)
        SELECT overlay(replace(gen_random_uuid()::text, '-', '') PLACING lpad(to_hex(n / 10), 12, '0') FROM 1)::uuid, 'key-' || (n % $1), 'order.placed', $2
        FROM generate_series(1, $3::int) AS n`, [keys, PAYLOAD, count])
      await pool.query(`VACUUM ANALYZE ${name}`)
      // Otherwise the one that the fill has brought about comes in the middle of a measurement. Not everybody may do this.
      if (count > 10_000) await pool.query('CHECKPOINT').catch(() => {})
    },
    close: () => pool.end()
  }
}

/** A transaction that began before anything was published: VACUUM, and every index scan, has to keep what it could see. */
async function holdSnapshot (name: string): Promise<void> {
  const client = new pg.Client({ connectionString: task.url, application_name: task.schema })
  client.on('error', () => {})
  await client.connect()
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await client.query(`SELECT 1 FROM ${name} LIMIT 1`)
}

async function backlogUnderSnapshot (database: Database, contender: OutboxContender): Promise<OutboxMeasurement> {
  const before = task.snapshot!
  await database.fill(contender.table, task.pending + before, task.keys)
  await holdSnapshot(`${task.schema}.${contender.table}`)
  const publications = new Publications()
  return withRelay(contender, publications.add, async () => {
    await publications.reached(before, 2 * task.bound)
    // The next one begins a batch.
    const from = Math.ceil(publications.times.length / BATCH) * BATCH
    await publications.reached(from + task.events, task.bound)
    return { ...rateFrom(publications, from), before: from }
  })
}

/** Milliseconds from the commit of an event until it is published, one by one, with nothing else to do. */
async function lag (database: Database & { pool: pg.Pool }, contender: OutboxContender): Promise<OutboxMeasurement> {
  const { pool } = database
  const name = `${task.schema}.${contender.table}`
  await database.fill(contender.table, task.pending, task.keys)
  if (task.snapshot !== undefined) await holdSnapshot(name)
  const publications = new Publications()
  let before = 0
  await withRelay(contender, publications.add, () => publications.reached(task.pending, 2 * task.bound).then(() => { before = publications.times.length }))
  await pool.query(`UPDATE ${name} SET state = 'published', ended_at = clock_timestamp() WHERE state = 'pending'`)

  const fresh = new Publications()
  const lags: number[] = []
  return withRelay(contender, fresh.add, async () => {
    const end = performance.now() + task.bound
    let exceeded = false
    while (lags.length < task.events && performance.now() < end) {
      await setTimeout(20 * Math.random())
      await pool.query(`INSERT INTO ${name} (id, key, type, payload) VALUES (gen_random_uuid(), $1, 'order.placed', $2)`, [`key-${lags.length % task.keys}`, PAYLOAD])
      const committed = performance.now()
      exceeded = !await fresh.reached(lags.length + 1, task.bound)
      // A relay that was quicker than the answer to the commit needed no time.
      lags.push(Math.max(0, (fresh.times[lags.length] ?? performance.now()) - committed))
    }
    lags.sort((a, b) => a - b)
    return { value: lags[lags.length >> 1]!, max: lags.at(-1)!, exceeded, before }
  })
}

/** Milliseconds until the only event of one key is published that was added after many of another key; publishing takes 1 ms. */
async function others (database: Database & { pool: pg.Pool }, contender: OutboxContender): Promise<OutboxMeasurement> {
  await database.fill(contender.table, task.pending, 1)
  await database.pool.query(`INSERT INTO ${task.schema}.${contender.table} (id, key, type, payload) VALUES (gen_random_uuid(), 'other', 'order.placed', $1)`, [PAYLOAD])
  let first: number | undefined
  const other = new Publications()
  async function publish (key: string) {
    first ??= performance.now()
    await setTimeout(1)
    if (key === 'other') other.add()
  }
  return withRelay(contender, publish, async () => {
    const isReached = await other.reached(1, task.bound)
    return { value: (other.times[0] ?? performance.now()) - first!, exceeded: !isReached }
  })
}

/** Events a second from the commit of all of them on; publishing takes nothing, and reading them is what counts. */
async function large ({ pool }: { pool: pg.Pool }, contender: OutboxContender): Promise<OutboxMeasurement> {
  const [name, staging] = [`${task.schema}.${contender.table}`, `${task.schema}.staging`]
  await pool.query(`CREATE TABLE ${staging} (payload json)`)
  const text = () => randomBytes(LARGE).toString('base64').slice(0, LARGE - 100)
  for (let n = 0; n < task.events; n++) await pool.query(`INSERT INTO ${staging} VALUES ($1)`, [JSON.stringify({ text: text() })])
  const publications = new Publications()
  const delay = monitorEventLoopDelay({ resolution: 1 })
  return withRelay(contender, publications.add, async () => {
    await pool.query(`INSERT INTO ${name} (id, key, type, payload) SELECT gen_random_uuid(), 'key-' || (row_number() OVER () % $1), 'order.placed', payload FROM ${staging}`, [task.keys])
    const committed = performance.now()
    delay.enable()
    const isReached = await publications.reached(task.events, task.bound)
    delay.disable()
    return { value: publications.times.length * 1000 / (performance.now() - committed), exceeded: !isReached && publications.times.length === 0, blocked: delay.max / 1e6 }
  })
}

async function measurePostgres (): Promise<OutboxMeasurement> {
  const database = await postgres()
  await warmUp(database)
  const contender = database.contender('outbox_events')
  await contender.create()
  if (task.kind === 'lag') return lag(database, contender)
  if (task.kind === 'others') return others(database, contender)
  if (task.kind === 'large') return large(database, contender)
  return (task.snapshot === undefined ? backlog : backlogUnderSnapshot)(database, contender)
}

async function measureSqlite (): Promise<OutboxMeasurement> {
  const { DatabaseSync } = await import('node:sqlite')
  const folder = await mkdtemp(join(tmpdir(), 'bench-outbox-'))
  try {
    const path = join(folder, 'app.db')
    const db = new DatabaseSync(path)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000')
    const id = "lower(printf('%08x-%04x-7000-8000-', n / 655360, n / 10 % 65536) || hex(randomblob(6)))"
    const numbers = (count: number) => `WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})`
    const database: Database = {
      contender: (table) => task.contender === 'ours'
        ? ours(library, library.outbox.sqlite({ path, table }), table, task.kind === 'prune' ? { retention: 1000 } : {})
        : plainSqlite(db, table),
      async fill (table, count, keys) {
        db.exec(`DELETE FROM ${table}`)
        db.prepare(`${numbers(count)} INSERT INTO ${table} (id, key, type, payload) SELECT ${id}, 'key-' || (n % CAST(? AS INTEGER)), 'order.placed', ? FROM numbers`).run(keys, PAYLOAD)
        db.exec('ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)')
      },
      close: async () => db.close()
    }
    await warmUp(database)
    const contender = database.contender('outbox_events')
    await contender.create()
    if (task.kind === 'backlog') return await backlog(database, contender)
    return await prune()

    /** Milliseconds until all events are published, from the first one's publish or from their commit, while there are expired ones to delete. */
    async function prune (): Promise<OutboxMeasurement> {
      db.prepare(`
        ${numbers(task.pending)} INSERT INTO ${contender.table} (id, key, type, payload, state, ended_at)
        SELECT ${id}, 'key-' || (n % 100), 'order.placed', ?, 'published', CAST(unixepoch('subsec') * 1000 AS INTEGER) - 3600000 FROM numbers`).run(PAYLOAD)
      const add = (count: number) => db.prepare(`${numbers(count)} INSERT INTO ${contender.table} (id, key, type, payload) SELECT lower(hex(randomblob(16))), 'key-' || (n % CAST(? AS INTEGER)), 'order.placed', ? FROM numbers`).run(task.keys, PAYLOAD)
      // The first batch says that the relay has begun; with it done the pruning comes.
      const early = task.late ? 1 : task.events
      add(early)
      db.exec('ANALYZE; PRAGMA wal_checkpoint(TRUNCATE)')
      const publications = new Publications()
      const delay = monitorEventLoopDelay({ resolution: 1 })
      return withRelay(contender, publications.add, async () => {
        await publications.reached(1, task.bound)
        const first = publications.times[0]!
        if (task.late) await setTimeout(20)
        delay.enable()
        if (task.late) add(task.events)
        const start = task.late ? performance.now() : first
        const isReached = await publications.reached(task.late ? task.events + 1 : task.events, task.bound)
        const end = publications.times.at(-1)!
        // What the pruning does in the next second counts as well.
        await setTimeout(1000)
        delay.disable()
        return { value: (isReached ? end : performance.now()) - start, exceeded: !isReached, blocked: delay.max / 1e6 }
      })
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}

const measurement = await (task.database === 'postgres' ? measurePostgres : measureSqlite)()
process.stdout.write(JSON.stringify(measurement))
process.exit()
