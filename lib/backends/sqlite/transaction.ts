import type { JobEnvelope } from '../../../types/job.ts'
import { PLAIN_BATCH, PLAIN_VALUES, type Statements } from './statements.ts'

/** The row of a queue: how many jobs are where. */
export interface Counts {
  readonly queue: number
  readonly name: string
  /** Waiting for their first attempt. */
  fresh: number
  /** Waiting for another attempt. */
  returned: number
  delayed: number
  active: number
  dead: number
  finished: number
  next_position: number
}

/**
 * What one transaction reads and writes. It is synchronous from BEGIN to COMMIT, and changes nothing of this process
 * before it is committed: it may have to be done again.
 */
export class Transaction {
  readonly #sql: Statements
  /** Values of plain jobs that are yet to be inserted, row after row. */
  #plain: (string | number | null)[] = []
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Milliseconds for which the file was out of reach before. */
  readonly waited: number
  readonly dropped: { queue: string, envelope: JobEnvelope }[] = []
  readonly deadLettersLost: { queue: string, letter: { id: string, name: string, attempt: number, correlationId: string | undefined } }[] = []
  /** There is more to do than one transaction should. */
  unfinished = false
  readonly #counts: readonly Counts[]
  readonly #changed = new Set<Counts>()
  readonly #heads = new Map<Counts, number>()

  constructor (sql: Statements, now: number, waited: number) {
    this.#sql = sql
    this.now = now
    this.waited = waited
    this.#counts = sql.queues.all() as unknown as Counts[]
  }

  get queues (): readonly Counts[] {
    return this.#counts
  }

  /** Whatever is asked, it finds everything that came before. */
  get sql (): Statements {
    if (this.#plain.length > 0) this.#insertPlain()
    return this.#sql
  }

  /** A job without options that waits. Inserted a little later, with others. */
  insertPlain (queue: number, position: number, job: JobEnvelope, payload: string): void {
    this.#plain.push(queue, position, job.id, job.name, payload, job.attempt, job.enqueuedAt, job.correlationId ?? null)
  }

  #insertPlain (): void {
    const values = this.#plain
    this.#plain = []
    let at = 0
    for (; values.length - at >= PLAIN_BATCH * PLAIN_VALUES; at += PLAIN_BATCH * PLAIN_VALUES) {
      this.#sql.insertPlainBatch.run(...values.slice(at, at + PLAIN_BATCH * PLAIN_VALUES))
    }
    for (; at < values.length; at += PLAIN_VALUES) this.#sql.insertPlain.run(...values.slice(at, at + PLAIN_VALUES))
  }

  look (queue: number): Readonly<Counts> {
    return this.#counts.find((counts) => counts.queue === queue)!
  }

  /** To be changed by the caller. */
  counts (queue: number): Counts {
    const counts = this.look(queue)
    this.#changed.add(counts)
    return counts
  }

  /** A position before everything that waits, which was taken later. Jobs that one transaction puts there keep their order. */
  head (counts: Counts): number {
    let head = this.#heads.get(counts)
    if (head === undefined) this.#heads.set(counts, head = -counts.next_position++)
    return head
  }

  save (): void {
    for (const { queue, fresh, returned, delayed, active, dead, finished, next_position: next } of this.#changed) {
      this.sql.saveQueue.run(fresh, returned, delayed, active, dead, finished, next, queue)
    }
  }
}
