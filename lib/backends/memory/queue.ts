import type { Clock, EnqueueLimits, EnqueueResult, Outcome, QueueSettings, QueueStats, RetryAnswer } from '../../../types/backend.ts'
import type { JobEnvelope, JobState } from '../../../types/job.ts'
import { QueueFullError, retryLater } from '../../errors.ts'
import { TimerHeap } from '../../timer-heap.ts'
import { WaitingProducers, type Results } from '../waiting-producers.ts'
import { EndedJobs } from './ended-jobs.ts'
import { Lanes } from './lanes.ts'
import { MemoryRecord } from './record.ts'
import type { RecordIndex } from './record-index.ts'
import { Ticks } from './ticks.ts'
import { UniqueKeys } from './unique-keys.ts'

export interface QueueContext {
  readonly clock: Clock
  readonly records: RecordIndex
  /** Every attempt gets the payload as it was enqueued, whatever an earlier one did to it. */
  readonly storePayloads: boolean
  onDrop (queue: string, envelope: JobEnvelope): void
  onDeadLetterLost (record: MemoryRecord): void
}

/**
 * A bounded queue. Every job that was admitted and does not run holds room, whether it waits, is delayed or waits for a
 * retry; a retry is let in whatever the room. So depth never exceeds capacity, and memory is bounded by capacity + concurrency.
 */
export class MemoryQueue {
  readonly settings: QueueSettings
  /** Called when a job becomes ready to run. */
  onReady: () => void = () => {}
  /** Called when there is no room: idle slots may take what is ready, which makes some. */
  onFull: () => void = () => {}
  /** Takes a job back that has a slot and has not begun; false when it has begun. The consumer's, without which no job has a slot. */
  takeBack!: (record: MemoryRecord) => boolean
  readonly #context: QueueContext
  readonly #ready = new Lanes()
  readonly #delayed: TimerHeap<MemoryRecord>
  readonly #producers: WaitingProducers<readonly JobEnvelope[]>
  readonly #ended: EndedJobs
  readonly #keys: UniqueKeys
  readonly #ticks: Ticks
  #active = 0

