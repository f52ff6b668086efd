import type { Clock } from '../../types/backend.ts'

/** Milliseconds after which a scrape goes on without a store that does not answer. */
const PATIENCE = 2000

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
    let timer: unknown
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.#clock.setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE)
    })
    return Promise.race([this.#asked, late]).finally(() => this.#clock.clearTimeout(timer))
  }

  async #put (): Promise<T> {
    return this.#ask()
  }
}
