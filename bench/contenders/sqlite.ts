import Database from 'better-sqlite3'
import fastify from 'fastify'
import { better, defineQueue, defineWorker } from 'plainjob'
import { sqlite } from '../../lib/backends/sqlite/index.ts'
import backgroundJobs from '../../lib/index.ts'

export type Synchronous = 'FULL' | 'NORMAL'

export interface SqliteContenderOptions {
  path: string
  synchronous: Synchronous
  concurrency: number
  handler: () => void
}

/** One queue in a file, opened paused. */
export interface SqliteContender {
  /** Resolves, or returns, when the job is in the file. */
  enqueue (payload: unknown): Promise<unknown> | undefined
  /** Many at once, as quick as can be. */
  fill (payload: unknown, count: number): Promise<unknown> | undefined
  /** Begins to work. */
  start (): void
  /** Resolves when everything is worked off and stored. */
  finished (): Promise<unknown>
  close (): unknown
}

const silent = { error () {}, warn () {}, info () {}, debug () {} }
const BATCH = 1000

async function ours ({ path, synchronous, concurrency, handler }: SqliteContenderOptions): Promise<SqliteContender> {
  const app = fastify({ logger: false })
  await app.register(backgroundJobs, { queues: { default: { capacity: 1e6, concurrency } }, backend: sqlite({ path, synchronous }) })
  app.jobs.define('noop', async () => handler())
  await app.ready()
  app.jobs.pause()
  return {
    enqueue: (payload) => app.jobs.enqueue('noop', payload),
    async fill (payload, count) {
      for (let left = count; left > 0; left -= BATCH) await app.jobs.enqueueMany(Array.from({ length: Math.min(left, BATCH) }, () => ({ job: 'noop', payload })))
    },
    start: () => app.jobs.resume(),
    finished: () => app.jobs.idle(),
    close: () => app.close()
  }
}

/** What everybody would write: one row a job, one transaction a row, an index to find the next one. */
function betterSqlite3 ({ path, synchronous }: SqliteContenderOptions): SqliteContender {
  const db = new Database(path)
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${synchronous}`)
  db.exec(`
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, payload TEXT NOT NULL, state INTEGER NOT NULL, created_at INTEGER NOT NULL);
    CREATE INDEX jobs_state ON jobs (state, id)`)
  const insert = db.prepare("INSERT INTO jobs (name, payload, state, created_at) VALUES ('noop', ?, 0, ?)")
  const notMeasured = (): never => { throw new Error('it has no worker') }
  return {
    enqueue (payload) { insert.run(JSON.stringify(payload), Date.now()); return undefined },
    fill: notMeasured,
    start: notMeasured,
    finished: notMeasured,
    close: () => db.close()
  }
}

function plainjob ({ path, synchronous, handler }: SqliteContenderOptions): SqliteContender {
  const db = new Database(path)
  const queue = defineQueue({ connection: better(db), logger: silent })
  // It has chosen NORMAL for itself.
  db.pragma(`synchronous = ${synchronous}`)
  let expected = 0
  let done = 0
  let resolve = () => {}
  const all = new Promise<void>((_resolve) => { resolve = _resolve })
  const worker = defineWorker('noop', async () => handler(), { queue, logger: silent, onCompleted () { if (++done === expected) resolve() } })
  return {
    enqueue (payload) { queue.add('noop', payload); return undefined },
    fill (payload, count) { expected = count; queue.addMany('noop', Array(count).fill(payload)); return undefined },
    start: () => { worker.start() },
    finished: () => all,
    async close () { await worker.stop(); queue.close() }
  }
}

export const SQLITE_CONTENDERS = { ours, 'better-sqlite3': betterSqlite3, plainjob }
export type SqliteContenderName = keyof typeof SQLITE_CONTENDERS
