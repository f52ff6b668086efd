import { object, optionsCheck } from '../validation.ts'
import { identifier } from './identifier.ts'
import type { PostgresPool } from './postgres-connection.ts'
import { PostgresStore } from './postgres-store.ts'
import type { OutboxStore } from './store.ts'

/** The options of `postgres()`. */
export interface PostgresStoreOptions {
  /**
   * The app's own pg.Pool; the store never closes it. The relay holds one client of it while it works through a batch. The
   * pool's 'error' event, about clients that nobody uses, stays the app's to listen to: without a listener it ends the process.
   */
  pool: PostgresPool
  /**
   * The schema that the table is in.
   * @default 'public'
   */
  schema?: string
  /**
   * The table's name.
   * @default 'outbox_events'
   */
  table?: string
  /**
   * Creates the table where there is none, and the index on `seq` where an older table lacks it.
   * @default true
   */
  createTable?: boolean
}

const checkOptions = optionsCheck(object({
  pool: { type: 'object', required: ['connect'], properties: { connect: { kind: 'function' } } },
  schema: identifier,
  table: identifier,
  createTable: { type: 'boolean' }
}, ['pool']))

/** An outbox in PostgreSQL (12 or newer), through `pg`. Any number of processes can share it. Throws FST_JOBS_INVALID_OPTIONS. */
export function postgres (options: PostgresStoreOptions): OutboxStore {
  checkOptions(options, 'options of postgres()')
  const { pool, schema = 'public', table = 'outbox_events' } = options
  const create = options.createTable ?? true
  return {
    async open () {
      const store = new PostgresStore(pool, { schema, table })
      if (create) await store.create()
      await store.probe()
      await store.complete(create)
      return store
    }
  }
}
