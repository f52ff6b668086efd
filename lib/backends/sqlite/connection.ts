import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../../../types/backend.ts'
import { isOwnError, retryLater, SqliteOpeningError, SqliteUnavailableError } from '../../errors.ts'
import { KeepAlive } from '../../keep-alive.ts'
import { isBusy, loadSqlite } from '../../node-sqlite.ts'
import { toError } from '../../serialize-error.ts'
import { DatabaseFile } from './database-file.ts'
import { migrate } from './schema.ts'
import { prepareStatements, type Statements } from './statements.ts'
import { closedTrouble, troubleOf, type FileTrouble } from './trouble.ts'

/** Milliseconds that SQLite waits for a lock by itself. Few, for they stop the whole process, and the lock's owner may be in it. */
const BUSY_TIMEOUT = 2
/** Milliseconds between tries for a lock, outside of the group commit. */
const BUSY_PAUSE = 20
/**
 * Milliseconds for which transactions trust that the file is where it was. Looking before every one took a tenth of the time of a single
 * producer with synchronous NORMAL.
 */
const CHECK_INTERVAL = 10

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
  readonly #queues: readonly string[]
  readonly #file: DatabaseFile
  /** When a transaction looked for the file, in monotonic milliseconds. */
  #checkedAt = -Infinity
  /** Why it can never be used again. */
  #end: FileTrouble | undefined

  private constructor (db: DatabaseSync, options: ConnectionOptions, queues: readonly string[]) {
    this.#db = db
    this.#options = options
    this.#queues = queues
    this.sql = prepareStatements(db)
    // As SQLite has it: absolute, whatever the option was.
    this.#file = new DatabaseFile((db.prepare('PRAGMA database_list').get() as { file: string }).file)
  }

  /** Creates the tables where they are missing. Rejects with FST_JOBS_BACKEND_UNAVAILABLE, whose message has the path: no client is there yet. */
  static async open (options: ConnectionOptions, queues: readonly string[]): Promise<Connection> {
    const { DatabaseSync } = await loadSqlite()
    let db: DatabaseSync | undefined
    try {
      const opened = db = new DatabaseSync(options.path)
      opened.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`)
      // The first of these reads the file, which another process may be about to make a WAL database.
      await patiently(options, () => opened.exec(`PRAGMA synchronous = ${options.synchronous}; PRAGMA journal_mode = WAL`))
      await patiently(options, () => inTransaction(opened, () => migrate(opened, options.path)))
      const connection = await patiently(options, () => new Connection(opened, options, queues))
      await patiently(options, () => inTransaction(opened, () => {
        for (const name of queues) connection.sql.addQueue.run(name)
        connection.sql.forgetProbe.run()
      }))
      return connection
    } catch (error) {
      db?.close()
      if (isOwnError(error)) throw error
      throw retryLater(new SqliteOpeningError(options.path, toError(error).message, { cause: error }))
    }
  }

  commit (): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#checkedAt >= CHECK_INTERVAL) {
      this.checkFile()
      this.#checkedAt = now
    }
    this.sql.commit.run()
  }

  rollback (): void {
    rollback(this.#db)
  }

  /** Throws when the file was removed or replaced. */
  checkFile (): void {
    this.#end ??= this.#file.trouble()
    this.assertUsable()
  }

  assertUsable (): void {
    if (this.#end !== undefined) throw this.#end
  }

  /** Throws where `bytes` more cannot be stored, and leaves nothing behind. */
  probe (bytes: number): void {
    this.checkFile()
    this.sql.probe.run(bytes)
    this.sql.forgetProbe.run()
  }

  /** Reads outside of a transaction. Rejects with FST_JOBS_BACKEND_UNAVAILABLE. */
  async read<T> (use: (sql: Statements) => T): Promise<T> {
    try {
      return await patiently(this.#options, () => {
        this.assertUsable()
        return use(this.sql)
      })
    } catch (error) {
      throw this.unavailable(error)
    }
  }

  /** What callers get, clients among them: the message says what kind of trouble it is, its cause where and what SQLite says. */
  unavailable (error: unknown): Error {
    const cause = new Error(`SQLite file '${this.#file.path}': ${toError(error).message}`, { cause: error })
    return retryLater(new SqliteUnavailableError(this.#queues.join("', '"), troubleOf(error), { cause }))
  }

  close (): void {
    this.#end = closedTrouble()
    this.#db.close()
  }
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
