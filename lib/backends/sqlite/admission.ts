import type { BackendContext } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import { QueueFullError, retryLater } from '../../errors.ts'
import { WaitingProducers, type Results } from '../waiting-producers.ts'
import type { Enqueue } from './enqueue.ts'
import type { JobRow } from './records.ts'
import type { SqliteQueue } from './queue.ts'
import type { Transaction } from './transaction.ts'
import { FINISHED } from './schema.ts'

/** Who is let into a queue: capacity, full modes, duplicates. Decided inside the transaction, so it is exact across processes. */
export class Admission {
  readonly queue: SqliteQueue
  readonly producers: WaitingProducers<Enqueue>
  readonly #stopping: AbortSignal
  readonly #claimForIdle: (tx: Transaction) => void
  /** Those that began to wait in the transaction that runs, behind the producers. */
  #newcomers: Enqueue[] = []

  /** `claimForIdle` hands jobs to this process's idle workers, which makes room for others. */
  constructor (queue: SqliteQueue, { clock, stopping }: BackendContext, onRoom: () => void, claimForIdle: (tx: Transaction) => void) {
    this.queue = queue
    this.#stopping = stopping
    this.#claimForIdle = claimForIdle
    this.producers = new WaitingProducers(clock, (timeout) => this.#fullError(` and no room came within ${timeout} ms`), onRoom)
    stopping.addEventListener('abort', () => this.producers.rejectAll(stopping.reason), { once: true })
  }

  begin (): void {
    this.#newcomers = []
  }

  /** Decides about an enqueue: its results, its error, or that it waits. */
  decide (tx: Transaction, enqueue: Enqueue): void {
    const { jobs } = enqueue
    if (this.#isNext ? this.#fits(tx, jobs) || this.#hasRoom(tx, jobs.length) : this.#areDuplicates(tx, jobs)) {
      enqueue.results = this.#admitAll(tx, enqueue)
      return
    }
    switch (this.queue.settings.fullMode) {
      case 'wait':
        this.#decideToWait(enqueue)
        break
      case 'reject':
        enqueue.error = this.#fullError('')
        break
      case 'dropWrite':
        enqueue.results = jobs.map((job, index) => this.#admitOrDrop(tx, job, enqueue.payloads[index]!))
        break
      case 'dropOldest':
        enqueue.results = jobs.map((job, index) => this.#admitAfterDrop(tx, job, enqueue.payloads[index]!, 'oldestOfLine'))
        break
      case 'dropNewest':
        enqueue.results = jobs.map((job, index) => this.#admitAfterDrop(tx, job, enqueue.payloads[index]!, 'newestOfLine'))
    }
  }

  /** Lets in who waits, as long as there is room. Returns how many of them. */
  promote (tx: Transaction): number {
    let promoted = 0
    for (const enqueue of this.#waiting()) {
      if (enqueue.results !== undefined) continue
      if (!this.#fits(tx, enqueue.jobs)) break
      enqueue.results = this.#admitAll(tx, enqueue)
      promoted++
    }
    return promoted
  }

  /** The transaction is committed. */
  committed (): void {
    for (let first = this.producers.firstJobs; first?.results !== undefined; first = this.producers.firstJobs) {
      this.producers.admitFirst(first.results)
    }
  }

  /** The transaction was rolled back. */
  rolledBack (): void {
    for (const enqueue of this.producers) enqueue.results = undefined
  }

  wait (enqueue: Enqueue): Promise<Results> {
    const { signal, timeout = this.queue.settings.enqueueTimeout } = enqueue.limits
    return this.producers.wait(enqueue, timeout, signal)
  }

  /** Nobody waits before an enqueue that comes now. */
  get #isNext (): boolean {
    return this.producers.size === 0 && this.#newcomers.length === 0
  }

  * #waiting (): Generator<Enqueue> {
    yield * this.producers
    yield * this.#newcomers
  }

  #decideToWait (enqueue: Enqueue): void {
    const count = enqueue.jobs.length
    if (count > this.queue.settings.capacity) enqueue.error = this.#fullError(` for ${count} jobs at once, ever`)
    else if (this.#stopping.aborted) enqueue.error = this.#stopping.reason
    else this.#newcomers.push(enqueue)
  }

  #fits (tx: Transaction, jobs: readonly JobEnvelope[]): boolean {
    return jobs.length <= this.#room(tx) || this.#areDuplicates(tx, jobs)
  }

  // They take no room.
  #areDuplicates (tx: Transaction, jobs: readonly JobEnvelope[]): boolean {
    return jobs.every((job) => this.#existing(tx, job) !== undefined)
  }

  #room (tx: Transaction): number {
    return this.queue.room(tx.look(this.queue.id))
  }

  /** A job that an idle worker of this process can take at once does not count against the capacity. */
  #hasRoom (tx: Transaction, count: number): boolean {
    if (this.#room(tx) >= count) return true
    this.#claimForIdle(tx)
    return this.#room(tx) >= count
  }

  #admitAll (tx: Transaction, { jobs, payloads }: Enqueue): Results {
    return jobs.map((job, index) => this.#admit(tx, job, payloads[index]!))
  }

  #admit (tx: Transaction, job: JobEnvelope, payload: string): Results[number] {
    const existing = this.#existing(tx, job)
    if (existing !== undefined) return { id: existing, status: 'duplicate' }
    this.queue.insert(tx, job, payload)
    return { id: job.id, status: 'enqueued' }
  }

  /** The id of the job that has this one's key, its tick or its id. */
  #existing (tx: Transaction, { id, options }: JobEnvelope): string | undefined {
    if (options === undefined) return undefined
    const holder = (options.uniqueKey === undefined ? undefined : this.queue.keys.holder(tx, options.uniqueKey)) ?? this.queue.ticks.holder(tx, options)
    if (holder !== undefined || !options.givenId) return holder
    const namesake = tx.sql.byId.get(id) as unknown as JobRow | undefined
    return namesake === undefined || neverRan(namesake) ? undefined : id
  }

  #admitOrDrop (tx: Transaction, job: JobEnvelope, payload: string): Results[number] {
    if (this.#hasRoom(tx, 1) || this.#existing(tx, job) !== undefined) return this.#admit(tx, job, payload)
    this.queue.insertDropped(tx, job)
    return { id: job.id, status: 'dropped' }
  }

  // Where only delayed jobs and retries hold the room there is nothing to drop but the job that comes.
  #admitAfterDrop (tx: Transaction, job: JobEnvelope, payload: string, victim: 'oldestOfLine' | 'newestOfLine'): Results[number] {
    if (this.#existing(tx, job) === undefined && !this.#hasRoom(tx, 1)) this.queue.dropFresh(tx, victim)
    return this.#admitOrDrop(tx, job, payload)
  }

  #fullError (detail: string): Error {
    const { name, capacity } = this.queue.settings
    return retryLater(new QueueFullError(name, capacity, detail))
  }
}

/** It ended without having been worked on, or not to its end: nothing keeps it from being enqueued again. */
function neverRan ({ place, ended_as: endedAs }: JobRow): boolean {
  return place === FINISHED && endedAs !== 'succeeded'
}
