import type { Consumer, Deliver } from '../../lib/backends/index.ts'
import type { ArrayQueue } from './array-queue.ts'
import type { StoredJob } from './stored-job.ts'

/** Takes a job whenever one of its slots is free. */
export class ArrayConsumer implements Consumer {
  readonly #queue: ArrayQueue
  readonly #concurrency: number
  readonly #deliver: Deliver
  readonly #running = new Set<Promise<void>>()
  #paused = false

  constructor (queue: ArrayQueue, concurrency: number, deliver: Deliver) {
    this.#queue = queue
    this.#concurrency = concurrency
    this.#deliver = deliver
    this.wake()
  }

  pause (): void {
    this.#paused = true
  }

  resume (): void {
    this.#paused = false
    this.wake()
  }

  async stop (): Promise<void> {
    this.pause()
    await Promise.all(this.#running)
  }

  /** There may be a job. It never begins inside the call that enqueued it. */
  wake (): void {
    setImmediate(() => this.#fillSlots())
  }

  #fillSlots (): void {
    while (!this.#paused && this.#running.size < this.#concurrency) {
      const job = this.#queue.take()
      if (job === undefined) return
      const running = this.#run(job).then(() => {
        this.#running.delete(running)
        this.#fillSlots()
      })
      this.#running.add(running)
    }
  }

  async #run (job: StoredJob): Promise<void> {
    this.#queue.settle(job, await this.#deliver(job.delivery()))
  }
}
