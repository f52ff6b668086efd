import { clearTimeout, setTimeout } from 'node:timers'
import type { Clock } from '../types/backend.ts'

/** Milliseconds after which a timeout that a test tool has replaced is not relied on, at the earliest. A shorter time would be polling. */
const SHORTEST_BACKUP = 100

const Timeout = classOfTimeouts()

function classOfTimeouts (): Function {
  const timeout = setTimeout(() => {}, 1)
  clearTimeout(timeout)
  return timeout.constructor
}

/**
 * A timeout that was started while a test tool had replaced the global setTimeout: node:test's mock.timers, the fake timers of vitest and
 * jest. The replaced one obeys the tool, and is lost when the tool is reset; a real one stands in for it then. The first of them counts.
 */
class BackedUpTimeout {
  readonly #replaced: unknown
  /** Of fake timers, which install new functions each time. node:test always has the same ones. */
  readonly #clearReplaced: typeof clearTimeout | undefined
  readonly #real: NodeJS.Timeout
  #isOver = false

  constructor (callback: () => void, delay: number) {
    const fire = (): void => {
      if (this.#isOver) return
      this.clear()
      callback()
    }
    this.#replaced = globalThis.setTimeout(fire, delay)
    this.#clearReplaced = Object.hasOwn(globalThis.setTimeout, 'clock') ? globalThis.clearTimeout : undefined
    // It may only have been wrapped, by a tracing tool say.
    this.#real = this.#replaced instanceof Timeout ? this.#replaced as NodeJS.Timeout : setTimeout(fire, Math.max(delay, SHORTEST_BACKUP))
    this.#real.unref()
  }

  ref (): void {
    this.#real.ref()
  }

  /** To clear a timeout that is not of the present tool would take somebody else's out of node:test's queue. */
  clear (): void {
    this.#isOver = true
    clearTimeout(this.#real)
    if (globalThis.clearTimeout === this.#clearReplaced) this.#clearReplaced(this.#replaced as NodeJS.Timeout)
  }
}

let { now: currentNow } = performance
let told = 0
/** What is to be added to what `performance` says. */
let offset = 0

/** Goes on from where it was when a test tool replaces `performance.now`, advances it and takes it away again. */
function monotonic (): number {
  const { now } = performance
  if (now !== currentNow) {
    currentNow = now
    offset = told - performance.now()
  }
  return (told = performance.now() + offset)
}

/** The time of this machine: the plugin's clock unless it is given another one. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic,
  setTimeout: (callback, delay) => globalThis.setTimeout === setTimeout ? setTimeout(callback, delay).unref() : new BackedUpTimeout(callback, delay),
  clearTimeout (handle) {
    if (handle instanceof BackedUpTimeout) handle.clear()
    else clearTimeout(handle as NodeJS.Timeout)
  }
}
