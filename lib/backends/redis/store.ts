import type { RedisQueueBackend } from 'bullmq'
import type { EnqueueResult, QueueSettings, QueueStats } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import { encodePayload } from '../../envelope.ts'
import { FULL } from './bull-scripts.ts'
import type { Client } from './connections.ts'
import { unavailable } from './errors.ts'
import { jobId, storedId } from './job-id.ts'
import type { JobJson, Producer } from './producer.ts'
import { storedOptions } from './record.ts'
import { CANCELLED, run } from './scripts.ts'

export type Results = readonly EnqueueResult[]

/** What a queue holds in Redis, and what this process adds to it. */
export class JobStore {
  readonly settings: QueueSettings
  readonly scripts: RedisQueueBackend
  readonly #producer: Producer
  /** Those of all queues of the backend. */
  readonly #stores: readonly JobStore[]

  constructor (settings: QueueSettings, prefix: string, producer: Producer, stores: readonly JobStore[]) {
    this.settings = settings
    this.scripts = producer.scripts(settings.name, prefix, settings.capacity)
    this.#producer = producer
    this.#stores = stores
  }

  /** Runs what needs the connection; whatever fails is FST_JOBS_BACKEND_UNAVAILABLE. */
  async command<T> (ask: (client: Client) => Promise<T>): Promise<T> {
    if (!this.#producer.live) await this.#producer.whenLive(this.settings.name)
    try {
      return await ask(this.#producer.client)
    } catch (error) {
      throw unavailable(this.settings.name, error)
    }
  }

  /** The record to store; throws what is wrong with the payload. */
  encode (job: JobEnvelope): JobJson {
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

  /** All or none; undefined when Redis found no room for them. */
  add (jobs: readonly JobEnvelope[], records: readonly JobJson[]): Promise<Results | undefined> {
    if (jobs.length === 1 && !jobs[0]!.options?.givenId) return this.#addOne(jobs[0]!, records[0]!)
    return this.command(() => this.#addAll(jobs, records))
  }

  /** Jobs that hold room. */
  async depth (): Promise<number> {
    const { keys } = this.scripts
    return await this.command((client) => run(client, 'jobsDepth', [keys.wait!, keys.prioritized!, keys.delayed!])) as number
  }

  async stats (): Promise<QueueStats> {
    const { keys } = this.scripts
    const [wait, prioritized, delayed, active, dead] = await this.command((client) => counts(
      client.multi().llen(keys.wait!).zcard(keys.prioritized!).zcard(keys.delayed!).llen(keys.active!).zcard(keys.failed!)
        // A write that changes nothing: whoever asks wants to know whether Redis takes jobs, which a replica does not.
        .persist(keys.meta!)
    ))
    // A retried dead letter may come in addition to a full queue; waiting jobs do not exceed the capacity.
    const ready = wait! + prioritized!
    const waiting = Math.min(ready, this.settings.capacity)
    return { waiting, delayed: delayed! + ready - waiting, active: active!, dead: dead! }
  }

  /** What to answer when every one of these jobs is a duplicate: those take no room. */
  async duplicates (jobs: readonly JobEnvelope[]): Promise<Results | undefined> {
    if (!jobs.every(({ options }) => options?.givenId === true || options?.uniqueKey !== undefined)) return undefined
    return this.command(async (client) => {
      const holders = await Promise.all(jobs.map((job) => this.#holder(client, job)))
      return holders.every((holder) => holder !== undefined) ? holders.map((id) => ({ id, status: 'duplicate' })) : undefined
    })
  }

  // What most enqueues do: without the layers that the others have.
  async #addOne (job: JobEnvelope, record: JobJson): Promise<Results | undefined> {
    if (!this.#producer.live) await this.#producer.whenLive(this.settings.name)
    try {
      return [resultOf(job, record, await this.scripts.addJobToTransaction(this.#producer.bull, record, record.id))]
    } catch (error) {
      if ((error as { code?: unknown }).code === FULL) return undefined
      throw unavailable(this.settings.name, error)
    }
  }

  async #addAll (jobs: readonly JobEnvelope[], records: readonly JobJson[]): Promise<Results | undefined> {
    try {
      return await this.#addTogether(jobs, records)
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
      // Redis has forgotten BullMQ's scripts, at which no transaction ends: what it stored all the same is known by its id.
      this.#producer.defineScripts()
      return await this.#addTogether(jobs, records)
    }
  }

  async #addTogether (jobs: readonly JobEnvelope[], records: readonly JobJson[]): Promise<Results | undefined> {
    const { keys } = this.scripts
    const places = records.map(({ id }) => this.scripts.toKey(id))
    const transaction = this.#producer.bull.multi()
    run(transaction, 'jobsGuard', [keys.wait!, keys.prioritized!, keys.delayed!, ...places], [this.settings.capacity])
    for (const [index, record] of records.entries()) {
      if (jobs[index]!.options?.givenId) this.#claimId(transaction, record.id)
      this.scripts.addJobToTransaction(transaction, record, record.id)
    }
    run(transaction, 'jobsUnmark', places)
    const replies = await answers(transaction)
    if (replies.shift() === 1) return undefined
    return jobs.map((job, index) => {
      const known = job.options?.givenId === true && replies.shift() === 1
      const held = String(replies.shift())
      return known ? { id: jobId(held), status: 'duplicate' } : resultOf(job, records[index]!, held)
    })
  }

  #claimId (transaction: object, id: string): void {
    const others = this.#stores.filter((store) => store !== this)
    run(transaction, 'jobsClaimId', [this, ...others].flatMap(({ scripts }) => [scripts.toKey(id), scripts.keys.completed!]), [id, CANCELLED])
  }

  async #holder (client: Client, { id, options }: JobEnvelope): Promise<string | undefined> {
    const { uniqueKey, givenId } = options!
    const holder = uniqueKey === undefined ? null : await client.get(`${this.scripts.keys.de}:${uniqueKey}`)
    if (holder !== null) return jobId(holder)
    if (givenId !== true) return undefined
    const transaction = client.multi()
    this.#claimId(transaction, storedId(id))
    run(transaction, 'jobsUnmark', [this.scripts.toKey(storedId(id))])
    const [known] = await answers(transaction)
    return known === 1 ? id : undefined
  }
}

function resultOf (job: JobEnvelope, record: JobJson, held: string): EnqueueResult {
  return held === record.id ? { id: job.id, status: 'enqueued' } : { id: jobId(held), status: 'duplicate' }
}

interface Transaction { exec (): Promise<[Error | null, unknown][] | null> }

/** The replies of a transaction; throws the first error among them. */
export async function answers (transaction: Transaction): Promise<unknown[]> {
  const replies = await transaction.exec()
  return replies!.map(([error, reply]) => {
    if (error) throw error
    return reply
  })
}

async function counts (transaction: Transaction): Promise<number[]> {
  return await answers(transaction) as number[]
}
