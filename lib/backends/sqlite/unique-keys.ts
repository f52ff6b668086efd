import { storableTime, type DeliveryRow } from './records.ts'
import type { Transaction } from './transaction.ts'

/** A job that has, or had, a unique key. */
type Keyed = Pick<DeliveryRow, 'id' | 'unique_key' | 'unique_for'>

/** Who has which key of a queue: from the enqueue to the job's end, and for `uniqueFor` after it. */
export class UniqueKeys {
  readonly #queue: number

  constructor (queue: number) {
    this.#queue = queue
  }

  /** The id of the job that has the key. */
  holder (tx: Transaction, key: string): string | undefined {
    const row = tx.sql.keyHolder.get(this.#queue, key) as { job: string, taken_until: number | null } | undefined
    if (row === undefined || (row.taken_until !== null && row.taken_until <= tx.now)) return undefined
    return row.job
  }

  take (tx: Transaction, key: string, id: string): void {
    tx.sql.takeKey.run(this.#queue, key, id, null)
  }

  /** For a job that runs again. Returns the id of the other job that has its key by now, if there is one. */
  retake (tx: Transaction, { id, unique_key: key }: Keyed): string | undefined {
    if (key === null) return undefined
    const holder = this.holder(tx, key)
    if (holder !== undefined && holder !== id) return holder
    this.take(tx, key, id)
    return undefined
  }

  /** The job has run to an end. */
  end (tx: Transaction, job: Keyed): void {
    if (job.unique_key === null) return
    if (job.unique_for !== null && job.unique_for > 0) tx.sql.takeKey.run(this.#queue, job.unique_key, job.id, storableTime(tx.now + job.unique_for))
    else this.giveBack(tx, job)
  }

  giveBack (tx: Transaction, { id, unique_key: key }: Keyed): void {
    if (key !== null) tx.sql.giveKeyBack.run(this.#queue, key, id)
  }
}
