import { clearInterval, setInterval } from 'node:timers'

/** Milliseconds. */
const CHECK_INTERVAL = 1000

/** Keeps the process alive while somebody waits: the plugin's own timers let it end. */
export class KeepAlive {
  readonly #waiting: (() => boolean) | undefined
  #timer: NodeJS.Timeout | undefined

  /** `waiting`, for what begins and ends more often than a timer should: asked once a second, in place of a release. */
  constructor (waiting?: () => boolean) {
    this.#waiting = waiting
  }

  hold (): void {
    this.#timer ??= setInterval(() => { if (this.#waiting?.() === false) this.release() }, CHECK_INTERVAL)
  }

  release (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
