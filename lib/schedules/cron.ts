import { Cron } from 'croner'
import type { Rule } from './rule.ts'

/** A longer pattern is no schedule that anybody wrote. */
export const MAX_PATTERN_LENGTH = 256
/** Each takes croner a tenth of a millisecond, in which nothing else happens. */
const MAX_COUNTED = 100

/**
 * Ticks of a cron pattern, by croner, whose behaviour around clock changes is pinned by tests: a pattern with one time of day
 * ticks at the end of the gap when that falls into the spring gap, and once when the autumn overlap repeats it; one with
 * several times of day leaves out what falls into the gap, and ticks in both passes of the overlap.
 *
 * A rule keeps its next tick. croner's object takes 84 kB, most of it a table of years, and is made in less time than a tick
 * in a time zone is found: only the last one that was needed is kept, for all rules.
 */
export class CronRule implements Rule {
  static #compiled: { readonly rule: CronRule, readonly cron: Cron } | undefined

  readonly pattern: string
  readonly timezone: string
  /** There is no tick after `#from` and before `#next`, which is Infinity when there is none at all. */
  #from = Infinity
  #next = -Infinity
  /** The last tick before `#next`, once it is known. */
  #latest: number | undefined

  /** The pattern and the time zone are checked by `cronProblem`. */
  constructor (pattern: string, timezone: string) {
    this.pattern = pattern
    this.timezone = timezone
  }

  /** Throws an Error with croner's reason when the pattern or the time zone is wrong. */
  next (time: number): number | undefined {
    if (time < this.#from || time >= this.#next) {
      // A rule is mostly asked from tick to tick: to look back takes as long as to look on.
      this.#latest = time === this.#next ? time : undefined
      this.#next = this.#cron().nextRun(new Date(time))?.getTime() ?? Infinity
      this.#from = time
    }
    return this.#next === Infinity ? undefined : this.#next
  }

  latest (time: number): number | undefined {
    const isBeforeNext = time >= this.#from && time < this.#next
    if (isBeforeNext && this.#latest !== undefined) return this.#latest
    // croner looks strictly before its reference.
    const latest = this.#cron().previousRuns(1, new Date(time + 1))[0]?.getTime()
    if (isBeforeNext) this.#latest = latest
    return latest
  }

  count (from: number, to: number): number {
    let count = 0
    for (let tick = this.next(from); tick !== undefined && tick <= to && count < MAX_COUNTED; tick = this.next(tick)) count++
    return count
  }

  #cron (): Cron {
    if (CronRule.#compiled?.rule !== this) {
      // Without a time zone croner does not ask Intl, which is what most of its time goes to.
      const zone = this.timezone === 'UTC' ? { utcOffset: 0 } : { timezone: this.timezone }
      CronRule.#compiled = { rule: this, cron: new Cron(this.pattern, { ...zone, mode: '5-or-6-parts', paused: true }) }
    }
    return CronRule.#compiled.cron
  }
}
