import type { FastifyBaseLogger } from 'fastify'
import type { Clock, Delivery, Outcome } from '../types/backend.ts'
import type { UnknownJobsOptions } from '../types/options.ts'
import { logFields } from './envelope.ts'

/** Milliseconds for which a job name is not logged again. */
const QUIET = 60_000
/** Names are stored by others: they must not fill the memory. */
const MAX_NAMES = 1000

/** Jobs that this instance cannot run, but another one may: an instance of a newer version during a rolling deployment, say. */
export class UnknownJobs {
  readonly #options: Required<UnknownJobsOptions>
  readonly #clock: Clock
  readonly #log: FastifyBaseLogger
  /** Monotonic milliseconds, by job name. */
  readonly #loggedAt = new Map<string, number>()

  constructor (options: Required<UnknownJobsOptions>, clock: Clock, log: FastifyBaseLogger) {
    this.#options = options
    this.#clock = clock
    this.#log = log
  }

  /** Hands the job back with a delay; undefined when it has waited for too long. */
  handBack (delivery: Delivery, queue: string, reason: Error): Outcome | undefined {
    const { retryAfter, giveUpAfter } = this.#options
    const { envelope, dueAt = envelope.options?.runAt ?? envelope.enqueuedAt } = delivery
    const now = this.#clock.now()
    if (now - dueAt >= giveUpAfter) return undefined
    if (this.#isNews(envelope.name)) {
      this.#log.warn({ ...logFields(envelope, queue), reason: reason.message, retryAfter, giveUpAfter }, 'the job is handed back: this instance cannot run it, another one may')
    }
    return { type: 'released', runAt: now + retryAfter }
  }

  #isNews (name: string): boolean {
    const now = this.#clock.monotonic()
    if (now - (this.#loggedAt.get(name) ?? -Infinity) < QUIET) return false
    if (this.#loggedAt.size === MAX_NAMES) this.#loggedAt.clear()
    this.#loggedAt.set(name, now)
    return true
  }
}
