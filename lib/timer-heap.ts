import type { Clock } from '../types/backend.ts'

/** A longer delay makes Node's setTimeout fire at once. */
export const MAX_TIMEOUT = 2 ** 31 - 1

/** Milliseconds after which the wall clock is looked at again: it may have been set while a timeout ran. */
const LONGEST_WALL_SLEEP = 10_000
/** Milliseconds by which a timeout may be late before it counts as lost. */
const LOST_AFTER = 1000

export interface Timer<T> {
  readonly item: T
  /** Milliseconds of the heap's clock. */
  readonly at: number
  /** Monotonic milliseconds at which it would be due if nobody set the wall clock. */
  readonly deadline: number
  /** Timers of the same time fire in the order in which they were added. */
  readonly seq: number
  index: number
}

/**
 * Any number of timers behind one timeout of the clock: an indexed binary heap, O(log n) to add and to remove.
 * Delays may exceed 2^31 ms.
 */
export class TimerHeap<T> {
  readonly #clock: Clock
  readonly #fire: (item: T) => void
  readonly #time: 'monotonic' | 'wall'
  readonly #longestSleep: number
  readonly #heap: Timer<T>[] = []
  #seq = 0
  #handle: unknown
  #armedFor = Infinity
  /** What the heap's clock said when the timeout was armed. */
  #armedAt = NaN

  /** `time`: by which clock timers are due. 'wall' follows jumps of the wall clock, within ten seconds. */
  constructor (clock: Clock, fire: (item: T) => void, time: 'monotonic' | 'wall' = 'monotonic') {
    this.#clock = clock
    this.#fire = fire
    this.#time = time
    this.#longestSleep = time === 'wall' ? LONGEST_WALL_SLEEP : MAX_TIMEOUT
  }

  get size (): number {
    return this.#heap.length
  }

  /** `delay`: milliseconds. */
  add (delay: number, item: T): Timer<T> {
    const now = this.#now()
    return this.#add(now + delay, item, now)
  }

  /** `time`: milliseconds of the heap's clock. */
  addAt (time: number, item: T): Timer<T> {
    return this.#add(time, item, this.#now())
  }

  #add (at: number, item: T, now: number): Timer<T> {
    const deadline = this.#time === 'wall' ? this.#clock.monotonic() + at - now : at
    const timer = { item, at, deadline, seq: this.#seq++, index: this.#heap.length }
    this.#heap.push(timer)
    this.#up(timer)
    if (timer.index === 0 || this.#isLost(now)) this.#arm(now)
    return timer
  }

  #now (): number {
    return this.#time === 'wall' ? this.#clock.now() : this.#clock.monotonic()
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
  #arm (now: number): void {
    const first = this.#heap[0]
    if (first === undefined || (first.at >= this.#armedFor && !this.#isLost(now))) return
    this.#disarm()
    const delay = Math.min(Math.max(Math.ceil(this.#untilDue(first, now)), 1), this.#longestSleep)
    this.#armedFor = Math.min(first.at, now + delay)
    this.#armedAt = now
    this.#handle = this.#clock.setTimeout(this.#onTimeout, delay)
  }

  #untilDue ({ at, deadline }: Timer<T>, now: number): number {
    const untilDeadline = this.#time === 'wall' ? deadline - this.#clock.monotonic() : 0
    return untilDeadline > 0 ? Math.min(untilDeadline, at - now) : at - now
  }

  // A timeout that should have fired long ago is not trusted: whoever replaces timers in tests may have lost it.
  #isLost (now: number): boolean {
    return now - this.#armedFor > LOST_AFTER
  }

  #disarm (): void {
    if (this.#handle !== undefined) this.#clock.clearTimeout(this.#handle)
    this.#handle = undefined
    this.#armedFor = Infinity
  }

  readonly #onTimeout = (): void => {
    this.#handle = undefined
    this.#armedFor = Infinity
    const now = this.#now()
    // Where a test has stopped the wall clock, real time has to do.
    const due = now === this.#armedAt ? this.#clock.monotonic() : -Infinity
    try {
      for (let first = this.#heap[0]; first !== undefined && (first.at <= now || first.deadline <= due); first = this.#heap[0]) {
        this.remove(first)
        this.#fire(first.item)
      }
    } finally {
      this.#arm(this.#now())
    }
  }

  #place (timer: Timer<T>, index: number): void {
    this.#heap[index] = timer
    timer.index = index
  }

  #up (timer: Timer<T>): void {
    while (timer.index > 0) {
      const parent = this.#heap[(timer.index - 1) >> 1]!
      if (isBefore(parent, timer)) return
      const index = parent.index
      this.#place(parent, timer.index)
      this.#place(timer, index)
    }
  }

  #down (timer: Timer<T>): void {
    for (;;) {
      const left = this.#heap[2 * timer.index + 1]
      const right = this.#heap[2 * timer.index + 2]
      const child = right !== undefined && isBefore(right, left!) ? right : left
      if (child === undefined || isBefore(timer, child)) return
      const index = child.index
      this.#place(child, timer.index)
      this.#place(timer, index)
    }
  }
}

function isBefore (one: Timer<unknown>, other: Timer<unknown>): boolean {
  return one.at < other.at || (one.at === other.at && one.seq < other.seq)
}
