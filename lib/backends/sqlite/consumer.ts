import { setImmediate } from 'node:timers'
import type { Consumer, Deliver, Outcome } from '../../../types/backend.ts'
import type { DeliveryRow } from './records.ts'
import { SqliteDelivery } from './delivery.ts'
import type { SqliteQueue } from './queue.ts'
import { settle } from './settlement.ts'
import type { Transaction } from './transaction.ts'

const RELEASED: Outcome = { type: 'released' }

/** The slots of a queue in this process. What one transaction claimed is handed out in the next turn of the event loop. */
export class SqliteConsumer implements Consumer {
  readonly queue: SqliteQueue
  readonly #concurrency: number
  readonly #deliver: Deliver
  readonly #wake: () => void
  #free: number
  #paused = false
  #claimed: SqliteDelivery[] = []
  /** Those whose outcome is to be stored. */
  #ended: SqliteDelivery[] = []
  #reports = new Set<SqliteDelivery>()
  #onStopped: (() => void) | undefined

  constructor (queue: SqliteQueue, concurrency: number, deliver: Deliver, wake: () => void) {
    this.queue = queue
    this.#concurrency = this.#free = concurrency
    this.#deliver = deliver
    this.#wake = wake
    wake()
  }

  /** Slots to be filled. */
  get wanted (): number {
    return this.#paused ? 0 : this.#free
  }

  get pending (): boolean {
    return this.#ended.length > 0 || this.#reports.size > 0
  }

  pause (): void {
    this.#paused = true
  }

  resume (): void {
    this.#paused = false
    this.#wake()
  }

  stop (): Promise<void> {
    this.#paused = true
    return new Promise((resolve) => {
      this.#onStopped = resolve
      this.#checkStopped()
    })
  }

  /** Stores what has come to pass. What another worker was given is nobody's business here. */
  store (tx: Transaction, worker: number): void {
    for (const { worker: holder, seq, reported } of this.#reports) {
      if (holder === worker) tx.sql.progress.run(reported!, seq, worker)
    }
    for (const delivery of this.#ended) {
      if (delivery.worker === worker) settle(tx, this.queue, delivery, delivery.outcome!)
    }
  }

  stored (): void {
    if (this.#reports.size > 0) this.#reports = new Set()
    if (this.#ended.length > 0) this.#ended = []
    this.#checkStopped()
  }

  handOut (rows: readonly DeliveryRow[], worker: number, signal: AbortSignal, now: number): void {
    this.#free -= rows.length
    for (const row of rows) this.#claimed.push(new SqliteDelivery(row, worker, signal, now, this.#onProgress))
    // Not at once: whoever enqueued them hears of it before they begin, and requests are served in between.
    setImmediate(this.#handOut)
  }

  readonly #handOut = (): void => {
    const claimed = this.#claimed
    this.#claimed = []
    for (const delivery of claimed) {
      if (this.#paused) {
        this.#settle(delivery, RELEASED)
        continue
      }
      delivery.handedOut = true
      this.#deliver(delivery, this.#settle)
    }
  }

  readonly #settle = (delivery: SqliteDelivery, outcome: Outcome): void => {
    delivery.outcome = outcome
    this.#ended.push(delivery)
    this.#free++
    this.#wake()
  }

  readonly #onProgress = (delivery: SqliteDelivery): void => {
    this.#reports.add(delivery)
    this.#wake()
  }

  #checkStopped (): void {
    if (this.#free === this.#concurrency && this.#ended.length === 0) this.#onStopped?.()
  }
}
