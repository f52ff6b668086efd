import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../../types/backend.ts'
import { isOwnError, retryLater, SqliteUnavailableError } from '../../errors.ts'
import { toError } from '../../serialize-error.ts'
import { KeepAlive } from '../../keep-alive.ts'
import { isBusy, loadSqlite } from '../../node-sqlite.ts'
import { migrate } from './schema.ts'
import { prepareStatements, type Statements } from './statements.ts'

/** Milliseconds that SQLite waits for a lock by itself. Few, for they stop the whole process, and the lock's owner may be in it. */
const BUSY_TIMEOUT = 2
/** Milliseconds between tries for a lock, outside of the group commit. */
const BUSY_PAUSE = 20

export interface ConnectionOptions {
  readonly path: string
  readonly synchronous: 'FULL' | 'NORMAL'
  /** Milliseconds. */
  readonly busyTimeout: number
  readonly clock: Clock
}

/** One connection to the file, ready to be used. */
export class Connection {
  readonly sql: Statements
  readonly #db: DatabaseSync
  readonly #options: ConnectionOptions
  readonly #file: string
  readonly #inode: number
  #gone: Error | undefined

  private constructor (db: DatabaseSync, options: ConnectionOptions) {
    this.#db = db
    this.#options = options
    this.sql = prepareStatements(db)
    // As SQLite has it: absolute, whatever the option was.
    this.#file = (db.prepare('PRAGMA database_list').get() as { file: string }).file
    this.#inode = statSync(this.#file).ino
  }

  /** Creates the tables where they are missing. Rejects with FST_JOBS_BACKEND_UNAVAILABLE. */
  static async open (options: ConnectionOptions, queues: readonly string[]): Promise<Connection> {
    const { DatabaseSync } = await loadSqlite()
    let db: DatabaseSync | undefined
    try {
      const opened = db = new DatabaseSync(options.path)
      opened.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`)
      // The first of these reads the file, which another process may be about to make a WAL database.
      await patiently(options, () => opened.exec(`PRAGMA synchronous = ${options.synchronous}; PRAGMA journal_mode = WAL`))
      await patiently(options, () => inTransaction(opened, () => migrate(opened, options.path)))
      const connection = await patiently(options, () => new Connection(opened, options))
      await patiently(options, () => inTransaction(opened, () => {
        for (const name of queues) connection.sql.addQueue.run(name)
      }))
      return connection
    } catch (error) {
      db?.close()
      throw unavailable(options.path, error)
    }
  }

  rollback (): void {
    rollback(this.#db)
  }

  /** Throws when the file is another one by now, or none: what is written into a removed file is lost with the process. */
  checkFile (): void {
    if (statSync(this.#file, { throwIfNoEntry: false })?.ino === this.#inode) return
    this.#gone = new Error('it was removed or replaced while it was open; restart the app')
    throw this.#gone
  }

  assertUsable (): void {
    if (this.#gone !== undefined) throw this.#gone
  }

  /** Reads outside of a transaction. Rejects with FST_JOBS_BACKEND_UNAVAILABLE. */
  async read<T> (use: (sql: Statements) => T): Promise<T> {
    try {
      this.assertUsable()
      return await patiently(this.#options, () => use(this.sql))
    } catch (error) {
      throw this.unavailable(error)
    }
  }

  unavailable (cause: unknown): Error {
    return unavailable(this.#options.path, cause)
  }

  close (): void {
    this.#db.close()
  }
}

function unavailable (path: string, cause: unknown): Error {
  if (isOwnError(cause)) return cause as Error
  return retryLater(new SqliteUnavailableError(path, toError(cause).message, { cause }))
}

function inTransaction (db: DatabaseSync, use: () => void): void {
  try {
    db.exec('BEGIN IMMEDIATE')
    use()
    db.exec('COMMIT')
  } catch (error) {
    rollback(db)
    throw error
  }
}

function rollback (db: DatabaseSync): void {
  try {
    db.exec('ROLLBACK')
  } catch {
    // It did not begin, or SQLite has ended it.
  }
}

/** Tries again while somebody else has the lock, giving way to them in between. */
async function patiently<T> ({ clock, busyTimeout }: ConnectionOptions, use: () => T): Promise<T> {
  const end = clock.monotonic() + busyTimeout
  const keepAlive = new KeepAlive()
  try {
    for (;;) {
      try {
        return use()
      } catch (error) {
        if (!isBusy(error) || clock.monotonic() >= end) throw error
        keepAlive.hold()
        await new Promise<void>((resolve) => clock.setTimeout(resolve, BUSY_PAUSE))
      }
    }
  } finally {
    keepAlive.release()
  }
}
