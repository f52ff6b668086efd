import type { DatabaseSync } from 'node:sqlite'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { ParkedEvent } from '../../types/outbox.ts'
import { systemClock } from '../clock.ts'
import { isBusy } from '../node-sqlite.ts'
import { uuid } from '../uuid.ts'
import { KnownKeys } from './known-keys.ts'
import { createTable, EVENTS_AHEAD, KEYS_WALKED, statements } from './sqlite-sql.ts'
import { parkedEventOf, readEvents, rememberTurns, type BatchOptions, type EventResult, type NewEvent, type OpenStore, type OutboxStats, type Work } from './store.ts'
import { take, type Candidate, type Found, type Read, type Step } from './take.ts'
import { checkSqliteTransaction } from './transaction.ts'

/** Milliseconds that SQLite waits for a lock by itself. Few, for they stop the whole process, and the lock's owner may be in it. */
const BUSY_TIMEOUT = 20
/** Milliseconds between tries for a lock, and all of them together. */
const BUSY_PAUSE = 20
const PATIENCE = 5000
/** The same for results, once the app stops. */
const PATIENCE_WHEN_STOPPING = 2000
/** Milliseconds of a search after which it lets the process, and other writers, go on. */
const SLICE = 20
/** Milliseconds by which a claim may seem to be made in the future. */
const FUTURE = 1000

/** A batch that is being made up, and where it is. */
interface Search {
  readonly taking: ReturnType<typeof take>
  next: IteratorResult<Step, Candidate[]>
}

/** `at` by the wall clock, `until` by the monotonic one. */
interface Lease {
  readonly claim: string
  readonly at: number
  readonly until: number
}

/** For how many milliseconds a lock is waited for, and for how many once `signal` aborts. */
interface Waiting {
  readonly patience?: number
  readonly signal?: AbortSignal | undefined
  readonly grace?: number
}

/** Holds what it hands out by leases, since SQLite has no row locks. */
export class SqliteStore implements OpenStore {
  readonly #db: DatabaseSync
  readonly #table: string
  readonly #sql
  readonly #keys = new KnownKeys(systemClock)

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

