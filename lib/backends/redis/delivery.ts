import type { Delivery } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import type { StoredJob } from './record.ts'

/** A job that this process took. */
export class RedisDelivery implements Delivery {
  readonly envelope: JobEnvelope
  readonly problem: Error | undefined
  readonly dueAt: number | undefined
  readonly stalls: number
  readonly stalled: boolean
  /** Aborted when the lease is lost. */
  readonly lease: AbortController
  /** Monotonic milliseconds at which the lease was got, or renewed. */
  leasedAt = performance.now()
  readonly #storeProgress: (value: number) => Promise<void>
  #progress: number | undefined
  #storing = false

  constructor (record: StoredJob, lease: AbortController, storeProgress: (value: number) => Promise<void>) {
    this.envelope = record.envelope()
    this.problem = record.problem
    this.dueAt = record.number('due')
    this.stalls = record.number('stc') ?? 0
    this.stalled = record.stalled
    this.lease = lease
    this.#storeProgress = storeProgress
  }

  get signal (): AbortSignal {
    return this.lease.signal
  }

  loseLease (): void {
    this.lease.abort()
  }

  /** Of what is reported while something is on its way, the last one is stored. */
  progress (value: number): void {
    this.#progress = value
    if (!this.#storing) this.#store()
  }

  async #store (): Promise<void> {
    this.#storing = true
    try {
      for (let value = this.#progress; value !== undefined; value = this.#progress) {
        this.#progress = undefined
        await this.#storeProgress(value)
      }
    } catch {
      // The job has ended, or somebody else has it by now.
    } finally {
      this.#storing = false
    }
  }
}
