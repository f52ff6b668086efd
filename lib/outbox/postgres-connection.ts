import type { Clock } from '../../types/backend.ts'
import { OutboxSilentError } from '../errors.ts'
import { LOCK_PATIENCE } from './postgres-sql.ts'

/** Milliseconds that a client, or the answer to a statement, is waited for. */
const PATIENCE = 10_000
/** The same once the app stops, for what should still be stored. */
const PATIENCE_WHEN_STOPPING = 2000
/** Milliseconds that the creation of an index over a large table may take. */
export const CREATION_PATIENCE = 300_000

export interface QueryResult {
  readonly rows: any[] // Whatever the statement selects.
  readonly rowCount: number | null
}

/** A statement that the server plans once a connection. */
export interface Prepared {
  readonly name: string
  readonly text: string
}

interface PostgresClient {
  query (statement: string | Prepared, values?: unknown[]): Promise<QueryResult>
  on (event: 'error', listener: (error: Error) => void): unknown
  off (event: 'error', listener: (error: Error) => void): unknown
  release (error?: Error): void
}

/** What the store needs of a pg.Pool. */
export interface PostgresPool {
  connect (): Promise<PostgresClient>
}

/** A transaction of the store's. */
export interface Transaction {
  readonly isLost: boolean
  query (statement: string | Prepared, values?: unknown[]): Promise<QueryResult>
  /** From here on a stop of the app ends nothing at once: results are to be stored. */
  finish (): void
}

export interface TransactionOptions {
  /** Milliseconds that the server lets it be idle. */
  readonly hold?: number
  readonly patience?: number
  /** Ends what waits when it aborts. */
  readonly signal?: AbortSignal | undefined
}

/** Clients of the app's pool, and transactions that never wait without an end: a connection can fall silent, a pool be used up, a table be locked. */
export class PostgresConnection {
  readonly #pool: PostgresPool
  readonly #clock: Clock

  constructor (pool: PostgresPool, clock: Clock) {
    this.#pool = pool
    this.#clock = clock
  }

  /**
   * Read committed whatever the database's default: each statement sees what others committed before it. Tables without statistics
   * must not lead to plans that read them whole. Whatever fails costs the connection, and with it the transaction and its locks.
   */
  async transaction<T> (use: (transaction: Transaction) => Promise<T>, { hold = PATIENCE, patience = PATIENCE, signal }: TransactionOptions = {}): Promise<T> {
    const client = await this.#connect(signal)
    let isLost = false
    let isFinishing = false
    const onError = (): void => { isLost = true }
    // The next query says what happened; without a listener the event would end the process.
    client.on('error', onError)
    const query: Transaction['query'] = (statement, values) =>
      this.#bounded(client.query(statement, values), patience, signal, isFinishing ? PATIENCE_WHEN_STOPPING : 0)
    try {
      await query('BEGIN ISOLATION LEVEL READ COMMITTED; ' +
        `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(hold)}; SET LOCAL lock_timeout = ${LOCK_PATIENCE}; SET LOCAL statement_timeout = ${patience}; ` +
        'SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan')
      const result = await use({ query, get isLost () { return isLost }, finish () { isFinishing = true } })
      await query('COMMIT')
      client.off('error', onError)
      client.release()
      return result
    } catch (error) {
      // The listener stays: a broken socket may have more to say while it is closed.
      client.release(error as Error)
      throw error
    }
  }

  async #connect (signal: AbortSignal | undefined): Promise<PostgresClient> {
    const connecting = this.#pool.connect()
    try {
      return await this.#bounded(connecting, PATIENCE, signal, 0)
    } catch (error) {
      // One that comes too late goes back.
      connecting.then((client) => client.release(), () => {})
      throw error
    }
  }

  /** `grace`: milliseconds after the abort of `signal`. */
  async #bounded<T> (answer: Promise<T>, patience: number, signal: AbortSignal | undefined, grace: number): Promise<T> {
    let timer: unknown
    let onAbort: (() => void) | undefined
    const giveUp = new Promise<never>((_resolve, reject) => {
      timer = this.#clock.setTimeout(() => reject(new OutboxSilentError(patience)), patience)
      onAbort = () => {
        this.#clock.clearTimeout(timer)
        if (grace === 0) reject(signal!.reason)
        else timer = this.#clock.setTimeout(() => reject(new OutboxSilentError(grace)), grace)
      }
      if (signal?.aborted) onAbort()
      else signal?.addEventListener('abort', onAbort)
    })
    try {
      return await Promise.race([answer, giveUp])
    } finally {
      this.#clock.clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort!)
    }
  }
}
