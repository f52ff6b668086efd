import { pathToFileURL } from 'node:url'
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { DatabaseSync } from 'node:sqlite'
import fastify, { type FastifyInstance } from 'fastify'
import type pg from 'pg'
import type { OutboxOptions, OutboxStore } from '../../lib/outbox/index.ts'
import { createTable as postgresTable } from '../../lib/outbox/postgres-sql.ts'
import { createTable as sqliteTable } from '../../lib/outbox/sqlite-sql.ts'

/** Events of one batch, the outbox's default. */
export const BATCH = 100
/** Milliseconds between two looks of an idle relay. */
const EVERY = 10

export type OutboxContenderName = 'ours' | 'plain'
/** Told of every event that is published. */
export type OnEvent = (key: string) => unknown

/** Something that publishes the events of a table. */
export interface OutboxContender {
  readonly table: string
  /** Creates the table. */
  create (): Promise<void>
  /** Begins to publish; resolves to what ends that. */
  start (publish: OnEvent): Promise<() => Promise<void>>
}

/** The library of a checkout: this one, or an older one to compare with. */
export interface Library {
  backgroundJobs: typeof import('../../lib/index.ts').default
  outbox: typeof import('../../lib/outbox/index.ts')
}

export async function loadLibrary (root: string): Promise<Library> {
  const load = (file: string) => import(pathToFileURL(`${root}/${file}`).href)
  const [{ default: backgroundJobs }, outbox] = await Promise.all([load('lib/index.ts'), load('lib/outbox/index.ts')])
  return { backgroundJobs, outbox }
}

export function ours ({ backgroundJobs, outbox }: Library, store: OutboxStore, table: string, options: Partial<OutboxOptions> = {}): OutboxContender {
  async function open (publish: OnEvent): Promise<FastifyInstance> {
    const app = fastify({ logger: false })
    await app.register(backgroundJobs, {})
    await app.register(outbox.outbox, { store, publish: ({ key }) => publish(key), every: EVERY, batchSize: BATCH, ...options } as OutboxOptions)
    await app.ready()
    return app
  }
  return {
    table,
    async create () {
      await (await open(() => {})).close()
    },
    async start (publish) {
      const app = await open(publish)
      return () => app.close()
    }
  }
}

/** Batch after batch until it is told to end. */
async function loop (batch: () => Promise<number>): Promise<() => Promise<void>> {
  const end = new AbortController()
  async function run () {
    while (!end.signal.aborted) {
      if (await batch() === 0) await setTimeout(EVERY)
      await setImmediate()
    }
  }
  const running = run()
  return async () => {
    end.abort()
    await running
  }
}

/** What everybody would write: the oldest events, whatever their keys, one by one. */
export function plainPostgres (pool: pg.Pool, schema: string, table: string): OutboxContender {
  const name = `${schema}.${table}`
  return {
    table,
    async create () {
      // The outbox's table with one index.
      await pool.query(postgresTable({ schema, table }))
      await pool.query(`DROP INDEX ${['pending', 'published', 'parked'].map((index) => `${name}_${index}`).join(', ')}`)
    },
    async start (publish) {
      const client = await pool.connect()
      const end = await loop(async () => {
        await client.query('BEGIN')
        const { rows } = await client.query(
          `SELECT id, type, key, payload, created_at, attempts FROM ${name} WHERE state = 'pending' ORDER BY seq LIMIT ${BATCH} FOR UPDATE SKIP LOCKED`)
        for (const { key } of rows) await publish(key)
        if (rows.length > 0) await client.query(`UPDATE ${name} SET state = 'published', ended_at = clock_timestamp() WHERE id = ANY ($1)`, [rows.map(({ id }) => id)])
        await client.query('COMMIT')
        return rows.length
      })
      return async () => {
        await end()
        client.release()
      }
    }
  }
}

/** The same on SQLite: one process, no leases, one commit a batch. */
export function plainSqlite (db: DatabaseSync, table: string): OutboxContender {
  return {
    table,
    async create () {
      db.exec(sqliteTable(table))
      for (const index of ['pending', 'published', 'parked']) db.exec(`DROP INDEX ${table}_${index}`)
    },
    async start (publish) {
      const select = db.prepare(`SELECT id, type, key, payload, created_at, attempts FROM ${table} WHERE state = 'pending' ORDER BY seq LIMIT ${BATCH}`)
      const update = db.prepare(`UPDATE ${table} SET state = 'published', ended_at = ? WHERE id IN (SELECT value FROM json_each(?))`)
      return loop(async () => {
        const rows = select.all() as { id: string, key: string, payload: string }[]
        for (const { key, payload } of rows) {
          JSON.parse(payload)
          await publish(key)
        }
        // One statement is one transaction.
        if (rows.length > 0) update.run(Date.now(), JSON.stringify(rows.map(({ id }) => id)))
        return rows.length
      })
    }
  }
}
