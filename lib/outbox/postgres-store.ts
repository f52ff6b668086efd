import { createHash } from 'node:crypto'
import type { ParkedEvent } from '../../types/outbox.ts'
import { systemClock } from '../clock.ts'
import { OutboxCollationError, OutboxIndexError } from '../errors.ts'
import { KnownKeys, type Seen } from './known-keys.ts'
import { CREATION_PATIENCE, PostgresConnection, type PostgresPool, type Prepared, type QueryResult, type Transaction } from './postgres-connection.ts'
import { createSeqIndex, createTable, EVENTS_AHEAD, KEYS_WALKED, statements, type PostgresNames } from './postgres-sql.ts'
import { parkedEventOf, readEvents, rememberTurns, type BatchOptions, type EventResult, type NewEvent, type OpenStore, type OutboxStats, type Work } from './store.ts'
import { take, type Candidate, type Found, type Read, type Step } from './take.ts'
import { checkPostgresTransaction } from './transaction.ts'

/** Anything else is the id of no event, and an error to PostgreSQL. */
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i

/** Between the app and the server there is a pooler that gives each transaction another connection: one that has not prepared the statement, or did so before the table was changed. */
const NOT_PREPARED: ReadonlySet<unknown> = new Set(['26000', '42P05', '0A000'])

const INSUFFICIENT_PRIVILEGE = '42501'

/** Encodings of databases that take every text. */
const ANY_TEXT: ReadonlySet<unknown> = new Set(['UTF8', 'SQL_ASCII'])
const NOT_ASCII = /[^\p{ASCII}]/gu

/** Holds what it hands out by row locks: one transaction a batch, open while the batch is worked on. */
export class PostgresStore implements OpenStore {
  readonly #connection: PostgresConnection
  readonly #names: PostgresNames
  readonly #sql
  readonly #preparedRead: Prepared
  readonly #keys = new KnownKeys(systemClock)
  #prepares = true
  #hasUnicode = true
  /** Seconds since the epoch. */
  #prunedTo = 0

  constructor (pool: PostgresPool, names: PostgresNames) {
    this.#connection = new PostgresConnection(pool, systemClock)
    this.#names = names
    this.#sql = statements(names)
    const { read } = this.#sql
    // A statement of another table, or of another version of this package, must not have the same name in the same connection.
    this.#preparedRead = { name: `outbox_read_${createHash('sha256').update(read).digest('hex').slice(0, 32)}`, text: read }
  }

  /** Asks before it creates: who finds table and index needs no right to create them. */
  async create (): Promise<void> {
    const { rows: [{ exists }] } = await this.#query(this.#sql.exists)
    if (!exists) await this.#createOnce(createTable(this.#names))
  }

