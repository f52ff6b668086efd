import { setImmediate } from 'node:timers'
import type { Clock, Consumer, Deliver, Outcome } from '../../../types/backend.ts'
import type { MemoryQueue } from './queue.ts'
import type { MemoryRecord } from './record.ts'

/**
 * Jobs in a row before the slots give the event loop a turn: handlers that only await promises would starve it. Few, so
 * that requests are served in between; fewer would cost jobs more than it gains requests (bench/http.ts). More where a backlog
 * has grown: requests that enqueue faster than that would fill the queue, and then each waits for room.
 */
const JOBS_PER_TURN = 16
const MOST_JOBS_PER_TURN = 128
const PART_OF_BACKLOG = 1 / 8
const RELEASED: Outcome = { type: 'released' }

/** Slots that take jobs as long as there are any, and sleep until one is ready. */
export class MemoryConsumer implements Consumer {
  readonly #queue: MemoryQueue
  readonly #clock: Clock
  readonly #deliver: Deliver
  readonly #concurrency: number
  #idle: number
  #paused = false
  #onStopped: (() => void) | undefined
  #waking = false
  #streak = 0
  #longestStreak = JOBS_PER_TURN
  /** Jobs that have a slot and begin in the next turn of the event loop. */
  #early: MemoryRecord[] = []

  constructor (queue: MemoryQueue, clock: Clock, concurrency: number, deliver: Deliver) {
    this.#queue = queue
    this.#clock = clock
    this.#deliver = deliver
    this.#concurrency = concurrency
    this.#idle = concurrency
    queue.onReady = () => this.#wake()
    queue.onFull = () => this.#takeEarly()
    queue.takeBack = (record) => this.#takeBack(record)
    this.#wake()
  }

  pause (): void {
    this.#paused = true
  }

  resume (): void {
    this.#paused = false
    this.#wake()
  }

  stop (): Promise<void> {
    this.#paused = true
    return new Promise((resolve) => {
      this.#onStopped = resolve
      this.#checkStopped()
    })
  }

  // Not at once: the turn of the event loop that enqueued, a request's, ends before a handler begins.
  #wake (): void {
    if (this.#waking || this.#idle === 0 || this.#paused || this.#queue.ready === 0) return
    this.#waking = true
    setImmediate(this.#fillSlots)
  }

  readonly #fillSlots = (): void => {
    this.#waking = false
    this.#streak = 0
    this.#longestStreak = Math.min(MOST_JOBS_PER_TURN, Math.max(JOBS_PER_TURN, this.#queue.ready * PART_OF_BACKLOG))
    if (this.#early.length > 0) this.#deliverEarly()
    // Jobs that are refused settle inside the loop.
    while (this.#idle > 0 && !this.#paused && this.#streak < this.#longestStreak) {
      const record = this.#queue.take(this.#clock.now())
      if (record === undefined) return
      this.#idle--
      this.#deliver(record, this.#settle)
    }
  }

  // The queue is full, though idle slots would empty it in the next turn: a burst finds the room that it would find a moment later.
  #takeEarly (): void {
    this.#wake()
    while (this.#idle > 0 && !this.#paused) {
      const record = this.#queue.take(this.#clock.now())
      if (record === undefined) return
      this.#idle--
      this.#early.push(record)
    }
  }

  #takeBack (record: MemoryRecord): boolean {
    const index = this.#early.indexOf(record)
    if (index === -1) return false
    this.#early.splice(index, 1)
    this.#idle++
    record.released()
    return true
  }

  #deliverEarly (): void {
    const early = this.#early
    this.#early = []
    if (this.#paused) {
      // Each goes to the head of the queue.
      for (const record of early.reverse()) this.#settle(record, RELEASED)
    } else {
      for (const record of early) this.#deliver(record, this.#settle)
    }
  }

  // One reading of the clock ends a job and begins the slot's next one.
  readonly #settle = (record: MemoryRecord, outcome: Outcome): void => {
    const now = this.#clock.now()
    this.#queue.settle(record, outcome, now)
    const next = this.#paused || ++this.#streak >= this.#longestStreak ? undefined : this.#queue.take(now)
    if (next !== undefined) {
      this.#deliver(next, this.#settle)
      return
    }
    this.#idle++
    this.#wake()
    this.#checkStopped()
  }

  #checkStopped (): void {
    if (this.#idle === this.#concurrency) this.#onStopped?.()
  }
}
