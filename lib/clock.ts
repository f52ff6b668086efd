import { clearTimeout, setTimeout } from 'node:timers'
import type { Clock } from '../types/backend.ts'

/** Milliseconds after which a timeout that test tools have replaced is not relied on, at the earliest. A shorter time would be polling. */
const SHORTEST_BACKUP = 100

/**
 * A timeout that was started while a test tool had replaced the global setTimeout (node:test's mock.timers, vitest's and jest's fake timers).
 * The replaced one obeys the tool, and is lost when the tool is reset; a real one stands in for it then. The first of them counts.
 */
class BackedUpTimeout {
  readonly #real: NodeJS.Timeout
  #isOver = false

  constructor (callback: () => void, delay: number) {
    const fire = (): void => {
      if (this.#isOver) return
      this.clear()
      callback()
    }
    globalThis.setTimeout(fire, delay)
    this.#real = setTimeout(fire, Math.max(delay, SHORTEST_BACKUP)).unref()
  }

  ref (): void {
    this.#real.ref()
  }

  /** The replaced timeout stays: clearing it after the tool was reset takes somebody else's timeout out of node:test's queue. */
  clear (): void {
    this.#isOver = true
    clearTimeout(this.#real)
  }
}

/** The time of this machine: the plugin's clock unless it is given another one. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimeout: (callback, delay) => globalThis.setTimeout === setTimeout ? setTimeout(callback, delay).unref() : new BackedUpTimeout(callback, delay),
  clearTimeout (handle) {
    if (handle instanceof BackedUpTimeout) handle.clear()
    else clearTimeout(handle as NodeJS.Timeout)
  }
}
