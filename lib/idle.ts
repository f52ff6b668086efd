import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../types/backend.ts'
import { KeepAlive } from './keep-alive.ts'
import type { Queue } from './queue.ts'

interface Quiet {
  /** Delayed jobs and retries have to be gone, too. */
  readonly delayed: boolean
  /** What waits in a paused queue has to be gone, too. */
  readonly paused: boolean
}

interface Waiter extends Quiet {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

/** Milliseconds. */
const RECHECK_INTERVAL = 50

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

  wait (quiet: Quiet): Promise<void> {
    if (this.#released) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#waiters.push({ ...quiet, resolve, reject })
      this.#keepAlive.hold()
      this.check()
    })
  }

  /** To be called when a queue may have become quiet. */
  readonly check = (): void => {
    // The backend stores the last outcome first, then what it says about the queue is true.
    if (this.#waiters.length > 0) setImmediate().then(() => this.#check()).catch((error) => this.#fail(error))
  }

  /** The app has stopped: nothing will run any more, nobody has to wait for it. */
  release (): void {
    this.#released = true
    for (const { resolve } of this.#waiters.splice(0)) resolve()
    this.#letGo()
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
    const all = await Promise.all(this.#queues().map(async ({ name, backend, worker }) => ({ ...await backend.stats(name), paused: worker.paused })))
    return this.#waiters.filter((waiter) => all.every((queue) => {
      const relevant = waiter.paused || !queue.paused
      return queue.active + (relevant ? queue.waiting : 0) + (waiter.delayed ? queue.delayed : 0) === 0
    }))
  }

  // A backend that cannot say how many jobs it holds.
  #fail (error: unknown): void {
    for (const { reject } of this.#waiters.splice(0)) reject(error)
    this.#letGo()
  }

  #letGo (): void {
    if (this.#waiters.length === 0) this.#keepAlive.release()
  }
}
