import type { EnqueueLimits } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import type { Results } from '../waiting-producers.ts'
import type { Admission } from './admission.ts'
import type { GroupMember } from './group-commit.ts'
import type { Transaction } from './transaction.ts'

/** Bytes of a job but for its payload, about. */
const ROW = 512

/** One call of `enqueue`, from its arrival to its answer. */
export class Enqueue implements GroupMember {
  readonly jobs: readonly JobEnvelope[]
  /** The jobs' payloads as they are stored. */
  readonly payloads: readonly string[]
  readonly limits: EnqueueLimits
  deadline: number | undefined = undefined
  results: Results | undefined = undefined
  error: unknown = undefined
  readonly promise: Promise<Results>
  #resolve!: (results: Results | Promise<Results>) => void
  #reject!: (error: unknown) => void
  readonly #admission: Admission

  constructor (admission: Admission, jobs: readonly JobEnvelope[], payloads: readonly string[], limits: EnqueueLimits) {
    this.#admission = admission
    this.jobs = jobs
    this.payloads = payloads
    this.limits = limits
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Each job has entries in several trees besides its payload. */
  get bytes (): number {
    return this.payloads.reduce((sum, payload) => sum + Buffer.byteLength(payload) + ROW, 0)
  }

  get isStored (): boolean {
    return this.results?.every(({ status }) => status === 'enqueued') === true
  }

  perform (tx: Transaction): void {
    // What an earlier try of the transaction came to has not happened.
    this.results = undefined
    const { signal } = this.limits
    this.error = signal?.aborted ? signal.reason : undefined
    if (this.error === undefined) this.#admission.decide(tx, this)
  }

  committed (): void {
    if (this.error !== undefined) this.#reject(this.error)
    else this.#resolve(this.results ?? this.#admission.wait(this))
  }

  failed (error: Error): void {
    this.#reject(error)
  }
}
