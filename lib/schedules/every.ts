import type { Rule } from './rule.ts'

/** Ticks at start + n × every: whatever a run takes, the next tick does not move. */
export class EveryRule implements Rule {
  readonly #every: number
  readonly #start: number

  constructor (every: number, start: number) {
    this.#every = every
    this.#start = start
  }

  next (time: number): number {
    return this.#start + (this.#ticksUntil(time) + 1) * this.#every
  }

  latest (time: number): number {
    return this.#start + this.#ticksUntil(time) * this.#every
  }

  count (from: number, to: number): number {
    return Math.max(0, this.#ticksUntil(to) - this.#ticksUntil(from))
  }

  #ticksUntil (time: number): number {
    return Math.floor((time - this.#start) / this.#every)
  }
}
