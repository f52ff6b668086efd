import { checkFile, loadSqlite } from '../node-sqlite.ts'
import { object, optionsCheck } from '../validation.ts'
import { identifier } from './identifier.ts'
import { SqliteStore } from './sqlite-store.ts'
import type { OutboxStore } from './store.ts'

/** The options of `sqlite()`, as a store of an outbox. */
export interface SqliteStoreOptions {
  /** The database's file. The relay opens a connection of its own and closes it with the app. */
  path: string
  /**
   * The table's name.
   * @default 'outbox_events'
   */
  table?: string
  /**
   * Creates the table and its indexes where they are missing.
   * @default true
   */
  createTable?: boolean
}

const checkOptions = optionsCheck(object({ path: { type: 'string' }, table: identifier, createTable: { type: 'boolean' } }, ['path']))

/**
 * An outbox in a SQLite file, through node:sqlite (Node.js 22.13 or newer). The processes of one machine can share it. WAL mode
 * is advised (`PRAGMA journal_mode = WAL`, once a database): without it the relay's reading and the app's writing wait
 * for each other. The journal mode stays as it is. The app's own connections need a busy timeout, and do best to begin with
 * BEGIN IMMEDIATE, since the relay writes too. Throws FST_JOBS_INVALID_OPTIONS.
 */
export function sqlite (options: SqliteStoreOptions): OutboxStore {
  checkOptions(options, 'options of sqlite()')
  const { path, table = 'outbox_events', createTable = true } = options
  checkFile(path, 'the relay')
  return {
    async open () {
      const { DatabaseSync } = await loadSqlite()
      const store = new SqliteStore(new DatabaseSync(path), table)
      try {
        await store.prepare(createTable)
        return store
      } catch (error) {
        store.close()
        throw error
      }
    }
  }
}
