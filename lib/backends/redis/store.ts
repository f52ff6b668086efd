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
import { claimTick, hasTick, rememberTick } from './ticks.ts'

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
    if (jobs.length === 1 && !jobs[0]!.options?.givenId && !hasTick(jobs[0]!)) return this.#addOne(jobs[0]!, records[0]!)
    return this.command(() => this.#addAll(jobs, records))
  }

  /** Jobs that hold room. */
  async depth (): Promise<number> {
    const { keys } = this.scripts
    return await this.command((client) => run(client, 'jobsDepth', [keys.wait!, keys.prioritized!, keys.delayed!])) as number
  }

  /** `now`: by the clock that delays are told by. */
  async stats (now: number): Promise<QueueStats> {
    const { keys } = this.scripts
    const [wait, prioritized, delayed, active, dead, paused, waitingSince] = await this.command((client) => {
      const transaction = client.multi().llen(keys.wait!).zcard(keys.prioritized!).zcard(keys.delayed!).llen(keys.active!).zcard(keys.failed!).hexists(keys.meta!, 'paused')
      run(transaction, 'jobsWaitingSince', [keys.wait!, keys.prioritized!, keys.delayed!], [this.scripts.toKey(''), now])
      // A write that changes nothing: whoever asks wants to know whether Redis takes jobs, which a replica does not.
      return answers(transaction.persist(keys.meta!))
    }) as number[]
    // A retried dead letter may come in addition to a full queue; waiting jobs do not exceed the capacity.
    const ready = wait! + prioritized!
    const waiting = Math.min(ready, this.settings.capacity)
    return { waiting, waitingSince: waitingSince ?? undefined, delayed: delayed! + ready - waiting, active: active!, dead: dead!, ...(paused === 1 && { paused: true }) }
  }

  /** What to answer when every one of these jobs is a duplicate: those take no room. */
  async duplicates (jobs: readonly JobEnvelope[]): Promise<Results | undefined> {
    if (!jobs.every(mayBeDuplicate)) return undefined
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
    const results: (EnqueueResult | undefined)[] = jobs.map(() => undefined)
    while (results.includes(undefined)) {
      if (!await this.#addRest(jobs, records, results)) return undefined
    }
    return results as EnqueueResult[]
  }

  /** Adds the jobs that have no result; false when there is no room for them. */
  async #addRest (jobs: readonly JobEnvelope[], records: readonly JobJson[], results: (EnqueueResult | undefined)[]): Promise<boolean> {
    const { keys } = this.scripts
    const rest = [...results.keys()].filter((index) => results[index] === undefined)
    const places = rest.map((index) => this.scripts.toKey(records[index]!.id))
    const transaction = this.#producer.bull.multi()
    run(transaction, 'jobsGuard', [keys.wait!, keys.prioritized!, keys.delayed!, ...places], [this.settings.capacity])
    for (const index of rest) {
      const job = jobs[index]!
      const record = records[index]!
      if (hasTick(job)) claimTick(transaction, this.scripts, job)
      if (job.options?.givenId) this.#claimId(transaction, record.id)
      this.scripts.addJobToTransaction(transaction, record, record.id)
      if (mayHoldItsOwnKey(job)) run(transaction, 'jobsIsStored', [this.scripts.toKey(record.id)])
      if (hasTick(job)) rememberTick(transaction, this.scripts, job)
    }
    run(transaction, 'jobsUnmark', places)
    const replies = await answers(transaction, isForgotten)
    if (replies.shift() === 1) return false
    for (const index of rest) {
      const job = jobs[index]!
      const enqueued = hasTick(job) ? replies.shift() : null
      const known = job.options?.givenId === true && replies.shift() === 1
      const held = replies.shift()
      const isStored = !mayHoldItsOwnKey(job) || replies.shift() === 1
      if (hasTick(job)) replies.shift()
      if (held instanceof Error) continue
      results[index] = enqueued !== null || known || !isStored
        ? { id: jobId(String(enqueued ?? held)), status: 'duplicate' }
        : resultOf(job, records[index]!, String(held))
    }
    // At a script that Redis has forgotten no transaction ends: what it could not run is done again.
    if (results.includes(undefined)) this.#producer.defineScripts()
    return true
  }

  #claimId (transaction: object, id: string): void {
    const others = this.#stores.filter((store) => store !== this)
    run(transaction, 'jobsClaimId', [this, ...others].flatMap(({ scripts }) => [scripts.toKey(id), scripts.keys.completed!]), [id, CANCELLED])
  }

  async #holder (client: Client, job: JobEnvelope): Promise<string | undefined> {
    const { uniqueKey, givenId } = job.options!
    const holder = uniqueKey === undefined ? null : await client.get(`${this.scripts.keys.de}:${uniqueKey}`)
    if (holder !== null) return jobId(holder)
    if (givenId !== true && !hasTick(job)) return undefined
    const id = storedId(job.id)
    const transaction = client.multi()
    if (hasTick(job)) claimTick(transaction, this.scripts, job)
    if (givenId) this.#claimId(transaction, id)
    run(transaction, 'jobsUnmark', [this.scripts.toKey(id)])
    const replies = await answers(transaction)
    const enqueued = hasTick(job) ? replies.shift() : null
    if (enqueued !== null) return jobId(String(enqueued))
    return givenId === true && replies.shift() === 1 ? job.id : undefined
  }
}

function mayBeDuplicate (job: JobEnvelope): boolean {
  return job.options?.givenId === true || job.options?.uniqueKey !== undefined || hasTick(job)
}

/** BullMQ answers with the job's own id also when a former job of that id, forgotten by now, still has the unique key: nothing was stored then. */
function mayHoldItsOwnKey ({ options }: JobEnvelope): boolean {
  return options?.givenId === true && options.uniqueKey !== undefined
}

function resultOf (job: JobEnvelope, record: JobJson, held: string): EnqueueResult {
  return held === record.id ? { id: job.id, status: 'enqueued' } : { id: jobId(held), status: 'duplicate' }
}

interface Transaction { exec (): Promise<[Error | null, unknown][] | null> }

/** The replies of a transaction; throws the first error among them that is not `expected`. */
export async function answers (transaction: Transaction, expected = (_error: Error) => false): Promise<unknown[]> {
  const replies = await transaction.exec()
  return replies!.map(([error, reply]) => {
    if (error && !expected(error)) throw error
    return error ?? reply
  })
}

function isForgotten ({ message }: Error): boolean {
  return message.startsWith('NOSCRIPT')
}
