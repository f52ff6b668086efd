/** Milliseconds that a count is trusted while enqueues go on: then another one is asked for, beside them. */
const FRESH = 100
/** Milliseconds after which little is known of what other processes did, and how many jobs are let in on such a count. */
const STALE = 1000
const JOBS_ON_TRUST = 10
/** The part of the capacity up to which processes add jobs without Redis looking: so many of them at once do not exceed it. */
const TRUSTED = 1 / 8

interface Count {
  /** Jobs that held room. */
  depth: number
  /** Room taken by this process since the count was asked for. */
  taken: number
  /** Monotonic milliseconds. */
  readonly at: number
}

/** Room that this process took; given back when its jobs were not stored. */
export interface Taken {
  readonly jobs: number
  /** The capacity may be near, or other processes busy: Redis has to look when the jobs are stored. */
  readonly guarded: boolean
  readonly counts: readonly Count[]
}

/**
 * The room in a queue that is elsewhere: counted once in a while, and kept account of in between, so that an enqueue costs
 * one command while there is plenty of it. Beyond an eighth of the capacity Redis looks every time.
 */
export class Room {
  readonly #capacity: number
  /** Jobs. */
  readonly #trusted: number
  readonly #countDepth: () => Promise<number>
  #count: Count | undefined
  #counting: { readonly count: Count, readonly done: Promise<void> } | undefined

  constructor (capacity: number, countDepth: () => Promise<number>) {
    this.#capacity = capacity
    this.#trusted = capacity * TRUSTED
    this.#countDepth = countDepth
  }

  /** Room for so many jobs, at once; undefined when there is none, as far as is known. */
  take (jobs: number): Taken | undefined {
    const count = this.#count
    if (count === undefined || count.depth + count.taken + jobs > this.#capacity) return undefined
    const age = performance.now() - count.at
    if (age > FRESH) this.#countBeside()
    const counting = this.#counting?.count
    const guarded = count.depth + count.taken + jobs > this.#trusted ||
      (age > STALE && counting !== undefined && counting.taken + jobs > JOBS_ON_TRUST)
    const counts = counting === undefined ? [count] : [count, counting]
    for (const each of counts) each.taken += jobs
    return { jobs, guarded, counts }
  }

  giveBack ({ counts }: Taken, jobs: number): void {
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

  // It fails as the enqueue does, which tells.
  #countBeside (): void {
    if (this.#counting === undefined) this.recount().catch(() => {})
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
