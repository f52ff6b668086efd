import { clearTimeout, setTimeout } from 'node:timers'
import type { BackendContext, EnqueueLimits, EnqueueResult, QueueStats } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import { QueueFullError, retryLater } from '../../errors.ts'
import { WaitingProducers, type Results } from '../waiting-producers.ts'
import type { JobJson } from './producer.ts'
import { Room, type Taken } from './room.ts'
import type { JobStore } from './store.ts'

/** Milliseconds between two looks for room while somebody waits for it; the fewer when this process takes jobs meanwhile. */
const LOOK_INTERVAL = 100
const MIN_LOOK_INTERVAL = 2

interface Batch {
  readonly jobs: readonly JobEnvelope[]
  /** As they will be stored: a payload may change while its enqueue waits. */
  readonly records: readonly JobJson[]
  readonly limits: EnqueueLimits
}

/** One queue as its producers see it. */
export class RedisQueue {
  readonly store: JobStore
  readonly #context: BackendContext
  readonly #room: Room
  readonly #waiting: WaitingProducers<Batch>
  #looking = false
  #lookSoon: (() => void) | undefined
  #stats: Promise<QueueStats> | undefined

  constructor (store: JobStore, context: BackendContext) {
    this.store = store
    this.#context = context
    this.#room = new Room(store.settings.capacity, () => store.depth())
    this.#waiting = new WaitingProducers(
      context.clock,
      (timeout) => this.#fullError(` and no room came within ${timeout} ms`),
      () => this.roomMayCome()
    )
  }

  async enqueue (jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<Results> {
    const batch = { jobs, records: jobs.map((job) => this.store.encode(job)), limits }
    const taken = this.#waiting.size === 0 ? this.#room.take(jobs.length) : undefined
    const results = taken && await this.#store(batch, taken)
    if (results !== undefined) return results
    if (this.store.settings.fullMode === 'wait') return this.#wait(batch)
    await this.#room.recount()
    return await this.#storeIfRoom(batch) ?? await this.store.duplicates(jobs) ?? this.#overflow(batch)
  }

  /** Jobs were taken, or somebody gave up waiting: those that wait may fit now. */
  roomMayCome (): void {
    this.#lookSoon?.()
  }

  rejectWaiting (reason: unknown): void {
    this.#waiting.rejectAll(reason)
  }

  /** Those who ask at the same time share an answer. */
  stats (): Promise<QueueStats> {
    return (this.#stats ??= this.store.stats(this.#context.clock.now()).finally(() => { this.#stats = undefined }))
  }

  /** Undefined when there is no room for all of them. */
  async #storeIfRoom (batch: Batch): Promise<Results | undefined> {
    const taken = this.#room.take(batch.jobs.length)
    return taken && await this.#store(batch, taken)
  }

  /** The same, in room that is taken already. */
  async #store ({ jobs, records }: Batch, taken: Taken): Promise<Results | undefined> {
    let stored = 0
    try {
      const results = await this.store.add(jobs, records)
      if (results !== undefined) {
        for (const { status } of results) if (status === 'enqueued') stored++
      }
      return results
    } finally {
      this.#room.giveBack(taken, jobs.length - stored)
    }
  }

  #overflow ({ jobs, records, limits }: Batch): Promise<Results> {
    if (this.store.settings.fullMode === 'reject') throw this.#fullError('')
    return Promise.all(jobs.map((job, index) => this.#storeOrDrop({ jobs: [job], records: [records[index]!], limits })))
  }

  async #storeOrDrop (batch: Batch): Promise<EnqueueResult> {
    const [result] = await this.#storeIfRoom(batch) ?? await this.store.duplicates(batch.jobs) ?? []
    if (result !== undefined) return result
    const [job] = batch.jobs
    this.#context.onDrop(this.store.settings.name, job!)
    return { id: job!.id, status: 'dropped' }
  }

  async #wait (batch: Batch): Promise<Results> {
    const { jobs, limits: { signal, timeout = this.store.settings.enqueueTimeout } } = batch
    if (jobs.length > this.store.settings.capacity) throw this.#fullError(` for ${jobs.length} jobs at once, ever`)
    const { stopping } = this.#context
    if (stopping.aborted) {
      await this.#room.recount()
      const results = await this.#storeIfRoom(batch)
      if (results === undefined) throw stopping.reason
      return results
    }
    signal?.throwIfAborted()
    const results = this.#waiting.wait(batch, timeout, signal)
    this.#look()
    return results
  }

  async #look (): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    try {
      while (this.#waiting.size > 0) {
        await this.#room.recount()
        await this.#admit()
        if (this.#waiting.size > 0) await this.#pause()
      }
    } catch (error) {
      // They wait for room, not for Redis.
      this.#waiting.rejectAll(error)
    } finally {
      this.#looking = false
    }
  }

  async #admit (): Promise<void> {
    for (let batch = this.#waiting.firstJobs; batch !== undefined; batch = this.#waiting.firstJobs) {
      const { jobs } = batch
      const taken = this.#room.take(jobs.length)
      if (taken !== undefined) {
        this.#waiting.admitFirst(this.#storeOrWait(batch, taken))
        continue
      }
      const duplicates = await this.store.duplicates(jobs)
      if (duplicates === undefined) return
      if (this.#waiting.firstJobs === batch) this.#waiting.admitFirst(duplicates)
    }
  }

  // Another process may have been faster.
  async #storeOrWait (batch: Batch, taken: Taken): Promise<Results> {
    return await this.#store(batch, taken) ?? this.#wait(batch)
  }

  #pause (): Promise<void> {
    return new Promise((resolve) => {
      let timer = setTimeout(done, LOOK_INTERVAL)
      function done (): void {
        clearTimeout(timer)
        resolve()
      }
      this.#lookSoon = () => {
        this.#lookSoon = undefined
        clearTimeout(timer)
        timer = setTimeout(done, MIN_LOOK_INTERVAL)
      }
    })
  }

  #fullError (detail: string): Error {
    return retryLater(new QueueFullError(this.store.settings.name, this.store.settings.capacity, detail))
  }
}
