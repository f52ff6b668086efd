import { setImmediate } from 'node:timers'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../../types/backend.ts'
import { KeepAlive } from '../../keep-alive.ts'
import { isBusy } from '../../node-sqlite.ts'
import type { Connection } from './connection.ts'
import { Outage } from './outage.ts'
import { Transaction } from './transaction.ts'
import { closedTrouble } from './trouble.ts'

/** Something that somebody waits for: done with others in one transaction, and answered when it is committed. */
export interface GroupMember {
  /** Until when it goes on trying, monotonic milliseconds; set when it first meets a locked file. */
  deadline?: number
  /** What it asks the file to store, about. */
  readonly bytes?: number
  /** All of it was stored by the transaction. */
  readonly isStored?: boolean
  perform (tx: Transaction): void
  committed (): void
  failed (error: Error): void
}

/** What every transaction does besides, and again when it failed. */
export interface GroupWork {
  /** Something waits to be stored. */
  readonly pending: boolean
  /** Before the members: what has ended is stored before whoever heard of it asks for more. */
  before (tx: Transaction): void
  after (tx: Transaction): void
  committed (tx: Transaction): void
  rolledBack (): void
  /** Nothing could be stored for too long. */
  unavailable (error: Error): void
}

/** Members that one transaction takes: a long one would hold up everything else. */
const MEMBERS = 1000
/**
 * Milliseconds between tries for a lock: short at first, since busy processes leave it for moments only, and nobody queues
 * for it; a little longer after every so many tries, for who has it may keep it.
 */
const MAX_BUSY_PAUSE = 20
const TRIES_A_PAUSE = 10

export interface GroupCommitOptions {
  readonly connection: Connection
  readonly clock: Clock
  readonly log: FastifyBaseLogger
  /** Milliseconds. */
  readonly busyTimeout: number
}

/** Everything that arrives in one turn of the event loop is one transaction: the price of durability is paid once for all. */
export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #work: GroupWork
  readonly #keepAlive: KeepAlive
  readonly #outage: Outage
  #waiting: GroupMember[] = []
  #scheduled = false
  #busyTimer: unknown
  #busyTries = 0
  /** Since when no transaction was committed, in monotonic milliseconds. */
  #failingSince: number | undefined
  /** A group has failed: the next transaction is without one, since outcomes and the lease may do where jobs find no room. */
  #workAlone = false
  #closed = false
  #onSettled: (() => void)[] = []

  constructor (options: GroupCommitOptions, work: GroupWork) {
    this.#options = options
    this.#work = work
    this.#keepAlive = new KeepAlive(() => this.#pending)
    this.#outage = new Outage({ ...options, retry: this.wake })
  }

  get #pending (): boolean {
    return this.#waiting.length > 0 || this.#work.pending
  }

  add (member: GroupMember): void {
    if (this.#closed) {
      member.failed(this.#options.connection.unavailable(closedTrouble()))
      return
    }
    this.#waiting.push(member)
    this.wake()
  }

  /** There is something to do. */
  readonly wake = (): void => {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    setImmediate(this.#flush)
  }

  /** Resolves when what was to be stored is stored, or could not be. */
  settled (): Promise<void> {
    if (this.#closed || (!this.#scheduled && !this.#pending)) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onSettled.push(resolve)
      this.wake()
    })
  }

  /** Throws while enqueues are refused, or when nothing could be written for `busyTimeout`. */
  assertInReach (): void {
    this.#outage.assertOver()
  }

  close (): void {
    const { clock, connection } = this.#options
    this.#closed = true
    clock.clearTimeout(this.#busyTimer)
    this.#outage.stopRetrying()
    this.#keepAlive.release()
    const error = connection.unavailable(closedTrouble())
    for (const member of this.#waiting.splice(0)) member.failed(error)
    this.#tellSettled()
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    if (this.#closed) return
    const group = this.#workAlone ? [] : this.#waiting.splice(0, MEMBERS)
    this.#workAlone = false
    let tx: Transaction
    try {
      tx = this.#transact(group)
    } catch (error) {
      this.#options.connection.rollback()
      this.#work.rolledBack()
      if (isBusy(error)) this.#onBusy(group, error)
      else this.#onFailure(group, error)
      this.#checkPatience(error)
      return
    }
    this.#onCommit(group, tx)
  }

  #transact (group: readonly GroupMember[]): Transaction {
    const { clock, connection, connection: { sql } } = this.#options
    connection.assertUsable()
    sql.begin.run()
    const waited = this.#failingSince === undefined ? 0 : clock.monotonic() - this.#failingSince
    const tx = new Transaction(sql, clock.now(), waited)
    this.#work.before(tx)
    for (const member of group) member.perform(tx)
    this.#work.after(tx)
    tx.save()
    connection.commit()
    return tx
  }

  #onCommit (group: readonly GroupMember[], tx: Transaction): void {
    this.#busyTries = 0
    this.#failingSince = undefined
    if (this.#outage.isOn) this.#outage.committed(group)
    this.#work.committed(tx)
    for (const member of group) member.committed()
    if (tx.unfinished || this.#waiting.length > 0) this.wake()
    this.#tellSettled()
  }

  // Waiting inside SQLite would stop the process. Those who wait for an answer are told after a while, the rest goes on.
  #onBusy (group: readonly GroupMember[], error: unknown): void {
    const { clock, connection, busyTimeout } = this.#options
    const now = clock.monotonic()
    const patient: GroupMember[] = []
    // Those that the group had no room for wait as well.
    for (const member of [...group, ...this.#waiting]) {
      member.deadline ??= now + busyTimeout
      if (member.deadline > now) patient.push(member)
      else member.failed(connection.unavailable(error))
    }
    this.#waiting = patient
    this.#keepAlive.hold()
    this.#scheduled = true
    this.#busyTimer = clock.setTimeout(this.#flush, Math.min(1 + Math.floor(this.#busyTries++ / TRIES_A_PAUSE), MAX_BUSY_PAUSE))
  }

  #onFailure (group: readonly GroupMember[], cause: unknown): void {
    const error = this.#options.connection.unavailable(cause)
    this.#outage.failed(error, group)
    for (const member of group) member.failed(error)
    this.#tellSettled()
    this.#keepAlive.hold()
    this.#workAlone = group.length > 0
    // Those that the group had no room for are told at once, too.
    if (this.#workAlone || this.#waiting.length > 0) this.wake()
  }

  // Those who wait for room wait for nothing else.
  #checkPatience (cause: unknown): void {
    const { clock, connection, busyTimeout } = this.#options
    const now = clock.monotonic()
    this.#failingSince ??= now
    if (now - this.#failingSince < busyTimeout) return
    const error = connection.unavailable(cause)
    this.#outage.lasts(error)
    this.#work.unavailable(error)
    this.#tellSettled()
  }

  #tellSettled (): void {
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }
}
