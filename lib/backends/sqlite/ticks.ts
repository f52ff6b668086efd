import type { EnvelopeOptions } from '../../../types/job.ts'
import type { Transaction } from './transaction.ts'

/** Milliseconds in the future beyond which a remembered tick does not count: only a wrong clock put it there. */
const MAX_AHEAD = 60_000

/** The latest tick of every schedule that enqueues into a queue, remembered for good. */
export class Ticks {
  readonly #queue: number

  constructor (queue: number) {
    this.#queue = queue
  }

  /** The id of the job that makes this one a duplicate: that of the same tick, or of a later one if this one's unique key may be forgotten. */
  holder (tx: Transaction, { tickKey, schedule, uniqueFor = 0 }: EnvelopeOptions): string | undefined {
    if (tickKey === undefined) return undefined
    const last = tx.sql.lastTick.get(this.#queue, tickKey, tx.now + MAX_AHEAD) as { tick: number, job: string } | undefined
    if (last === undefined) return undefined
    const age = last.tick - schedule!.at
    return age === 0 || age > uniqueFor ? last.job : undefined
  }

  /** To be called when the job is stored. */
  remember (tx: Transaction, { tickKey, schedule }: EnvelopeOptions, id: string): void {
    if (tickKey !== undefined) tx.sql.rememberTick.run(this.#queue, tickKey, schedule!.at, id, tx.now + MAX_AHEAD)
  }
}
