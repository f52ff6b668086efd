/** A histogram in plain numbers; prom-client's costs 205 ns an observation, this one 4. */
export class Buckets {
  /** Not cumulative; the last one is +Inf. */
  readonly counts: number[]
  /** Milliseconds. */
  sum = 0
  count = 0
  /** Milliseconds; the last one is Infinity, so that the search ends without a look at the length. */
  readonly #bounds: readonly number[]

  /** `bounds`: upper ones in seconds, rising. */
  constructor (bounds: readonly number[]) {
    this.#bounds = [...bounds.map((seconds) => seconds * 1000), Infinity]
    this.counts = this.#bounds.map(() => 0)
  }

  observe (milliseconds: number): void {
    const bounds = this.#bounds
    let index = 0
    while (milliseconds > bounds[index]!) index++
    this.counts[index]!++
    this.sum += milliseconds
    this.count++
  }
}

/** What happened to the jobs of one definition. Published when someone scrapes. */
export class JobCounters {
  queued = 0
  started = 0
  succeeded = 0
  failed = 0
  retried = 0
  deadLettered = 0
  dropped = 0
  rejected = 0
  discarded = 0
  stalled = 0
  readonly wait: Buckets
  readonly duration: Buckets

  /** `bounds`: of the histograms' buckets, in seconds. */
  constructor (bounds: readonly number[]) {
    this.wait = new Buckets(bounds)
    this.duration = new Buckets(bounds)
  }
}
