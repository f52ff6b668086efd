import { ManualClock, type Clock } from '../../lib/index.ts'

export { ManualClock }

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
