import { setImmediate } from 'node:timers'
import type { Clock } from '../types/backend.ts'

/** Turns of the event loop in which what a timeout has begun goes on. */
const TURNS = 5

interface Timeout { readonly at: number, readonly callback: () => void }

/**
 * A clock for tests: it stands still until a test moves it. Give it to the plugin as option `clock`, in place of mocked timers:
 *
 *     const clock = new ManualClock()
 *     await app.register(backgroundJobs, { clock })
 *     await clock.advance(60_000)
 */
export class ManualClock implements Clock {
  /** What the wall clock said at the start, in milliseconds since the epoch. To change it sets the wall clock, as `jump` does. */
  epoch: number
  #elapsed = 0
  readonly #timeouts = new Set<Timeout>()

  /** `start`: what the wall clock says, a Date or milliseconds since the epoch. Default: 2026-01-01T00:00Z. */
  constructor (start: Date | number = Date.UTC(2026, 0, 1)) {
    this.epoch = Number(start)
  }

  /** What the wall clock says: milliseconds since the epoch. */
  now (): number {
    return this.epoch + this.#elapsed
  }

  /** Milliseconds that have passed since the clock was made. */
  monotonic (): number {
    return this.#elapsed
  }

  /** Calls back once `delay` milliseconds have passed. Throws a RangeError for a delay that makes Node's setTimeout fire at once. */
  setTimeout (callback: () => void, delay: number): unknown {
    if (delay > 2 ** 31 - 1) throw new RangeError('a longer delay makes setTimeout fire at once')
    const timeout = { at: this.#elapsed + delay, callback }
    this.#timeouts.add(timeout)
    return timeout
  }

  /** The timeout of this handle, as `setTimeout` returned it, does not fire. */
  clearTimeout (handle: unknown): void {
    this.#timeouts.delete(handle as Timeout)
  }

  /** Timeouts that have neither fired nor been cleared. */
  get pending (): number {
    return this.#timeouts.size
  }

  /** Lets `milliseconds` pass: timeouts fire when they are due, in order, and what follows from each runs. */
  async advance (milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds
    for (;;) {
      await turns()
      const next = this.#next()
      if (next === undefined || next.at > end) break
      this.#timeouts.delete(next)
      this.#elapsed = Math.max(this.#elapsed, next.at)
      next.callback()
    }
    this.#elapsed = end
    await turns()
  }

  /** Lets `milliseconds` pass while the process sleeps or hangs: no timeout fires before the end. */
  async sleep (milliseconds: number): Promise<void> {
    await turns()
    this.#elapsed += milliseconds
    await this.advance(0)
  }

  /** Sets the wall clock forward, or back; no time passes. */
  jump (milliseconds: number): void {
    this.epoch += milliseconds
  }

  #next (): Timeout | undefined {
    let next: Timeout | undefined
    for (const timeout of this.#timeouts) if (next === undefined || timeout.at < next.at) next = timeout
    return next
  }
}

async function turns (): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
}
