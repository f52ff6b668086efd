import { encodePayload, QueueFullError, retryLater, WaitingProducers, type Consumer, type Deliver, type EnqueueLimits, type EnqueueResult, type JobEnvelope, type Outcome, type QueueSettings, type QueueStats } from '../../lib/backends/index.ts'
import type { Clock } from '../../lib/index.ts'
import { ArrayConsumer } from './array-consumer.ts'
import { DelayedJobs } from './delayed-jobs.ts'
import { StoredJob } from './stored-job.ts'

export class ArrayQueue {
  readonly producers: WaitingProducers<readonly StoredJob[]>
  readonly #settings: QueueSettings
  readonly #clock: Clock
  readonly #ids: Set<string>
  readonly #ready: StoredJob[] = []
  readonly #delayed: DelayedJobs
  #consumer: ArrayConsumer | undefined
  #active = 0
  #dead = 0

  constructor (settings: QueueSettings, clock: Clock, ids: Set<string>) {
    this.#settings = settings
    this.#clock = clock
    this.#ids = ids
    this.#delayed = new DelayedJobs(clock, (job) => this.#makeReady(job))
    this.producers = new WaitingProducers(clock, (timeout) => this.#full(` and no room came within ${timeout} ms`), () => this.#admitWaiting())
  }

  enqueue (jobs: readonly JobEnvelope[], { signal, timeout = this.#settings.enqueueTimeout }: EnqueueLimits): readonly EnqueueResult[] | Promise<readonly EnqueueResult[]> {
    const { fullMode, capacity, maxPayloadBytes } = this.#settings
    const stored = jobs.map((job) => new StoredJob(job, encodePayload(`job '${job.name}'`, job.payload, maxPayloadBytes)))
    if (this.#fits(stored, this.producers.size === 0)) return this.#admit(stored)
    if (fullMode === 'reject') throw this.#full('')
    if (jobs.length > capacity) throw this.#full(` for ${jobs.length} jobs at once, ever`)
    return this.producers.wait(stored, timeout, signal)
  }

  consume (concurrency: number, deliver: Deliver): Consumer {
    return (this.#consumer = new ArrayConsumer(this, concurrency, deliver))
  }

  take (): StoredJob | undefined {
    const job = this.#ready.shift()
    if (job === undefined) return undefined
    this.#active++
    this.#admitWaiting()
    return job
  }

  settle (job: StoredJob, outcome: Outcome): void {
    this.#active--
    switch (outcome.type) {
      case 'retry':
        job.retryAt(outcome.runAt)
        return this.#put(job)
      case 'released':
        this.#ready.unshift(job)
        return
      case 'dead':
        this.#dead++
    }
    this.#ids.delete(job.id)
  }

  stats (): QueueStats {
    return { waiting: this.#ready.length, delayed: this.#delayed.size, active: this.#active, dead: this.#dead }
  }

  * unfinished (): Generator<JobEnvelope> {
    for (const job of [...this.#ready, ...this.#delayed]) yield job.envelope()
  }

  close (): void {
    this.#delayed.close()
  }

  // Running jobs hold no room; a retry takes some without asking.
  #fits (jobs: readonly StoredJob[], nobodyWaits: boolean): boolean {
    const fresh = jobs.filter(({ id }) => !this.#ids.has(id)).length
    return fresh === 0 || (nobodyWaits && fresh <= this.#settings.capacity - this.#ready.length - this.#delayed.size)
  }

  #admit (jobs: readonly StoredJob[]): EnqueueResult[] {
    return jobs.map((job) => {
      if (this.#ids.has(job.id)) return { id: job.id, status: 'duplicate' }
      this.#ids.add(job.id)
      this.#put(job)
      return { id: job.id, status: 'enqueued' }
    })
  }

  #admitWaiting (): void {
    for (let jobs = this.producers.firstJobs; jobs !== undefined && this.#fits(jobs, true); jobs = this.producers.firstJobs) {
      this.producers.admitFirst(this.#admit(jobs))
    }
  }

  #put (job: StoredJob): void {
    if (job.runAt > this.#clock.now()) this.#delayed.add(job)
    else this.#makeReady(job)
  }

  #makeReady (job: StoredJob): void {
    this.#ready.push(job)
    this.#consumer?.wake()
  }

  #full (detail: string): Error {
    return retryLater(new QueueFullError(this.#settings.name, this.#settings.capacity, detail))
  }
}
