import type { Delivery, Outcome } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import { decode, dueAt, type DeliveryRow } from './records.ts'

/** A job that this process holds. */
export class SqliteDelivery implements Delivery {
  readonly row: DeliveryRow
  readonly worker: number
  readonly signal: AbortSignal
  readonly startedAt: number
  readonly envelope: JobEnvelope
  readonly problem: Error | undefined
  outcome: Outcome | undefined = undefined
  /** The core has heard of it. */
  handedOut = false
  /** What the handler reported and is not stored yet. */
  reported: number | undefined = undefined
  readonly #onProgress: (delivery: SqliteDelivery) => void

  constructor (row: DeliveryRow, worker: number, signal: AbortSignal, startedAt: number, onProgress: (delivery: SqliteDelivery) => void) {
    this.row = row
    this.worker = worker
    this.signal = signal
    this.startedAt = startedAt
    this.#onProgress = onProgress
    const { envelope, problem } = decode(row)
    this.envelope = envelope
    this.problem = problem
  }

  get seq (): number {
    return this.row.seq
  }

  get stalls (): number {
    return this.row.stalls
  }

  get stalled (): boolean {
    return this.row.stalled === 1
  }

  get dueAt (): number {
    return dueAt(this.row)
  }

  progress (value: number): void {
    this.reported = value
    this.#onProgress(this)
  }
}
