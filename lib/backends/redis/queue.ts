import type { RedisQueueBackend } from 'bullmq'
import type { BackendContext, EnqueueResult, QueueSettings, QueueStats } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import { encodePayload } from '../../envelope.ts'
import { QueueFullError, retryLater } from '../../errors.ts'
import { WaitingProducers, type Results } from '../waiting-producers.ts'
import { unavailable } from './errors.ts'
import { jobId, storedId } from './job-id.ts'
import type { Client } from './connections.ts'
import type { JobJson, Producer, RedisClient } from './producer.ts'
import { storedOptions } from './record.ts'
import { Room, type Taken } from './room.ts'
import { CANCELLED, run } from './scripts.ts'

/** Milliseconds between two looks for room while somebody waits for it; the fewer when this process takes jobs meanwhile. */
const LOOK_INTERVAL = 100
const MIN_LOOK_INTERVAL = 2

/** One queue as its producers see it. */
export class RedisQueue {
  readonly settings: QueueSettings
  readonly scripts: RedisQueueBackend
  readonly #producer: Producer
  readonly #context: BackendContext
  readonly #room: Room
  readonly #waiting: WaitingProducers<readonly JobEnvelope[]>
  /** What those that wait will store: a payload may change meanwhile. */
  readonly #records = new WeakMap<readonly JobEnvelope[], JobJson[]>()
  #looking = false
  #lookSoon: (() => void) | undefined
  #stats: Promise<QueueStats> | undefined

