import { setImmediate } from 'node:timers/promises'
import type { Clock, QueueStats } from '../types/backend.ts'
import { KeepAlive } from './keep-alive.ts'
import type { Queue } from './queue.ts'

interface Waiter {
  /** Delayed jobs and retries have to be gone, too. */
  readonly delayed: boolean
  /** The only queue that matters, and of that what this process can see to; undefined: all queues, with all that they hold. */
  readonly drains: Queue | undefined
  /** Monotonic milliseconds since when nothing was left of it but what others run, as it seems. */
  othersRunSince: number | undefined
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

/** Milliseconds. */
const RECHECK_INTERVAL = 50
/** Milliseconds that a job may take to come here once its backend has given it to this process. */
const ARRIVAL = 250

/** Those who wait until nothing waits or runs. */
export class Idle {
  readonly #clock: Clock
  readonly #queues: () => readonly Queue[]
  #waiters: Waiter[] = []
  #released = false
  #recheck: unknown
  readonly #keepAlive = new KeepAlive()

  constructor (clock: Clock, queues: () => readonly Queue[]) {
    this.#clock = clock
    this.#queues = queues
  }

  wait (delayed: boolean): Promise<void> {
    return this.#wait(delayed, undefined)
  }

  /** Until nothing of the queue waits or runs here: not what other processes run, nor what waits while the queue is paused. */
  waitToDrain (queue: Queue): Promise<void> {
    return this.#wait(false, queue)
  }

  /** To be called when a queue may have become quiet. */
  readonly check = (): void => {
    // The backend stores the last outcome first, then what it says about the queue is true.
    if (this.#waiters.length > 0) setImmediate().then(() => this.#check())
  }

  /** The app has stopped: nothing will run any more, nobody has to wait for it. */
  release (): void {
    this.#released = true
    for (const { resolve } of this.#waiters.splice(0)) resolve()
    this.#letGo()
  }

  #wait (delayed: boolean, drains: Queue | undefined): Promise<void> {
    if (this.#released) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiters.push({ delayed, drains, othersRunSince: undefined, resolve, reject })
      this.#keepAlive.hold()
      this.check()
    })
  }

  async #check (): Promise<void> {
    const quiet = await this.#quiet()
    if (quiet.length === 0) return this.#checkLater()
    // Hooks that were told in this turn may enqueue.
    await setImmediate()
    const released = (await this.#quiet()).filter((waiter) => quiet.includes(waiter))
    this.#waiters = this.#waiters.filter((waiter) => !released.includes(waiter))
    this.#letGo()
    for (const { resolve } of released) resolve()
    this.#checkLater()
  }

  // Nobody tells what other processes do, nor when the outcome of the last job here is stored.
  #checkLater (): void {
    if (this.#waiters.length === 0 || !this.#queues().some(({ backend }) => backend.capabilities.durable)) return
    this.#recheck ??= this.#clock.setTimeout(() => {
      this.#recheck = undefined
      this.check()
    }, RECHECK_INTERVAL)
  }

  /** Those who have nothing to wait for at the moment. */
  async #quiet (): Promise<Waiter[]> {
    const queues = this.#queues()
    const answers = await Promise.allSettled(queues.map(async ({ backend, name }) => backend.stats(name)))
    const stats = new Map<Queue, QueueStats>()
    for (const [index, answer] of answers.entries()) {
      const queue = queues[index]!
      if (answer.status === 'rejected') this.#fail(queue, answer.reason)
      else stats.set(queue, answer.value)
    }
    const now = this.#clock.monotonic()
    return this.#waiters.filter((waiter) => Array.from(stats).every(([queue, found]) => !concerns(queue, waiter) || isQuiet(queue, found, waiter, now)))
  }

  // A backend that cannot say how many jobs it holds.
  #fail (queue: Queue, error: unknown): void {
    for (const waiter of this.#waiters.filter((waiter) => concerns(queue, waiter))) {
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
      waiter.reject(error)
    }
    this.#letGo()
  }

  #letGo (): void {
    if (this.#waiters.length === 0) this.#keepAlive.release()
  }
}

function concerns (queue: Queue, { drains }: Waiter): boolean {
  return drains === undefined || drains === queue
}

function isQuiet ({ backend, worker }: Queue, { waiting, delayed, active, paused }: QueueStats, waiter: Waiter, now: number): boolean {
  if (waiter.drains === undefined) return waiting + active + (waiter.delayed ? delayed : 0) === 0
  const mine = (worker.paused || paused ? 0 : waiting) + (backend.capabilities.durable ? worker.inFlight : active)
  if (mine > 0 || active === 0) {
    waiter.othersRunSince = undefined
    return mine === 0
  }
  // Where processes share a queue, most of what is active may be others'. It may also be on its way to this one.
  waiter.othersRunSince ??= now
  return now - waiter.othersRunSince >= ARRIVAL
}
