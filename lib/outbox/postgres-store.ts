import type { ParkedEvent } from '../../types/outbox.ts'
import { createTable, LOOK_AHEAD, statements, type PostgresNames } from './postgres-sql.ts'
import { eventOf, parkedEventOf, withoutGaps, type EventResult, type NewEvent, type OpenStore, type OutboxStats, type Work } from './store.ts'
import { checkPostgresTransaction } from './transaction.ts'

/** Anything else is the id of no event, and an error to PostgreSQL. */
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i

interface QueryResult {
  readonly rows: any[] // Whatever the statement selects.
  readonly rowCount: number | null
}

interface PostgresClient {
  query (text: string, values?: unknown[]): Promise<QueryResult>
  on (event: 'error', listener: (error: Error) => void): unknown
  off (event: 'error', listener: (error: Error) => void): unknown
  release (error?: Error): void
}

/** What the store needs of a pg.Pool. */
export interface PostgresPool {
  query (text: string, values?: unknown[]): Promise<QueryResult>
  connect (): Promise<PostgresClient>
}

/** Holds what it hands out by row locks: one transaction a batch, open while the batch is worked on. */
export class PostgresStore implements OpenStore {
  readonly #pool: PostgresPool
  readonly #names: PostgresNames
  readonly #sql

  constructor (pool: PostgresPool, names: PostgresNames) {
    this.#pool = pool
    this.#names = names
    this.#sql = statements(names)
  }

  /** Asks before it creates: who finds the table needs no right to create one. */
  async create (): Promise<void> {
    if (await this.#exists(this.#pool)) return
    await this.#withClient(async (client) => {
      await client.query(this.#sql.beginCreation)
      if (!await this.#exists(client)) await client.query(createTable(this.#names))
      await client.query('COMMIT')
    })
  }

  async probe (): Promise<void> {
    await this.#pool.query(this.#sql.probe)
  }

  async add (tx: unknown, create: () => NewEvent): Promise<string> {
    checkPostgresTransaction(tx)
    const { id, key, type, payload } = create()
    await tx.query(this.#sql.add, [id, key, type, payload])
    return id
  }

  batch ({ limit, hold }: { limit: number, hold: number }, work: Work): Promise<readonly EventResult[]> {
    return this.#withClient(async (client, connection) => {
      await client.query(this.#sql.begin(hold))
      const keys = await this.#lockKeys(client, limit)
      const { rows } = keys.length === 0 ? { rows: [] } : await client.query(this.#sql.lockEvents, [keys, limit])
      const events = withoutGaps(rows.map((row) => ({ event: eventOf(row), isHeld: row.held })))
      const results = events.length === 0 ? [] : await work(events, connection)
      if (results.length > 0) await client.query(this.#sql.store, columnsOf(results))
      await client.query('COMMIT')
      return results
    })
  }

  async #lockKeys (client: PostgresClient, limit: number): Promise<string[]> {
    const { rows: [{ events, keys }] } = await client.query(this.#sql.keysAhead, [limit * LOOK_AHEAD])
    if (events === 0) return []
    const heads = await this.#lockHeads(client, keys, limit)
    // Keys that wait for a retry, or that other processes hold, can fill all that was looked at.
    if (heads.length > 0 || events < limit * LOOK_AHEAD) return heads
    const { rows: [all] } = await client.query(this.#sql.keysOfAll, [limit * LOOK_AHEAD])
    return this.#lockHeads(client, all.keys, limit)
  }

  async #lockHeads (client: PostgresClient, keys: string[] | null, limit: number): Promise<string[]> {
    if (keys === null) return []
    const { rows } = await client.query(this.#sql.lockHeads, [keys, limit])
    return rows.map(({ key }) => key)
  }

  async prune (age: number, limit: number): Promise<number> {
    return (await this.#pool.query(this.#sql.prune, [age, limit])).rowCount!
  }

  async stats (): Promise<OutboxStats> {
    const { rows: [{ pending, parked, oldest }] } = await this.#pool.query(this.#sql.stats)
    // A clock that was set back makes no age negative.
    return { pending, parked, oldestSeconds: Math.max(0, Number(oldest)) }
  }

  async listParked (limit: number): Promise<ParkedEvent[]> {
    return (await this.#pool.query(this.#sql.listParked, [limit])).rows.map(parkedEventOf)
  }

  async retryParked (id: string): Promise<boolean> {
    return UUID.test(id) && (await this.#pool.query(this.#sql.retryParked, [id])).rowCount === 1
  }

  async removeParked (id: string): Promise<boolean> {
    return UUID.test(id) && (await this.#pool.query(this.#sql.removeParked, [id])).rowCount === 1
  }

  close (): void {
    // The pool is the app's.
  }

  async #exists (client: Pick<PostgresClient, 'query'>): Promise<boolean> {
    return (await client.query(this.#sql.exists)).rows[0].exists
  }

  /** A client for as long as `use` takes. Whatever fails costs the connection, and with it the transaction and its locks. */
  async #withClient<T> (use: (client: PostgresClient, connection: { readonly isLost: boolean }) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect()
    const connection = { isLost: false }
    const onError = (): void => { connection.isLost = true }
    // The next query says what happened; without a listener the event would end the process.
    client.on('error', onError)
    try {
      const result = await use(client, connection)
      client.off('error', onError)
      client.release()
      return result
    } catch (error) {
      // The listener stays: a broken socket may have more to say while it is closed.
      client.release(error as Error)
      throw error
    }
  }
}

/** The parameters of the statement that stores results. */
function columnsOf (results: readonly EventResult[]): unknown[][] {
  return [
    results.map(({ event }) => event.id),
    results.map(({ state }) => state === 'failed' ? 'pending' : state),
    results.map(({ event }) => event.attempt),
    results.map((result) => result.state === 'published' ? null : result.message),
    results.map((result) => result.state === 'failed' ? result.delay : 0)
  ]
}
