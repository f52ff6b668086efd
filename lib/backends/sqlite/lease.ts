import { randomBytes } from 'node:crypto'
import type { Transaction } from './transaction.ts'

/** Renewals a lease. More than the heartbeats, whose timers drop fractions: one that comes a moment early renews, too. */
const RENEWALS = 4

/** What a transaction made of the lease. */
interface Held {
  readonly worker: number
  readonly until: number
}

/** This process's row among the workers: its jobs are its own as long as the row is there. */
export class Lease {
  readonly #duration: number
  #held: Held | undefined
  #next: Held | undefined
  #lost = new AbortController()

  /** `duration`: milliseconds. */
  constructor (duration: number) {
    this.#duration = duration
  }

  /** Aborts when the lease is lost: one signal for all deliveries. */
  get signal (): AbortSignal {
    return this.#lost.signal
  }

  get worker (): number | undefined {
    return this.#held?.worker
  }

  /** The worker that the transaction acts for. Whoever was taken for dead finds its row gone and begins anew. */
  hold (tx: Transaction): number {
    const held = this.#held
    const until = tx.now + this.#duration
    if (held === undefined || tx.sql.worker.get(held.worker) === undefined) {
      const worker = randomBytes(6).readUIntBE(0, 6)
      tx.sql.addWorker.run(worker, until)
      this.#next = { worker, until }
    } else if (until - held.until >= this.#duration / RENEWALS || held.until > until) {
      tx.sql.renewLease.run(until, held.worker)
      this.#next = { worker: held.worker, until }
    } else {
      this.#next = held
    }
    return this.#next.worker
  }

  committed (): void {
    const [held, next] = [this.#held, this.#next]
    this.#held = next
    if (held === undefined || held.worker === next?.worker) return
    const lost = this.#lost
    this.#lost = new AbortController()
    lost.abort()
  }
}
