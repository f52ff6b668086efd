/** When something is due. Times are milliseconds since the epoch. */
export interface Rule {
  /** The first tick after `time`. */
  next (time: number): number | undefined
  /** The last tick at `time` or before it. */
  latest (time: number): number | undefined
  /** Ticks after `from`, up to `to` and including it; where they have to be found one by one, it stops at 100. */
  count (from: number, to: number): number
}

/** A rule that has no ticks before `start` and none after `end`. */
export class BoundedRule implements Rule {
  readonly #rule: Rule
  readonly #start: number
  readonly #end: number

  constructor (rule: Rule, start: number, end: number) {
    this.#rule = rule
    this.#start = start
    this.#end = end
  }

  next (time: number): number | undefined {
    const tick = this.#rule.next(Math.max(time, this.#start - 1))
    return tick === undefined || tick > this.#end ? undefined : tick
  }

  latest (time: number): number | undefined {
    const tick = this.#rule.latest(Math.min(time, this.#end))
    return tick === undefined || tick < this.#start ? undefined : tick
  }

  count (from: number, to: number): number {
    return this.#rule.count(Math.max(from, this.#start - 1), Math.min(to, this.#end))
  }
}
