import { setImmediate } from 'node:timers'
/** Milliseconds that a count is trusted while enqueues go on: then another one is asked for, beside them. */
const FRESH = 100

interface Count {
  /** Jobs that held room. */
  depth: number
  /** Room taken by this process since the count was asked for. */
  taken: number
  /** Monotonic milliseconds. */
  readonly at: number
}

/** Room that this process took; given back when its jobs were not stored. */
export type Taken = readonly Count[]

/**
 * The room in a queue that is elsewhere, as far as this process knows: counted once in a while, and kept account of in between.
 * Redis has the last word; this spares it the enqueues that cannot succeed, and keeps those that wait in order.
 */
export class Room {
  readonly #capacity: number
  readonly #countDepth: () => Promise<number>
  #count: Count | undefined
  #countsSoon = false
  #counting: { readonly count: Count, readonly done: Promise<void> } | undefined

  constructor (capacity: number, countDepth: () => Promise<number>) {
    this.#capacity = capacity
    this.#countDepth = countDepth
  }

  /** Room for so many jobs, at once; undefined when there is none, as far as is known. */
  take (jobs: number): Taken | undefined {
    const count = this.#count
    if (count === undefined || count.depth + count.taken + jobs > this.#capacity) return undefined
    if (performance.now() - count.at > FRESH) this.#countSoon()
    const counting = this.#counting?.count
    const counts = counting === undefined ? [count] : [count, counting]
    for (const each of counts) each.taken += jobs
    return counts
  }

  giveBack (counts: Taken, jobs: number): void {
    for (const count of counts) count.taken -= jobs
  }

  /** Asks for the depth, or waits for an answer that is on its way. */
  recount (): Promise<void> {
    if (this.#counting === undefined) {
      const count = { depth: 0, taken: 0, at: performance.now() }
      this.#counting = { count, done: this.#ask(count) }
    }
    return this.#counting.done
  }

  // Behind the enqueue, which need not wait for it. It fails as the enqueue does, which tells.
  #countSoon (): void {
    if (this.#countsSoon || this.#counting !== undefined) return
    this.#countsSoon = true
    setImmediate(() => {
      this.#countsSoon = false
      this.recount().catch(() => {})
    })
  }

  async #ask (count: Count): Promise<void> {
    try {
      count.depth = await this.#countDepth()
      this.#count = count
    } finally {
      this.#counting = undefined
    }
  }
}
