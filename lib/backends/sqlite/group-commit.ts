import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../../types/backend.ts'
import { KeepAlive } from '../../keep-alive.ts'
import { isBusy } from '../../node-sqlite.ts'
import { BUSY_PAUSE, type Connection } from './connection.ts'
import { Transaction } from './transaction.ts'

/** Something that somebody waits for: done with others in one transaction, and answered when it is committed. */
export interface GroupMember {
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
}

interface Waiting { readonly member: GroupMember, /** Monotonic milliseconds; set when it first met a locked file. */ deadline: number | undefined }

/** Members that one transaction takes: a long one would hold up everything else. */
const MEMBERS = 1000
/** Milliseconds before a transaction that failed is tried again. */
const FIRST_BACKOFF = 100
const LAST_BACKOFF = 5000

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
  #waiting: Waiting[] = []
  #scheduled = false
  #timer: unknown
  #busySince: number | undefined
  #backoff = 0
  #closed = false
  #onSettled: (() => void)[] = []

  constructor (options: GroupCommitOptions, work: GroupWork) {
    this.#options = options
    this.#work = work
    this.#keepAlive = new KeepAlive(() => this.#pending)
  }

  get #pending (): boolean {
    return this.#waiting.length > 0 || this.#work.pending
  }

  add (member: GroupMember): void {
    if (this.#closed) {
      member.failed(this.#options.connection.unavailable(new Error('it is closed')))
      return
    }
    this.#waiting.push({ member, deadline: undefined })
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
    if (!this.#scheduled && !this.#pending) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onSettled.push(resolve)
      this.wake()
    })
  }

  close (): void {
    this.#closed = true
    this.#options.clock.clearTimeout(this.#timer)
    this.#keepAlive.release()
    const error = this.#options.connection.unavailable(new Error('it is closed'))
    for (const { member } of this.#waiting.splice(0)) member.failed(error)
    this.#tellSettled()
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    if (this.#closed) return
    const group = this.#waiting.splice(0, MEMBERS)
    let tx: Transaction
    try {
      tx = this.#transact(group)
    } catch (error) {
      this.#options.connection.rollback()
      this.#work.rolledBack()
      if (isBusy(error)) this.#onBusy(group, error)
      else this.#onFailure(group, error)
      return
    }
    this.#onCommit(group, tx)
  }

  #transact (group: readonly Waiting[]): Transaction {
    const { sql } = this.#options.connection
    sql.begin.run()
    const tx = new Transaction(sql, this.#options.clock.now())
    this.#work.before(tx)
    for (const { member } of group) member.perform(tx)
    this.#work.after(tx)
    tx.save()
    sql.commit.run()
    return tx
  }

  #onCommit (group: readonly Waiting[], tx: Transaction): void {
    if (this.#backoff > 0) this.#options.log.info('the SQLite file can be used again')
    this.#busySince = undefined
    this.#backoff = 0
    this.#work.committed(tx)
    for (const { member } of group) member.committed()
    if (tx.unfinished || this.#waiting.length > 0) this.wake()
    this.#tellSettled()
  }

  // Waiting inside SQLite would stop the process. Those who wait for an answer are told after a while, the rest goes on.
  #onBusy (group: readonly Waiting[], error: unknown): void {
    const { clock, connection, busyTimeout } = this.#options
    const now = clock.monotonic()
    this.#busySince ??= now
    const patient: Waiting[] = []
    for (const waiting of group) {
      waiting.deadline ??= now + busyTimeout
      if (waiting.deadline > now) patient.push(waiting)
      else waiting.member.failed(connection.unavailable(error))
    }
    this.#waiting = [...patient, ...this.#waiting]
    if (now - this.#busySince >= busyTimeout) this.#tellSettled()
    this.#keepAlive.hold()
    this.#scheduled = true
    this.#timer = clock.setTimeout(this.#flush, BUSY_PAUSE)
  }

  #onFailure (group: readonly Waiting[], cause: unknown): void {
    const { clock, connection, log } = this.#options
    const error = connection.unavailable(cause)
    if (this.#backoff === 0) log.error({ err: error }, 'the SQLite file cannot be used')
    for (const { member } of group) member.failed(error)
    this.#tellSettled()
    this.#keepAlive.hold()
    this.#backoff = Math.min(Math.max(FIRST_BACKOFF, this.#backoff * 2), LAST_BACKOFF)
    clock.clearTimeout(this.#timer)
    this.#timer = clock.setTimeout(this.wake, this.#backoff)
  }

  #tellSettled (): void {
    for (const resolve of this.#onSettled.splice(0)) resolve()
  }
}