  async batch ({ limit, hold, signal }: BatchOptions, work: Work): Promise<readonly EventResult[]> {
    let paused: Search | undefined
    for (;;) {
      // Read before the lease begins: it cannot seem to last longer than it does.
      const lease = leaseOf(hold)
      const taken = await this.#write(() => {
        // What was found by a try that failed may be another process's by now.
        const search = paused ?? this.#beginSearch(limit)
        paused = undefined
        const found = this.#claim(search, lease.claim, hold)
        if (found === undefined) paused = search
        return found
      }, { signal })
      if (taken !== undefined) return taken.length === 0 ? [] : await this.#workOn(taken, lease, work, signal)
      await setImmediate()
      if (signal?.aborted) return []
    }
  }

  #beginSearch (limit: number): Search {
    const taking = take(this.#keys, limit)
    return { taking, next: taking.next() }
  }

  async #workOn (taken: readonly Candidate[], { claim, at, until }: Lease, work: Work, signal: AbortSignal | undefined): Promise<readonly EventResult[]> {
    const { events, damaged } = readEvents(taken)
    // To others, whose clock was set back as well, a claim of the future is none.
    const results = await work(events, { damaged, get isLost () { return systemClock.monotonic() >= until || Date.now() < at - FUTURE } })
    const patience = until - systemClock.monotonic()
    const stored = await this.#write(() => this.#settle(claim, events.map(({ id }) => id), results), { patience, signal, grace: PATIENCE_WHEN_STOPPING })
    rememberTurns(this.#keys, taken, stored)
    return stored
  }

  /** Undefined where the search is to go on later. */
  #claim (search: Search, claim: string, hold: number): Candidate[] | undefined {
    const taken = this.#take(search)
    if (taken !== undefined && taken.length > 0) {
      this.#db.prepare(this.#sql.claim).run({ claim, hold: Math.ceil(hold), ids: JSON.stringify(taken.map(({ id }) => id)) })
    }
    return taken
  }

  #take (search: Search): Candidate[] | undefined {
    const end = systemClock.monotonic() + SLICE
    let isPaused = false
    try {
      while (!search.next.done) {
        const step = search.next.value
        isPaused = (step.type !== 'read' || step.isFirst) && systemClock.monotonic() >= end
        if (isPaused) return undefined
        search.next = search.taking.next(this.#do(step))
      }
      return search.next.value
    } finally {
      // Where it was, if a statement failed.
      if (!isPaused) search.taking.return([])
    }
  }

  #do (step: Step): Found | undefined {
    switch (step.type) {
      case 'look': return this.#look(step.behind)
      case 'walk': return this.#walk(step.from)
      case 'read': return this.#read(step)
    }
  }

  #look (behind: number): undefined {
    const ahead = this.#db.prepare(this.#sql.ahead).all(behind) as any[] // The columns that the statement selects.
    this.#keys.saw(ahead, ahead.at(-1)?.seq ?? 0, ahead.length < EVENTS_AHEAD)
  }

  /** Whether the first event of a key waits is found out when it is read. */
  #walk (from: string): undefined {
    const walked = this.#db.prepare(this.#sql.walk).all(from) as any[] // The columns that the statement selects.
    this.#keys.walked(walked.map(({ key, seq }) => ({ key, seq, isDue: true })), walked.length < KEYS_WALKED ? '' : `${walked.at(-1).key}\u0001`)
  }

  /** Counts a character of payload as a byte. */
  #read ({ turns, share, bytes }: Read): Found {
    const now = Date.now()
    const candidates: Candidate[] = []
    let left = bytes
    const rows = this.#db.prepare(this.#sql.read).iterate({ turns: JSON.stringify(turns), share, now, future: claimAt(now + FUTURE) })
    for (const row of rows as Iterable<any>) { // The columns that the statement selects.
      const isHeld = row.payload !== null
      const bytes = isHeld ? row.payload.length : 0
      candidates.push({ ...row, bytes, isHeld })
      left -= bytes
      if (left <= 0) break
    }
    return { candidates, isCut: left <= 0 }
  }

  /** Those whose lease was lost are left to whoever has it now. */
  #settle (claim: string, ids: readonly string[], results: readonly EventResult[]): EventResult[] {
    const published = results.filter(({ state }) => state === 'published').map(({ event }) => event.id)
    const stored = new Set<unknown>(this.#db.prepare(this.#sql.published).all({ claim, ids: JSON.stringify(published) }).map(({ id }) => id))
    const rest = ids.filter((id) => !stored.has(id))
    const failed = this.#db.prepare(this.#sql.failed)
    for (const result of results) {
      if (result.state === 'published') continue
      const { event: { id }, state, message } = result
      const delay = result.state === 'failed' ? Math.round(result.delay) : 0
      if (failed.get({ claim, id, state: state === 'failed' ? 'pending' : state, error: message, delay }) !== undefined) stored.add(id)
    }
    this.#db.prepare(this.#sql.release).run({ claim, ids: JSON.stringify(rest) })
    return results.filter(({ event }) => stored.has(event.id))
  }

  async prune (age: number, limit: number, signal?: AbortSignal): Promise<number> {
    return this.#change(this.#sql.prune, [Math.round(age), limit], { signal })
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
    const row = await this.#patiently(() => this.#db.prepare(this.#sql.retryParked).get(id)) as { readonly key: string } | undefined
    if (row !== undefined) this.#keys.add(row.key)
    return row !== undefined
  }

  async removeParked (id: string): Promise<boolean> {
    return await this.#change(this.#sql.removeParked, [id]) === 1
  }

  close (): void {
    this.#db.close()
  }

  #change (sql: string, values: (string | number)[], waiting?: Waiting): Promise<number> {
    return this.#patiently(() => Number(this.#db.prepare(sql).run(...values).changes), waiting)
  }

  #write<T> (use: () => T, waiting?: Waiting): Promise<T> {
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
    }, waiting)
  }

  #rollback (): void {
    try {
      this.#db.exec('ROLLBACK')
    } catch {
      // It did not begin, or SQLite has ended it.
    }
  }

  /** Tries again while somebody else has the lock, giving way to them in between. */
  async #patiently<T> (use: () => T, { patience = PATIENCE, signal, grace = 0 }: Waiting = {}): Promise<T> {
    let end = systemClock.monotonic() + patience
    for (;;) {
      try {
        return use()
      } catch (error) {
        const now = systemClock.monotonic()
        if (signal?.aborted === true && end > now + grace) end = now + grace
        if (!isBusy(error) || now >= end) throw error
        await sleep(BUSY_PAUSE)
      }
    }
  }
}

function leaseOf (hold: number): Lease {
  const at = Date.now()
  return { claim: claimAt(at), at, until: systemClock.monotonic() + hold }
}

/** Claims are compared by their time. */
function claimAt (time: number): string {
  return `${time.toString(16).padStart(12, '0')} ${uuid()}`
}