  constructor (settings: QueueSettings, context: QueueContext) {
    this.settings = settings
    this.#context = context
    this.#delayed = new TimerHeap(context.clock, (record) => this.#due(record), 'wall')
    this.#ended = new EndedJobs(settings, context.records, context.onDeadLetterLost)
    this.#keys = new UniqueKeys(context.clock)
    this.#ticks = new Ticks(context.clock)
    this.#producers = new WaitingProducers(
      context.clock,
      (timeout) => this.#fullError(` and no room came within ${timeout} ms`),
      () => this.#promote()
    )
  }

  get #room (): number {
    return this.settings.capacity - this.#ready.size - this.#delayed.size
  }

  stats (): QueueStats {
    // A due retry counts as delayed until it is taken: waiting jobs never exceed the capacity.
    return {
      waiting: this.#ready.fresh,
      waitingSince: this.#ready.waitingSince,
      delayed: this.#delayed.size + this.#ready.returned,
      active: this.#active,
      dead: this.#ended.dead.size
    }
  }

  /** Takes a job when there is room and nobody waits for it. */
  offer (job: JobEnvelope): EnqueueResult | undefined {
    return this.#producers.size === 0 && this.#hasRoom() ? this.#admit(job) : undefined
  }

  enqueue (jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<Results> {
    if (this.#room < jobs.length) this.onFull()
    if (this.#producers.size === 0 ? this.#fits(jobs) : this.#areDuplicates(jobs)) return Promise.resolve(this.#admitAll(jobs))
    switch (this.settings.fullMode) {
      case 'wait': return this.#wait(jobs, limits)
      case 'reject': return Promise.reject(this.#fullError(''))
      case 'dropWrite': return Promise.resolve(jobs.map((job) => this.#admitOrDrop(job)))
      case 'dropOldest': return Promise.resolve(jobs.map((job) => this.#admitAfterDrop(job, () => this.#ready.oldestFresh)))
      case 'dropNewest': return Promise.resolve(jobs.map((job) => this.#admitAfterDrop(job, () => this.#ready.newestFresh)))
    }
  }

  rejectProducers (reason: unknown): void {
    this.#producers.rejectAll(reason)
  }

  take (now: number): MemoryRecord | undefined {
    const record = this.#ready.take()
    if (record === undefined) return undefined
    record.started(now)
    if (this.#context.storePayloads) record.storePayload()
    this.#active++
    if (this.#producers.size > 0) this.#promote()
    return record
  }

  /** Jobs that a slot can take. */
  get ready (): number {
    return this.#ready.size
  }

  settle (record: MemoryRecord, outcome: Outcome, now: number): void {
    this.#active--
    record.restorePayload()
    switch (outcome.type) {
      case 'succeeded':
      case 'cancelled':
        this.#finish(record, outcome.type, now)
        break
      case 'dead':
        (record.rare ??= {}).error = outcome.error
        this.#bury(record, now)
        break
      case 'retry':
        record.envelope.attempt++
        record.rare = { ...record.rare, error: outcome.error, dueAt: undefined }
        this.#delay(record, outcome.runAt)
        break
      case 'released':
        record.released()
        this.#release(record, outcome.runAt, now)
    }
  }

  #release (record: MemoryRecord, runAt: number | undefined, now: number): void {
    if (runAt !== undefined && runAt > now) {
      (record.rare ??= {}).dueAt = record.dueAt
      this.#delay(record, runAt)
    } else {
      this.#ready.unshiftReturned(record)
      this.onReady()
    }
  }

  cancel (record: MemoryRecord): boolean {
    if (record.state === 'waiting') this.#ready.remove(record)
    else if (record.state === 'delayed') this.#delayed.remove(record.rare!.timer!)
    else if (record.state === 'active' && this.takeBack(record)) this.#active--
    else return false
    this.#finish(record, 'cancelled', this.#context.clock.now())
    this.#promote()
    return true
  }

  * deadLetters (): Generator<MemoryRecord> {
    yield * this.#ended.dead
  }

  /** Runs a dead letter again; it was admitted once, so it is not refused for lack of room. */
  retry (record: MemoryRecord): RetryAnswer {
    if (record.state !== 'dead') return false
    const holder = this.#keys.retake(record)
    if (holder !== undefined) return { heldBy: holder.envelope.id }
    this.#ended.dead.remove(record)
    record.revived(this.#room > 0, this.#context.clock.now())
    this.#makeReady(record)
    return true
  }

  removeDead (record: MemoryRecord): boolean {
    if (record.state !== 'dead') return false
    this.#ended.forgetDead(record)
    this.#keys.giveUp(record)
    return true
  }

  * unfinished (): Generator<JobEnvelope> {
    for (const jobs of [this.#ready, this.#delayed.items()]) {
      for (const { envelope } of jobs) yield envelope
    }
  }

  close (): void {
    this.#delayed.clear()
    this.#keys.clear()
  }

  #admitAll (jobs: readonly JobEnvelope[]): Results {
    return jobs.map((job) => this.#admit(job))
  }

  #admit (job: JobEnvelope): EnqueueResult {
    const existing = this.#existing(job)
    if (existing !== undefined) return { id: existing, status: 'duplicate' }
    const record = new MemoryRecord(this, job)
    this.#remember(record)
    this.#keys.take(record)
    this.#ticks.remember(job)
    const runAt = job.options?.runAt
    const now = runAt === undefined ? 0 : this.#context.clock.now()
    if (runAt !== undefined && runAt > now) {
      this.#delay(record, runAt)
    } else {
      this.#ready.push(record)
      this.onReady()
    }
    return { id: job.id, status: 'enqueued' }
  }

  /** The id of the job of which this one would be a duplicate. */
  #existing ({ id, options }: JobEnvelope): string | undefined {
    if (options === undefined) return undefined
    const holder = this.#keys.holder(options.uniqueKey)
    if (holder !== undefined) return holder.envelope.id
    const namesake = options.givenId ? this.#context.records.find(id) : undefined
    return namesake === undefined || namesake.neverRan ? this.#ticks.duplicateOf(options) : id
  }

  #remember (record: MemoryRecord): void {
    const { id, options } = record.envelope
    if (options?.givenId) this.#context.records.find(id)?.forget()
    this.#context.records.add(record)
  }

  /** A job that was dropped or cancelled gives its id to the next one. */
  forget (record: MemoryRecord): void {
    this.#ended.forgetFinished(record)
  }

  #wait (jobs: readonly JobEnvelope[], { signal, timeout = this.settings.enqueueTimeout }: EnqueueLimits): Promise<Results> {
    if (jobs.length > this.settings.capacity) return Promise.reject(this.#fullError(` for ${jobs.length} jobs at once, ever`))
    return this.#producers.wait(jobs, timeout, signal)
  }

  #promote (): void {
    for (let jobs = this.#producers.firstJobs; jobs !== undefined && this.#fits(jobs); jobs = this.#producers.firstJobs) {
      this.#producers.admitFirst(this.#admitAll(jobs))
    }
  }

  #fits (jobs: readonly JobEnvelope[]): boolean {
    return jobs.length <= this.#room || this.#areDuplicates(jobs)
  }

  // They take no room.
  #areDuplicates (jobs: readonly JobEnvelope[]): boolean {
    return jobs.every((job) => this.#existing(job) !== undefined)
  }

  #hasRoom (): boolean {
    if (this.#room <= 0) this.onFull()
    return this.#room > 0
  }

  #admitOrDrop (job: JobEnvelope): EnqueueResult {
    if (this.#hasRoom() || this.#existing(job) !== undefined) return this.#admit(job)
    const record = new MemoryRecord(this, job)
    this.#remember(record)
    this.#drop(record)
    return { id: job.id, status: 'dropped' }
  }

  // Where only delayed jobs and retries hold the room there is nothing to drop but the job that comes.
  #admitAfterDrop (job: JobEnvelope, victimOf: () => MemoryRecord | undefined): EnqueueResult {
    if (!this.#hasRoom() && this.#existing(job) === undefined) {
      const victim = victimOf()
      if (victim === undefined) return this.#admitOrDrop(job)
      this.#ready.remove(victim)
      this.#drop(victim)
    }
    return this.#admitOrDrop(job)
  }

  #drop (record: MemoryRecord): void {
    this.#context.onDrop(this.settings.name, record.envelope)
    this.#finish(record, 'dropped', this.#context.clock.now())
  }

  #delay (record: MemoryRecord, runAt: number): void {
    record.state = 'delayed'
    const rare = record.rare ??= {}
    rare.runAt = runAt
    rare.timer = this.#delayed.addAt(runAt, record)
  }

  #due (record: MemoryRecord): void {
    record.state = 'waiting'
    this.#makeReady(record)
  }

  #makeReady (record: MemoryRecord): void {
    if (record.returned) this.#ready.pushReturned(record)
    else this.#ready.push(record)
    this.onReady()
  }

  #finish (record: MemoryRecord, state: JobState, now: number): void {
    record.finished(state, now)
    record.letGo()
    this.#keys.end(record)
    this.#ended.keepFinished(record)
  }

  #bury (record: MemoryRecord, now: number): void {
    record.finished('dead', now)
    this.#keys.end(record)
    this.#ended.keepDead(record)
  }

  #fullError (detail: string): Error {
    return retryLater(new QueueFullError(this.settings.name, this.settings.capacity, detail))
  }
}
