import type { Queue } from './queue.ts'

/** Milliseconds; any number would do. */
const KEEP_ALIVE_INTERVAL = 60_000

interface Waiter {
  readonly delayed: boolean
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

/** Those who wait until nothing waits or runs. */
export class Idle {
  readonly #queues: () => readonly Queue[]
  #waiters: Waiter[] = []
  /** The plugin's timers let the process end; who waits for a delayed job wants to see it run. */
  #keepAlive: NodeJS.Timeout | undefined

  constructor (queues: () => readonly Queue[]) {
    this.#queues = queues
  }

  wait (delayed: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ delayed, resolve, reject })
      this.#keepAlive ??= setInterval(() => {}, KEEP_ALIVE_INTERVAL)
      this.check()
    })
  }

  /** To be called when a queue may have become quiet. */
  readonly check = (): void => {
    // The backend stores the last outcome first, then what it says about the queue is true.
    if (this.#waiters.length > 0) setImmediate(() => this.#check().catch((error) => this.#fail(error)))
  }

  /** The app has stopped: nothing will run any more, nobody has to wait for it. */
  release (): void {
    for (const { resolve } of this.#waiters.splice(0)) resolve()
    this.#letGo()
  }

  async #check (): Promise<void> {
    const all = await Promise.all(this.#queues().map(({ name, backend }) => backend.stats(name)))
    if (all.some(({ waiting, active }) => waiting + active > 0)) return
    const quiet = all.every(({ delayed }) => delayed === 0)
    const released = this.#waiters.filter((waiter) => quiet || !waiter.delayed)
    this.#waiters = this.#waiters.filter((waiter) => !released.includes(waiter))
    this.#letGo()
    for (const { resolve } of released) resolve()
  }

  // A backend that cannot say how many jobs it holds.
  #fail (error: unknown): void {
    for (const { reject } of this.#waiters.splice(0)) reject(error)
    this.#letGo()
  }

  #letGo (): void {
    if (this.#waiters.length > 0) return
    clearInterval(this.#keepAlive)
    this.#keepAlive = undefined
  }
}
