import type { Clock } from '../../types/backend.ts'

/** Milliseconds after which a scrape goes on without a store that does not answer. */
const PATIENCE = 2000

export const LATE = Symbol('late')

/** What a store answers within `patience` milliseconds. */
export async function inTime<T> (answer: Promise<T>, patience: number, clock: Clock): Promise<T | typeof LATE> {
  let timer: unknown
  const late = new Promise<typeof LATE>((resolve) => { timer = clock.setTimeout(() => resolve(LATE), patience) })
  return Promise.race([answer, late]).finally(() => clock.clearTimeout(timer))
}

/** One question to a store for all the gauges of a scrape: prom-client collects them at the same time. */
export class SharedAnswer<T> {
  readonly #ask: () => T | Promise<T>
  readonly #clock: Clock
  /** The question, until the store answers: meanwhile no second one is put. */
  #asked: Promise<T> | undefined
  #answer: Promise<T> | undefined

  constructor (ask: () => T | Promise<T>, clock: Clock) {
    this.#ask = ask
    this.#clock = clock
  }

  /** Rejects as the store does, or when it does not answer in time. */
  get (): Promise<T> {
    return (this.#answer ??= this.#inTime().finally(() => { this.#answer = undefined }))
  }

  async #inTime (): Promise<T> {
    this.#asked ??= this.#put().finally(() => { this.#asked = undefined })
    const answer = await inTime(this.#asked, PATIENCE, this.#clock)
    if (answer === LATE) throw new Error(`no answer within ${PATIENCE} ms`)
    return answer
  }

  async #put (): Promise<T> {
    return this.#ask()
  }
}
