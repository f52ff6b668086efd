import { serializeError, toError } from '../serialize-error.ts'

/** Milliseconds until a tick that could not be enqueued is tried again. */
const RETRY_DELAY = 5000

/** The tick that could not be enqueued last, why, and when to try again. */
export class FailedTick {
  #tick: number | undefined
  #reason: string | undefined
  #retryAt = 0

  get retryAt (): number {
    return this.#retryAt
  }

  is (tick: number): boolean {
    return tick === this.#tick
  }

  // The clock may have been set back meanwhile.
  waits (now: number): boolean {
    return now < this.#retryAt && this.#retryAt <= now + RETRY_DELAY
  }

  /** False when the tick has failed before, for the same reason: one log line is enough. */
  record (tick: number, error: unknown, now: number): boolean {
    const reason = serializeError(toError(error)).message
    const isNews = tick !== this.#tick || reason !== this.#reason
    this.#tick = tick
    this.#reason = reason
    this.#retryAt = now + RETRY_DELAY
    return isNews
  }
}
