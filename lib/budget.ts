import type { Clock } from '../types/backend.ts'
import { MAX_TIMEOUT } from './timer-heap.ts'

/** The time that a shutdown has, shared by all that has to end. */
export class Budget {
  readonly #clock: Clock
  readonly #timers: unknown[] = []
  /** Monotonic milliseconds. */
  readonly #deadline: number

  /** `timeout`: milliseconds from now. */
  constructor (clock: Clock, timeout: number) {
    this.#clock = clock
    this.#deadline = clock.monotonic() + timeout
  }

  /** Milliseconds. */
  get left (): number {
    return Math.max(0, this.#deadline - this.#clock.monotonic())
  }

  /** Resolves when the budget has been over for `grace` milliseconds. */
  past (grace: number): Promise<'late'> {
    return new Promise((resolve) => {
      const delay = this.#deadline + grace - this.#clock.monotonic()
      const timer = this.#clock.setTimeout(() => resolve('late'), Math.min(Math.max(delay, 1), MAX_TIMEOUT))
      // Nothing else may hold the process until the close has said what it abandoned.
      ;(timer as Partial<NodeJS.Timeout>).ref?.()
      this.#timers.push(timer)
    })
  }

  /** Nobody needs it any more: what has not resolved never will. */
  end (): void {
    for (const timer of this.#timers) this.#clock.clearTimeout(timer)
  }
}