  constructor (settings: QueueSettings, prefix: string, producer: Producer, context: BackendContext) {
    this.settings = settings
    this.#producer = producer
    this.#context = context
    this.scripts = producer.scripts(settings.name, prefix)
    this.#room = new Room(settings.capacity, () => this.command((client) => this.#depth(client)))
    this.#waiting = new WaitingProducers(
      context.clock,
      () => this.#fullError(` and no room came within ${settings.enqueueTimeout} ms`),
      () => this.roomMayCome()
    )
  }

  /** Runs what needs the connection; whatever fails is FST_JOBS_BACKEND_UNAVAILABLE. */
  async command<T> (ask: (client: Client, bull: RedisClient) => Promise<T>): Promise<T> {
    if (!this.#producer.live) await this.#producer.whenLive(this.settings.name)
    try {
      return await ask(this.#producer.client, this.#producer.bull)
    } catch (error) {
      throw unavailable(this.settings.name, error)
    }
  }

  async enqueue (jobs: readonly JobEnvelope[], signal: AbortSignal | undefined): Promise<Results> {
    const records = jobs.map((job) => this.#encode(job))
    const taken = this.#waiting.size === 0 ? this.#room.take(jobs.length) : undefined
    if (taken !== undefined) return this.#store(jobs, records, taken)
    if (this.settings.fullMode === 'wait') return this.#wait(jobs, records, signal)
    await this.#room.recount()
    const room = this.#room.take(jobs.length)
    if (room !== undefined) return this.#store(jobs, records, room)
    const duplicates = await this.#duplicates(jobs)
    if (duplicates !== undefined) return duplicates
    if (this.settings.fullMode === 'reject') throw this.#fullError('')
    const results: EnqueueResult[] = []
    for (const [index, job] of jobs.entries()) results.push(await this.#storeOrDrop(job, records[index]!))
    return results
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
    return (this.#stats ??= this.#askStats().finally(() => { this.#stats = undefined }))
  }

  async #askStats (): Promise<QueueStats> {
    const { keys } = this.scripts
    const [wait, prioritized, delayed, active, dead] = await this.command((client) => counts(
      client.multi().llen(keys.wait!).zcard(keys.prioritized!).zcard(keys.delayed!).llen(keys.active!).zcard(keys.failed!)
    ))
    return { waiting: wait! + prioritized!, delayed: delayed!, active: active!, dead: dead! }
  }

  async #depth (client: Client): Promise<number> {
    const { keys } = this.scripts
    const [wait, prioritized, delayed] = await counts(client.multi().llen(keys.wait!).zcard(keys.prioritized!).zcard(keys.delayed!))
    return wait! + prioritized! + delayed!
  }

  #encode (job: JobEnvelope): JobJson {
    const opts = storedOptions(job)
    return {
      id: storedId(job.id),
      name: job.name,
      data: encodePayload(`job '${job.name}'`, job.payload, this.settings.maxPayloadBytes),
      opts,
      timestamp: job.enqueuedAt,
      deduplicationId: job.options?.uniqueKey
    } as JobJson
  }

  async #store (jobs: readonly JobEnvelope[], records: readonly JobJson[], taken: Taken): Promise<Results> {
    let stored = 0
    try {
      const results = await this.command((_client, bull) => jobs.length === 1 && !jobs[0]!.options?.givenId
        ? this.#addOne(bull, jobs[0]!, records[0]!)
        : this.#addAll(bull, jobs, records))
      for (const { status } of results) if (status === 'enqueued') stored++
      return results
    } finally {
      this.#room.giveBack(taken, jobs.length - stored)
    }
  }

  async #addOne (bull: RedisClient, job: JobEnvelope, record: JobJson): Promise<Results> {
    return [resultOf(job, record, await this.scripts.addJobToTransaction(bull, record, record.id))]
  }

  /** All or none, and who had an id before is known. */
  async #addAll (bull: RedisClient, jobs: readonly JobEnvelope[], records: readonly JobJson[]): Promise<Results> {
    const transaction = bull.multi()
    for (const [index, record] of records.entries()) {
      if (jobs[index]!.options?.givenId) this.#claimId(transaction, record.id)
      this.scripts.addJobToTransaction(transaction, record, record.id)
    }
    const replies = await answers(transaction)
    let at = 0
    return jobs.map((job, index) => {
      const known = job.options?.givenId === true && replies[at++] === 1
      const held = String(replies[at++])
      return known ? { id: jobId(held), status: 'duplicate' } : resultOf(job, records[index]!, held)
    })
  }

  #claimId (client: Parameters<typeof run>[0], id: string): Promise<unknown> {
    return run(client, 'jobsClaimId', [this.scripts.toKey(id), this.scripts.keys.completed!, id, CANCELLED])
  }

  async #storeOrDrop (job: JobEnvelope, record: JobJson): Promise<EnqueueResult> {
    const taken = this.#room.take(1)
    const [result] = taken === undefined ? await this.#duplicates([job]) ?? [] : await this.#store([job], [record], taken)
    if (result !== undefined) return result
    this.#context.onDrop(this.settings.name, job)
    return { id: job.id, status: 'dropped' }
  }

  async #wait (jobs: readonly JobEnvelope[], records: JobJson[], signal: AbortSignal | undefined): Promise<Results> {
    if (jobs.length > this.settings.capacity) throw this.#fullError(` for ${jobs.length} jobs at once, ever`)
    if (this.#context.stopping.aborted) {
      await this.#room.recount()
      const taken = this.#room.take(jobs.length)
      if (taken === undefined) throw this.#context.stopping.reason
      return this.#store(jobs, records, taken)
    }
    this.#records.set(jobs, records)
    const results = this.#waiting.wait(jobs, this.settings.enqueueTimeout, signal)
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
    for (let jobs = this.#waiting.firstJobs; jobs !== undefined; jobs = this.#waiting.firstJobs) {
      const taken = this.#room.take(jobs.length)
      if (taken !== undefined) {
        this.#waiting.admitFirst(this.#store(jobs, this.#records.get(jobs)!, taken))
        continue
      }
      const duplicates = await this.#duplicates(jobs)
      if (duplicates === undefined) return
      if (this.#waiting.firstJobs === jobs) this.#waiting.admitFirst(duplicates)
    }
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

  /** What to answer when every one of these jobs is a duplicate: those take no room. */
  async #duplicates (jobs: readonly JobEnvelope[]): Promise<Results | undefined> {
    if (!jobs.every(({ options }) => options?.givenId === true || options?.uniqueKey !== undefined)) return undefined
    return this.command(async (client, bull) => {
      const holders = await Promise.all(jobs.map((job) => this.#holder(client, bull, job)))
      return holders.every((holder) => holder !== undefined) ? holders.map((id) => ({ id, status: 'duplicate' })) : undefined
    })
  }

  async #holder (client: Client, bull: RedisClient, { id, options }: JobEnvelope): Promise<string | undefined> {
    const holder = options?.uniqueKey === undefined ? null : await client.get(`${this.scripts.keys.de}:${options.uniqueKey}`)
    if (holder !== null) return jobId(holder)
    return options?.givenId === true && await this.#claimId(bull, storedId(id)) === 1 ? id : undefined
  }

  #fullError (detail: string): Error {
    return retryLater(new QueueFullError(this.settings.name, this.settings.capacity, detail))
  }
}

function resultOf (job: JobEnvelope, record: JobJson, held: string): EnqueueResult {
  return held === record.id ? { id: job.id, status: 'enqueued' } : { id: jobId(held), status: 'duplicate' }
}

interface Transaction { exec (): Promise<[Error | null, unknown][] | null> }

/** The replies of a transaction; throws the first error among them. */
export async function answers (transaction: Transaction): Promise<unknown[]> {
  const replies = await transaction.exec()
  return (replies ?? []).map(([error, reply]) => {
    if (error) throw error
    return reply
  })
}

async function counts (transaction: Transaction): Promise<number[]> {
  return await answers(transaction) as number[]
}
