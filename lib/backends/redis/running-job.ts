import { setTimeout } from 'node:timers/promises'
import { Job, type MinimalQueue, type MoveToDelayedOpts, type WorkerOptions } from 'bullmq'
import type { Outcome } from '../../../types/backend.ts'
import type { SerializedError } from '../../../types/job.ts'
import { serializeError, toError } from '../../serialize-error.ts'
import { RedisDelivery } from './delivery.ts'
import { storesNothing } from './errors.ts'
import type { FetchingBackend } from './fetching.ts'
import type { StoredJob } from './record.ts'
import { CANCELLED, run, type ScriptName } from './scripts.ts'

/** Stack traces kept of a job's failed attempts. */
const STACKS = 5
/** Milliseconds between two attempts to store an outcome. */
const STORE_INTERVAL = 500

/** A job that this process took: BullMQ's, ended as our outcomes say. */
export class RunningJob extends Job {
  declare protected backend: FetchingBackend
  readonly delivery: RedisDelivery
  /** What it comes to, once it was delivered. */
  outcome: Promise<Outcome> | undefined
  readonly #record: StoredJob
  #outcome: Outcome | undefined

  constructor (queue: MinimalQueue, id: string, record: StoredJob, lease: AbortController) {
    const delivery = new RedisDelivery(record, lease, (value) => this.backend.updateProgress(id, value))
    const { envelope } = delivery
    super(queue, envelope.name, envelope.payload, record.options, id)
    this.#record = record
    this.delivery = delivery
    this.timestamp = envelope.enqueuedAt
    this.attemptsMade = record.attemptsMade
    this.attemptsStarted = record.number('ats')!
    this.stalledCounter = record.number('stc') ?? 0
    this.processedOn = record.number('processedOn')
    this.repeatJobKey = record.text('rjk')
    const deferred = record.text('defa')
    if (deferred !== undefined) this.deferredFailure = deferred
    if (record.uniqueFor > 0 && this.attemptsStarted > 1) this.#retakeKey()
  }

  /** BullMQ's way out of a processor: it has the outcome for a result. Resolves to the next job when `fetchNext`. */
  override async moveToCompleted (outcome: unknown, token: string, fetchNext: boolean): Promise<any[] | void> {
    this.#outcome = outcome as Outcome
    return this.#settle(this.#outcome, token, fetchNext)
  }

  /** BullMQ's way out when the above failed, and for a job that another worker's limits gave up. */
  override async moveToFailed (thrown: Error, token: string, fetchNext: boolean): Promise<any[] | void> {
    return this.#settle(this.#outcome ?? { type: 'dead', error: serializeError(toError(thrown)) }, token, fetchNext)
  }

  /** While Redis stores nothing, the outcome waits for as long as the lease lasts: without it the job would run again. */
  async #settle (outcome: Outcome, token: string, fetchNext: boolean): Promise<any[] | void> {
    const { lockDuration } = this.queue.opts as WorkerOptions
    for (;;) {
      try {
        return await this.#store(outcome, token, fetchNext)
      } catch (error) {
        if (!storesNothing(error) || performance.now() - this.delivery.leasedAt > lockDuration!) throw error
        this.queue.emit('error', error as Error)
        await setTimeout(STORE_INTERVAL)
      }
    }
  }

  #store (outcome: Outcome, token: string, fetchNext: boolean): Promise<any[] | void> {
    switch (outcome.type) {
      case 'succeeded':
        this.#keepKey(token)
        return this.#complete(null, token, fetchNext)
      case 'cancelled':
        return this.#complete(JSON.parse(CANCELLED), token, fetchNext)
      case 'dead':
        this.#keepKey(token)
        return this.#fail(outcome.error, token, fetchNext)
      case 'retry':
        return this.#delay(outcome.runAt, token, {
          fieldsToUpdate: { ...this.#failure(outcome.error), failedReason: outcome.error.message, due: outcome.runAt }, fetchNext
        })
      case 'released':
        return outcome.runAt === undefined ? this.#release(token) : this.#delay(outcome.runAt, token, { skipAttempt: true, fetchNext })
    }
  }

  async #complete (value: unknown, token: string, fetchNext: boolean): Promise<any[] | void> {
    return (await this.backend.moveToCompleted(this, value, this.opts.removeOnComplete!, token, fetchNext)).result
  }

  async #fail (error: SerializedError, token: string, fetchNext: boolean): Promise<any[] | void> {
    return (await this.backend.moveToFailed(this, error.message, this.opts.removeOnFail!, token, fetchNext, this.#failure(error))).result
  }

  #delay (runAt: number, token: string, options: MoveToDelayedOpts): Promise<any[] | void> {
    const now = Date.now()
    return this.backend.moveToDelayed(this.id!, now, Math.max(0, Math.ceil(runAt - now)), token, options)
  }

  async #release (token: string): Promise<void> {
    await this.backend.moveJobFromActiveToWait(this.id!, token)
    await this.backend.wakeWorkers()
  }

  /** BullMQ has fields for the message and for stacks. */
  #failure ({ message, stack, ...rest }: SerializedError): Record<string, string> {
    const stacks = stack === undefined ? this.#record.stacks : [...this.#record.stacks, stack].slice(-STACKS)
    return { error: JSON.stringify(rest), stacktrace: JSON.stringify(stacks) }
  }

  // Ahead of what ends the job, on the same connection: whether it still has its lock is the same for both.
  #keepKey (token: string): void {
    const { uniqueFor, uniqueKey } = this.#record
    if (uniqueFor <= 0 || uniqueKey === undefined) return
    this.#command('jobsKeepKey', [`${this.toKey(this.id!)}:lock`, `${this.toKey('de')}:${uniqueKey}`], [token, this.id!, Math.min(Math.ceil(uniqueFor), Number.MAX_SAFE_INTEGER)])
  }

  #retakeKey (): void {
    this.#command('jobsRetakeKey', [`${this.toKey('de')}:${this.#record.uniqueKey}`], [this.id!])
  }

  #command (name: ScriptName, keys: string[], args: (string | number)[]): void {
    this.backend.client.then((client) => run(client, name, keys, args)).catch((error: unknown) => this.queue.emit('error', error))
  }
}
