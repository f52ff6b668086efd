import type { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ParkedEvent } from '../../types/outbox.ts'
import { isBusy } from '../node-sqlite.ts'
import { uuid } from '../uuid.ts'
import { createTable, statements } from './sqlite-sql.ts'
import { eventOf, parkedEventOf, withoutGaps, type EventResult, type NewEvent, type OpenStore, type OutboxStats, type Work } from './store.ts'
import { checkSqliteTransaction } from './transaction.ts'

/** Milliseconds that SQLite waits for a lock by itself. Few, for they stop the whole process, and the lock's owner may be in it. */
const BUSY_TIMEOUT = 20
/** Milliseconds between tries for a lock, and all of them together. */
const BUSY_PAUSE = 20
const PATIENCE = 5000

/** Holds what it hands out by leases, since SQLite has no row locks. */
export class SqliteStore implements OpenStore {
  readonly #db: DatabaseSync
  readonly #table: string
  readonly #sql

  constructor (db: DatabaseSync, table: string) {
    this.#db = db
    this.#table = table
    this.#sql = statements(table)
  }

  async prepare (create: boolean): Promise<void> {
    this.#db.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`)
    if (create) await this.#write(() => this.#db.exec(createTable(this.#table)))
    await this.#patiently(() => this.#db.prepare(this.#sql.probe))
  }

  add (tx: unknown, create: () => NewEvent): string {
    checkSqliteTransaction(tx)
    const { id, key, type, payload } = create()
    tx.prepare(this.#sql.add).run(id, key, type, payload)
    return id
  }

  async batch ({ limit, hold }: { limit: number, hold: number }, work: Work): Promise<readonly EventResult[]> {
    const claim = uuid()
    // Read before the lease begins, and by the same clock: it cannot seem to last longer than it does.
    const until = Date.now() + hold
    const events = await this.#write(() => this.#claim(claim, limit, hold))
    if (events.length === 0) return []
    const results = await work(events, { get isLost () { return Date.now() >= until } })
    return this.#write(() => this.#settle(claim, events.map(({ id }) => id), results), until - Date.now())
  }

  #claim (claim: string, limit: number, hold: number) {
    const rows = this.#db.prepare(this.#sql.next).all({ limit }) as any[] // The columns that the statement selects.
    const events = withoutGaps(rows.map((row) => ({ event: eventOf(row), isHeld: row.held === 1 })))
    if (events.length > 0) this.#db.prepare(this.#sql.claim).run({ claim, hold: Math.ceil(hold), ids: JSON.stringify(events.map(({ id }) => id)) })
    return events
  }

  /** Those whose lease was lost are left to whoever has it now. */
  #settle (claim: string, ids: readonly string[], results: readonly EventResult[]): EventResult[] {
    const store = this.#db.prepare(this.#sql.store)
    const stored = results.filter((result) => store.run({
      claim,
      id: result.event.id,
      state: result.state === 'failed' ? 'pending' : result.state,
      attempts: result.event.attempt,
      error: result.state === 'published' ? null : result.message,
      delay: result.state === 'failed' ? Math.round(result.delay) : 0
    }).changes === 1)
    this.#db.prepare(this.#sql.release).run({ claim, ids: JSON.stringify(ids) })
    return stored
  }

  async prune (age: number, limit: number): Promise<number> {
    return this.#change(this.#sql.prune, Math.round(age), limit)
  }

  async stats (): Promise<OutboxStats> {
    const { pending, parked, oldest } = await this.#patiently(() => this.#db.prepare(this.#sql.stats).get()) as Record<string, number>
    // A clock that was set back makes no age negative.
    return { pending: pending!, parked: parked!, oldestSeconds: Math.max(0, oldest! / 1000) }
  }

  async listParked (limit: number): Promise<ParkedEvent[]> {
    const rows = await this.#patiently(() => this.#db.prepare(this.#sql.listParked).all(limit)) as any[] // The columns that the statement selects.
    return rows.map(parkedEventOf)
  }

  async retryParked (id: string): Promise<boolean> {
    return await this.#change(this.#sql.retryParked, id) === 1
  }

  async removeParked (id: string): Promise<boolean> {
    return await this.#change(this.#sql.removeParked, id) === 1
  }

  close (): void {
    this.#db.close()
  }

  #change (sql: string, ...values: (string | number)[]): Promise<number> {
    return this.#patiently(() => Number(this.#db.prepare(sql).run(...values).changes))
  }

  #write<T> (use: () => T, patience?: number): Promise<T> {
    return this.#patiently(() => {
      try {
        this.#db.exec('BEGIN IMMEDIATE')
        const result = use()
        this.#db.exec('COMMIT')
        return result
      } catch (error) {
        this.#rollback()
        throw error
      }
    }, patience)
  }

  #rollback (): void {
    try {
      this.#db.exec('ROLLBACK')
    } catch {
      // It did not begin, or SQLite has ended it.
    }
  }

  /** Tries again while somebody else has the lock, giving way to them in between. */
  async #patiently<T> (use: () => T, patience = PATIENCE): Promise<T> {
    const end = performance.now() + patience
    for (;;) {
      try {
        return use()
      } catch (error) {
        if (!isBusy(error) || performance.now() >= end) throw error
        await sleep(BUSY_PAUSE)
      }
    }
  }
}