  /** A table from before there was the index on `seq` gets it. */
  async complete (mayCreate: boolean): Promise<void> {
    const { schema, table } = this.#names
    const layout = await this.#layout()
    this.#hasUnicode = ANY_TEXT.has(layout.encoding)
    if (layout.collation !== 'C') throw new OutboxCollationError(`${schema}.${table}`, layout.collation)
    if (layout.has_seq_index) return
    const statement = createSeqIndex(this.#names)
    const lacking = (advice: string, cause?: unknown) => new OutboxIndexError(`${schema}.${table}`, `${advice} "${statement}"`, { cause })
    if (!mayCreate) throw lacking('create it with')
    try {
      await this.#createOnce(statement)
    } catch (error) {
      throw lacking((error as { code?: unknown }).code === INSUFFICIENT_PRIVILEGE ? "have it created by the table's owner with" : 'it could not be created now; start again, or create it with', error)
    }
    if (!(await this.#layout()).has_seq_index) throw lacking(`something else, or an index that is not valid, has the name '${table}_seq'; remove it, or create the index under another name, as in`)
  }

  async #layout (): Promise<{ has_seq_index: boolean, collation: string, encoding: string }> {
    return (await this.#query(this.#sql.layout)).rows[0]
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

  async batch (options: BatchOptions, work: Work): Promise<readonly EventResult[]> {
    try {
      return await this.#batch(options, work)
    } catch (error) {
      if (!this.#prepares || !NOT_PREPARED.has((error as { code?: unknown }).code)) throw error
      // Nothing was handed out yet: it is the statement that reads.
      this.#prepares = false
      return this.#batch(options, work)
    }
  }

  async #batch ({ limit, hold, signal }: BatchOptions, work: Work): Promise<readonly EventResult[]> {
    const { taken, results } = await this.#connection.transaction(async (transaction) => {
      const taken = await this.#take(transaction, limit)
      if (taken.length === 0) return { taken, results: [] }
      const { events, damaged } = readEvents(taken)
      transaction.finish()
      const results = await work(events, { damaged, get isLost () { return transaction.isLost } })
      await this.#storeResults(transaction, results)
      return { taken, results }
    }, { hold, signal })
    rememberTurns(this.#keys, taken, results)
    return results
  }

  async #take (transaction: Transaction, limit: number): Promise<Candidate[]> {
    const taking = take(this.#keys, limit)
    try {
      let next = taking.next()
      while (!next.done) next = taking.next(await this.#do(next.value, transaction))
      return next.value
    } finally {
      // Where it was, if a statement failed.
      taking.return([])
    }
  }

  async #do (step: Step, transaction: Transaction): Promise<Found | undefined> {
    switch (step.type) {
      case 'look': return this.#look(transaction, step.behind)
      case 'walk': return this.#walk(transaction, step.from)
      case 'read': return this.#read(transaction, step)
    }
  }

  async #look (transaction: Transaction, behind: number): Promise<undefined> {
    const { rows } = await transaction.query(this.#sql.ahead, [behind])
    const seenTo = rows.reduce((last, row) => Math.max(last, Number(row.seen_to)), 0)
    this.#keys.saw(rows.map(seenOf), seenTo, rows.reduce((sum, { events }) => sum + events, 0) < EVENTS_AHEAD)
  }

  async #walk (transaction: Transaction, from: string): Promise<undefined> {
    const { rows } = await transaction.query(this.#sql.walk, [from])
    this.#keys.walked(rows.map((row) => ({ ...seenOf(row), isDue: row.is_due })), rows.length < KEYS_WALKED ? '' : `${rows.at(-1).key}\u0001`)
  }

  async #read (transaction: Transaction, { turns, share, bytes }: Read): Promise<Found> {
    const { rows } = await transaction.query(this.#prepares ? this.#preparedRead : this.#sql.read, [turns.map(({ key }) => key), turns.map(({ floor }) => floor), share, bytes])
    return {
      candidates: rows.map((row) => ({ ...row, wait: Math.max(0, row.wait), isHeld: row.id !== null })),
      isCut: rows.reduce((sum, row) => sum + row.bytes, 0) >= bytes
    }
  }

  async #storeResults (transaction: Transaction, results: readonly EventResult[]): Promise<void> {
    const published = results.filter(({ state }) => state === 'published')
    const failed = results.filter((result) => result.state !== 'published')
    if (published.length > 0) await transaction.query(this.#sql.published, [published.map(({ event }) => event.id)])
    if (failed.length > 0) await transaction.query(this.#sql.failed, this.#columnsOf(failed))
  }

  async prune (age: number, limit: number, signal?: AbortSignal): Promise<number> {
    const { rows: [{ count, last }] } = await this.#query(this.#sql.prune, [age, limit, this.#prunedTo], signal)
    this.#prunedTo = count < limit ? 0 : last
    return count
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

  /** One process after the other: even IF NOT EXISTS fails where two create the same at once. */
  async #createOnce (statement: string): Promise<void> {
    await this.#connection.transaction(async (transaction) => {
      await transaction.query(this.#sql.lockCreation)
      await transaction.query(statement)
    }, { patience: CREATION_PATIENCE })
  }

  #query (text: string, values?: unknown[], signal?: AbortSignal): Promise<QueryResult> {
    return this.#connection.transaction((transaction) => transaction.query(text, values), { signal })
  }

  /** The parameters of the statement that stores failures. */
  #columnsOf (results: readonly Exclude<EventResult, { state: 'published' }>[]): unknown[][] {
    return [
      results.map(({ event }) => event.id),
      results.map(({ state }) => state === 'failed' ? 'pending' : state),
      // A character that the database does not have would make the results of the whole batch fail.
      results.map(({ message }) => this.#hasUnicode ? message : message.replaceAll(NOT_ASCII, '?')),
      results.map((result) => result.state === 'failed' ? result.delay : 0)
    ]
  }
}

function seenOf ({ key, seq }: { readonly key: string, readonly seq: string }): Seen {
  return { key, seq: Number(seq) }
}
