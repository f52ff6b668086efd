import type { ParkedEvent } from '../../types/outbox.ts'
import { systemClock } from '../clock.ts'
import { OutboxIndexError } from '../errors.ts'
import { KnownKeys, type Turn } from './known-keys.ts'
import { CREATION_PATIENCE, PostgresConnection, type PostgresPool, type QueryResult, type Transaction } from './postgres-connection.ts'
import { createSeqIndex, createTable, statements, type PostgresNames } from './postgres-sql.ts'
import { parkedEventOf, readEvents, rememberTurns, withoutGaps, type BatchOptions, type EventResult, type NewEvent, type OpenStore, type OutboxStats, type Taken, type Work } from './store.ts'
import { checkPostgresTransaction } from './transaction.ts'

/** Anything else is the id of no event, and an error to PostgreSQL. */
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i

/** Holds what it hands out by row locks: one transaction a batch, open while the batch is worked on. */
export class PostgresStore implements OpenStore {
  readonly #connection: PostgresConnection
  readonly #names: PostgresNames
  readonly #sql
  readonly #keys = new KnownKeys(systemClock)

  constructor (pool: PostgresPool, names: PostgresNames) {
    this.#connection = new PostgresConnection(pool, systemClock)
    this.#names = names
    this.#sql = statements(names)
  }

  /** Asks before it creates: who finds table and index needs no right to create them. */
  async create (): Promise<void> {
    if (!await this.#isTrue(this.#sql.exists)) await this.#createOnce(createTable(this.#names))
  }

  /** A table from before there was the index on `seq` gets it. */
  async complete (mayCreate: boolean): Promise<void> {
    if (await this.#isTrue(this.#sql.hasSeqIndex)) return
    const statement = createSeqIndex(this.#names)
    const table = `${this.#names.schema}.${this.#names.table}`
    if (!mayCreate) throw new OutboxIndexError(table, `create it with "${statement}"`)
    try {
      await this.#createOnce(statement)
    } catch (error) {
      throw new OutboxIndexError(table, `have it created by the table's owner with "${statement}"`, { cause: error })
    }
  }

  async probe (): Promise<void> {
    await this.#query(this.#sql.probe)
  }

  async add (tx: unknown, create: () => NewEvent): Promise<string> {
    checkPostgresTransaction(tx)
    const { id, key, type, payload } = create()
    await tx.query(this.#sql.add, [id, key, type, payload])
    return id
  }

  async batch ({ limit, hold, signal }: BatchOptions, work: Work): Promise<readonly EventResult[]> {
    const { taken, results } = await this.#connection.transaction(async (transaction) => {
      const taken = await this.#take(transaction, limit)
      if (taken.length === 0) return { taken, results: [] }
      const { events, damaged } = readEvents(taken)
      transaction.finish()
      const results = await work(events, { damaged, get isLost () { return transaction.isLost } })
      if (results.length > 0) await transaction.query(this.#sql.store, columnsOf(results))
      return { taken, results }
    }, { hold, signal })
    rememberTurns(this.#keys, taken, results)
    return results
  }

  async #take (transaction: Transaction, limit: number): Promise<Taken[]> {
    for (const step of this.#keys.steps(limit)) {
      if (step.type === 'look') {
        await this.#look(transaction, step.walks)
        continue
      }
      const taken = await this.#takeOf(transaction, step.turns, limit)
      if (taken.length > 0) return taken
    }
    return []
  }

  async #look (transaction: Transaction, walks: boolean): Promise<void> {
    const began = systemClock.monotonic()
    const { rows: [sight] } = await transaction.query(this.#sql.look, [this.#keys.seenTo, this.#keys.walkFrom, walks])
    this.#keys.saw({
      ahead: sight.ahead, seenTo: Number(sight.seen_to), isAll: sight.is_all, walked: sight.walked, walkFrom: sight.walk_from
    }, walks, systemClock.monotonic() - began)
  }

  async #takeOf (transaction: Transaction, turns: readonly Turn[], limit: number): Promise<Taken[]> {
    const { rows } = await transaction.query(this.#sql.take, [turns.map(({ key }) => key), turns.map(({ floor }) => floor), limit])
    const found = new Map<string, { waits: boolean }>(rows.map((row) => [row.key, row]))
    for (const { key } of turns) {
      // One that another process has comes to the end of the row; one that waits is found again once it is due.
      if (found.get(key)?.waits === false) this.#keys.served(key, 0, 0)
      else this.#keys.forget(key)
    }
    return withoutGaps(rows.filter(({ id }) => id !== null))
  }

  async prune (age: number, limit: number): Promise<number> {
    return (await this.#query(this.#sql.prune, [age, limit])).rowCount!
  }

  async stats (): Promise<OutboxStats> {
    const { rows: [{ pending, parked, oldest }] } = await this.#query(this.#sql.stats)
    // A clock that was set back makes no age negative.
    return { pending, parked, oldestSeconds: Math.max(0, Number(oldest)) }
  }

  async listParked (limit: number): Promise<ParkedEvent[]> {
    return (await this.#query(this.#sql.listParked, [limit])).rows.map(parkedEventOf)
  }

  async retryParked (id: string): Promise<boolean> {
    if (!UUID.test(id)) return false
    const { rows: [row] } = await this.#query(this.#sql.retryParked, [id])
    if (row !== undefined) this.#keys.add(row.key)
    return row !== undefined
  }

  async removeParked (id: string): Promise<boolean> {
    return UUID.test(id) && (await this.#query(this.#sql.removeParked, [id])).rowCount === 1
  }

  close (): void {
    // The pool is the app's.
  }

  async #isTrue (sql: string): Promise<boolean> {
    return (await this.#query(sql)).rows[0].exists
  }

  /** One process after the other: even IF NOT EXISTS fails where two create the same at once. */
  async #createOnce (statement: string): Promise<void> {
    await this.#connection.transaction(async (transaction) => {
      await transaction.query(this.#sql.lockCreation)
      await transaction.query(statement)
    }, { patience: CREATION_PATIENCE })
  }

  #query (text: string, values?: unknown[]): Promise<QueryResult> {
    return this.#connection.transaction((transaction) => transaction.query(text, values))
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
