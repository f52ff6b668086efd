import type { Clock } from '../../../types/backend.ts'
import { MAX_TIMEOUT } from '../../timer-heap.ts'
import type { Store, StoreOptions } from './store.ts'
import type { Counts, Transaction } from './transaction.ts'

/** Milliseconds between two prunings, at the most. */
const PRUNE_INTERVAL = 60_000
/** Milliseconds. Who waited for so long for the file looks again before it takes anybody for dead: others could not renew their lease either. */
const LONG_WAIT = 100
/** Unique keys that one transaction forgets. */
const BATCH = 500

/** What is done by the clock: looking for what other processes did, delayed jobs, the lease, dead workers, retention. */
export class Housekeeping {
  readonly #store: Store
  readonly #clock: Clock
  readonly #options: StoreOptions
  #poll: unknown
  #heartbeat: unknown
  #alarm: unknown
  #alarmAt = Infinity
  #nextDue = Infinity
  #stopped = false
  keepsLease = false
  /** To be done in the next transaction. */
  #reaps = false
  #prunes = false
  #lastPruned: number
  /** The wall clock's lead over the monotonic one. */
  #offset: number
  /** Milliseconds by which the wall clock was set back, and the leases are not yet. */
  #setBack = 0
  /** When leases may have run out that nobody could renew, in monotonic milliseconds: all get the time of one to do so. */
  #distrustedAt = -Infinity

  constructor (store: Store, clock: Clock, options: StoreOptions) {
    this.#store = store
    this.#clock = clock
    this.#options = options
    this.#lastPruned = clock.monotonic()
    this.#offset = clock.now() - clock.monotonic()
    this.#schedulePoll()
  }

  keepLease (): void {
    if (this.keepsLease) return
    this.keepsLease = true
    this.#scheduleHeartbeat()
  }

  perform (tx: Transaction, worker: number | undefined): void {
    // Those of the living are renewed, or will be. The dead would keep their jobs for as long as the clock was set back.
    if (this.#setBack > this.#options.lease) tx.sql.setLeasesBack.run(this.#setBack, tx.now + this.#setBack)
    if (this.#reaps && tx.waited < LONG_WAIT) {
      const expired = tx.sql.expiredWorkers.all(tx.now) as { worker: number }[]
      for (const dead of expired) {
        if (dead.worker !== worker) this.#dissolve(tx, dead.worker, 1)
      }
    }
    if (this.#prunes) {
      for (const { queue } of this.#store.lanes.values()) queue.forgetEndedBefore(tx, tx.now - this.#options.retention)
      if (Number(tx.sql.forgetKeys.run(tx.now, BATCH).changes) === BATCH) tx.unfinished = true
    }
  }

  /** After everything else, since that may have delayed a job. */
  findNextDue (tx: Transaction): void {
    this.#nextDue = this.#dueAfter(tx.queues)
  }

  committed (tx: Transaction): void {
    if (tx.waited > this.#options.lease / 6) this.#distrustLeases()
    this.#reaps = false
    this.#setBack = 0
    if (!tx.unfinished) this.#prunes = false
    this.#watch(this.#nextDue)
  }

  /** This process's jobs are anybody's now. */
  leave (tx: Transaction, worker: number | undefined): void {
    this.keepsLease = false
    if (worker !== undefined) this.#dissolve(tx, worker, 0)
  }

  stop (): void {
    this.#stopped = true
    for (const timer of [this.#poll, this.#heartbeat, this.#alarm]) this.#clock.clearTimeout(timer)
  }

  #dissolve (tx: Transaction, worker: number, stalls: number): void {
    for (const { queue } of tx.queues) {
      const counts = tx.counts(queue)
      const given = Number(tx.sql.giveBack.run(tx.head(counts), stalls, queue, worker).changes)
      counts.active -= given
      counts.returned += given
    }
    tx.sql.removeWorker.run(worker)
  }

  #schedulePoll (): void {
    this.#poll = this.#clock.setTimeout(() => this.#look(), this.#options.pollInterval)
  }

  #scheduleHeartbeat (): void {
    this.#heartbeat = this.#clock.setTimeout(() => {
      this.#store.group.wake()
      this.#scheduleHeartbeat()
    }, this.#options.lease / 3)
  }

  #look (): void {
    this.#schedulePoll()
    const { connection, connection: { sql }, group, lanes } = this.#store
    const now = this.#clock.now()
    try {
      connection.checkFile()
      const wasSet = this.#clockWasSet(now)
      const trusted = this.#clock.monotonic() - this.#distrustedAt >= this.#options.lease
      this.#reaps = trusted && sql.expiredWorkers.get(now) !== undefined
      const counts = sql.queues.all() as unknown as Counts[]
      this.#watch(this.#dueAfter(counts))
      if (this.#isPruningDue()) this.#prunes = true
      const wanted = [...lanes.values()].some(({ queue, admission, consumer }) => {
        const row = counts.find(({ queue: id }) => id === queue.id)!
        return (admission.producers.size > 0 && queue.room(row) > 0) || ((consumer?.wanted ?? 0) > 0 && row.fresh + row.returned > 0)
      })
      if (wanted || wasSet || this.#reaps || this.#prunes) group.wake()
    } catch {
      // The next transaction meets the same problem, and says so.
      group.wake()
    }
  }

  #isPruningDue (): boolean {
    const now = this.#clock.monotonic()
    if (now - this.#lastPruned < Math.min(PRUNE_INTERVAL, this.#options.retention)) return false
    this.#lastPruned = now
    return true
  }

  /** Leases are times of the wall clock: once it was set, ours is renewed, and others get the time to do so. */
  #clockWasSet (now: number): boolean {
    const monotonic = this.#clock.monotonic()
    const offset = now - monotonic
    const wasSet = Math.abs(offset - this.#offset) > this.#options.lease / 6
    if (wasSet) {
      this.#distrustLeases()
      this.#setBack += this.#offset - offset
    }
    this.#offset = offset
    return wasSet
  }

  #distrustLeases (): void {
    this.#distrustedAt = this.#clock.monotonic()
  }

  /** When the next delayed job falls due. */
  #dueAfter (counts: readonly Counts[]): number {
    let next = Infinity
    for (const { queue } of this.#store.lanes.values()) {
      if (counts.find(({ queue: id }) => id === queue.id)!.delayed === 0) continue
      const { due } = this.#store.connection.sql.nextDue.get(queue.id) as { due: number }
      next = Math.min(next, due)
    }
    return next
  }

  /** One timer for all. */
  #watch (next: number): void {
    if (next === this.#alarmAt || this.#stopped) return
    this.#clock.clearTimeout(this.#alarm)
    this.#alarmAt = next
    if (next === Infinity) return
    const delay = Math.min(Math.max(1, Math.ceil(next - this.#clock.now())), MAX_TIMEOUT)
    this.#alarm = this.#clock.setTimeout(() => {
      this.#alarmAt = Infinity
      this.#store.group.wake()
    }, delay)
  }
}
