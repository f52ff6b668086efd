import type { Clock } from '../types/backend.ts'

/** A longer delay makes Node's setTimeout fire at once. */
export const MAX_TIMEOUT = 2 ** 31 - 1

export interface Timer<T> {
  readonly item: T
  /** Monotonic milliseconds. */
  at: number
  index: number
}

/**
 * Any number of timers behind one timeout of the clock: an indexed binary heap, O(log n) to add and to remove.
 * Delays may exceed 2^31 ms.
 */
export class TimerHeap<T> {
  readonly #clock: Clock
  readonly #fire: (item: T) => void
  readonly #heap: Timer<T>[] = []
  #handle: unknown
  #armedFor = Infinity

  constructor (clock: Clock, fire: (item: T) => void) {
    this.#clock = clock
    this.#fire = fire
  }

  get size (): number {
    return this.#heap.length
  }

  /** `delay` is in milliseconds. */
  add (delay: number, item: T): Timer<T> {
    const timer = { item, at: this.#clock.monotonic() + delay, index: this.#heap.length }
    this.#heap.push(timer)
    this.#up(timer)
    if (timer.index === 0) this.#arm()
    return timer
  }

  /** False when it has fired or was removed before. */
  remove (timer: Timer<T>): boolean {
    if (timer.index === -1) return false
    const last = this.#heap.pop()!
    if (last !== timer) {
      this.#place(last, timer.index)
      this.#up(last)
      this.#down(last)
    }
    timer.index = -1
    if (this.#heap.length === 0) this.#disarm()
    return true
  }

  * items (): Generator<T> {
    for (const timer of this.#heap) yield timer.item
  }

  clear (): void {
    for (const timer of this.#heap) timer.index = -1
    this.#heap.length = 0
    this.#disarm()
  }

  // A removed first timer leaves its timeout armed: firing early and arming again is cheaper than two system timers a job.
  #arm (): void {
    const first = this.#heap[0]
    if (first === undefined || first.at >= this.#armedFor) return
    this.#disarm()
    this.#armedFor = first.at
    const delay = Math.ceil(first.at - this.#clock.monotonic())
    this.#handle = this.#clock.setTimeout(this.#onTimeout, Math.min(Math.max(delay, 1), MAX_TIMEOUT))
  }

  #disarm (): void {
    if (this.#handle !== undefined) this.#clock.clearTimeout(this.#handle)
    this.#handle = undefined
    this.#armedFor = Infinity
  }

  readonly #onTimeout = (): void => {
    this.#handle = undefined
    this.#armedFor = Infinity
    const now = this.#clock.monotonic()
    try {
      for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
        this.remove(first)
        this.#fire(first.item)
      }
    } finally {
      this.#arm()
    }
  }

  #place (timer: Timer<T>, index: number): void {
    this.#heap[index] = timer
    timer.index = index
  }

  #up (timer: Timer<T>): void {
    while (timer.index > 0) {
      const parent = this.#heap[(timer.index - 1) >> 1]!
      if (parent.at <= timer.at) return
      const index = parent.index
      this.#place(parent, timer.index)
      this.#place(timer, index)
    }
  }

  #down (timer: Timer<T>): void {
    for (;;) {
      const left = this.#heap[2 * timer.index + 1]
      const right = this.#heap[2 * timer.index + 2]
      const child = right !== undefined && right.at < left!.at ? right : left
      if (child === undefined || child.at >= timer.at) return
      const index = child.index
      this.#place(child, timer.index)
      this.#place(timer, index)
    }
  }
}
