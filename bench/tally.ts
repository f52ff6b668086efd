/** The time that a measurement may take is up. */
export class BoundExceeded extends Error {}

const CHECK_EVERY = 1024

/** Counts completed jobs; handlers call `add`, one producer at a time waits. */
export class Tally {
  count = 0
  #target = Infinity
  #deadline = Infinity
  #resolve = () => {}
  #reject: (error: Error) => void = () => {}

  add () {
    this.count++
    if (this.count === this.#target) this.#resolve()
    else if (this.count % CHECK_EVERY === 0 && performance.now() > this.#deadline) this.#reject(new BoundExceeded())
  }

  /** Milliseconds from now until `reached` gives up. */
  limit (milliseconds: number) {
    this.#deadline = performance.now() + milliseconds
  }

  async reached (target: number) {
    if (this.count >= target) return
    this.#target = target
    await new Promise<void>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }
}
