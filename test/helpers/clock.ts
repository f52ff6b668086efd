import type { Clock } from '../../lib/index.ts'
import { turns } from './app.ts'

interface Timeout { at: number, callback: () => void }

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #elapsed = 0
  #timeouts = new Set<Timeout>()
  /** Wall clock at the start; move it to make the wall clock jump. */
  epoch = Date.UTC(2026, 0, 1)

  now (): number {
    return this.epoch + this.#elapsed
  }

  monotonic (): number {
    return this.#elapsed
  }

  setTimeout (callback: () => void, delay: number): Timeout {
    if (delay > 2 ** 31 - 1) throw new RangeError('a longer delay makes setTimeout fire at once')
    const timeout = { at: this.#elapsed + delay, callback }
    this.#timeouts.add(timeout)
    return timeout
  }

  clearTimeout (timeout: unknown): void {
    this.#timeouts.delete(timeout as Timeout)
  }

  get pending (): number {
    return this.#timeouts.size
  }

  /** Moves time on by `milliseconds`, firing what falls due in order, and lets what follows run. */
  async advance (milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds
    for (;;) {
      await turns()
      const next = [...this.#timeouts].sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#timeouts.delete(next)
      this.#elapsed = Math.max(this.#elapsed, next.at)
      next.callback()
    }
    this.#elapsed = end
    await turns()
  }

  /** Lets `milliseconds` pass while the process sleeps: no timer fires before the end. */
  async sleep (milliseconds: number): Promise<void> {
    await turns()
    this.#elapsed += milliseconds
    await this.advance(0)
  }

  /** Sets the wall clock forward, or back. */
  jump (milliseconds: number): void {
    this.epoch += milliseconds
  }
}

/** The same time on another machine, whose wall clock is `skew` milliseconds ahead; it can be stopped and continued as a process can. */
export class SkewedClock implements Clock {
  readonly #clock: ManualClock
  #held: (() => void)[] | undefined
  skew: number

  constructor (clock: ManualClock, skew: number) {
    this.#clock = clock
    this.skew = skew
  }

  now (): number {
    return this.#clock.now() + this.skew
  }

  monotonic (): number {
    return this.#clock.monotonic()
  }

  setTimeout (callback: () => void, delay: number): unknown {
    return this.#clock.setTimeout(() => {
      if (this.#held === undefined) callback()
      else this.#held.push(callback)
    }, delay)
  }

  clearTimeout (timeout: unknown): void {
    this.#clock.clearTimeout(timeout)
  }

  stop (): void {
    this.#held ??= []
  }

  continue (): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const callback of held) callback()
  }
}

/** A clock whose timeouts are over at once: what takes long and waits for nothing else is quick to test. */
export function hastyClock (): Clock {
  let elapsed = 0
  return {
    now: () => elapsed,
    monotonic: () => elapsed,
    setTimeout (callback, delay) {
      const timeout = { cleared: false }
      queueMicrotask(() => {
        if (timeout.cleared) return
        elapsed += delay
        callback()
      })
      return timeout
    },
    clearTimeout: (timeout) => { (timeout as { cleared: boolean }).cleared = true }
  }
}
