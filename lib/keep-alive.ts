/** Milliseconds. */
const CHECK_INTERVAL = 1000

/**
 * Keeps the process alive while somebody waits: the plugin's own timers let it end. Looks once a second whether anybody
 * still does, since waiting begins and ends more often than a timer should.
 */
export class KeepAlive {
  readonly #waiting: () => boolean
  #timer: NodeJS.Timeout | undefined

  constructor (waiting: () => boolean) {
    this.#waiting = waiting
  }

  hold (): void {
    this.#timer ??= setInterval(() => { if (!this.#waiting()) this.release() }, CHECK_INTERVAL)
  }

  release (): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
