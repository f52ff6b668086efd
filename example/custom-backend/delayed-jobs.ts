import type { Clock } from '../../lib/index.ts'
import type { StoredJob } from './stored-job.ts'

/** Milliseconds after which the clock is looked at again: it may have been set while a timeout ran. */
const LONGEST_SLEEP = 10_000

/**
 * Jobs that wait until they are due, behind one timeout. One timeout for each job would not do: timeouts that end at the same
 * time may fire in any order, and jobs of one due time must run in the order of their enqueues.
 */
export class DelayedJobs {
  readonly #clock: Clock
  readonly #onDue: (job: StoredJob) => void
  /** The one that is due first comes first. */
  readonly #jobs: StoredJob[] = []
  #timeout: unknown

  constructor (clock: Clock, onDue: (job: StoredJob) => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  get size (): number {
    return this.#jobs.length
  }

  [Symbol.iterator] (): Iterator<StoredJob> {
    return this.#jobs.values()
  }

  add (job: StoredJob): void {
    const index = this.#jobs.findLastIndex(({ runAt }) => runAt <= job.runAt) + 1
    this.#jobs.splice(index, 0, job)
    if (index === 0) this.#sleep()
  }

  close (): void {
    this.#clock.clearTimeout(this.#timeout)
  }

  #sleep (): void {
    this.#clock.clearTimeout(this.#timeout)
    const [first] = this.#jobs
    if (first === undefined) return
    this.#timeout = this.#clock.setTimeout(() => this.#releaseDue(), Math.min(first.runAt - this.#clock.now(), LONGEST_SLEEP))
  }

  #releaseDue (): void {
    const now = this.#clock.now()
    const notDue = this.#jobs.findIndex(({ runAt }) => runAt > now)
    for (const job of this.#jobs.splice(0, notDue === -1 ? this.#jobs.length : notDue)) this.#onDue(job)
    this.#sleep()
  }
}
