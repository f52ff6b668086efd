import type { FastifyBaseLogger } from 'fastify'
import type { OutboxStore } from '../lib/outbox/store.ts'
import type { JobDefinition, JobName } from './jobs.ts'
import type { BackoffFunction, BackoffOptions } from './options.ts'

export type { OutboxStore }

/** An event on its way out. */
export interface OutboxEvent {
  /** The same whenever it is published again: what a consumer tells duplicates by. */
  readonly id: string
  /** What has happened: 'order-placed'. */
  readonly type: string
  /** Events of one key are published in the order of `add`. */
  readonly key: string
  /** What `add` was given, as JSON has it. */
  readonly payload: unknown
  /** When it was added: milliseconds since the epoch, by the database's clock. */
  readonly createdAt: number
  /** The attempt that this one is, from 1. */
  readonly attempt: number
}

/** An event that will not be published by itself any more, kept for a person to look at. */
export interface ParkedEvent extends Omit<OutboxEvent, 'attempt'> {
  /** Attempts that failed. */
  readonly attempts: number
  /** The last one's message, followed by those of its causes: up to 8 KiB. */
  readonly lastError: string
  /** Milliseconds since the epoch. */
  readonly parkedAt: number
}

/** What a publish gets beside the event. */
export interface PublishContext {
  /** Aborts when the publish has taken longer than `timeout`. A shutdown does not abort it. */
  readonly signal: AbortSignal
  /** A child logger with `outbox`, `eventId`, `eventType` and `attempt`. */
  readonly log: FastifyBaseLogger
}

/**
 * Hands one event on; it is published once this returned or resolved, and not if it threw. There is no callback. It may see an event again,
 * with the same id. Thrown errors with code FST_JOBS_STOPPING, FST_JOBS_QUEUE_FULL or FST_JOBS_BACKEND_UNAVAILABLE count
 * as backpressure: no attempt is used up. A `NonRetryableError`, FST_JOBS_PAYLOAD_TOO_LARGE or FST_JOBS_INVALID_PAYLOAD, itself
 * or as a cause, parks the event at once.
 */
export type Publish = (event: OutboxEvent, context: PublishContext) => unknown

/** The options that every outbox has. */
interface CommonOptions {
  /** Where the events live: `postgres()` or `sqlite()`. */
  store: OutboxStore
  /**
   * Name of the relay's service and value of the metrics' label `outbox`.
   * @default 'outbox'
   */
  name?: string
  /**
   * Milliseconds between two looks at the store; after a batch with a result the next one follows at once.
   * @default 1000
   */
  every?: number
  /**
   * Events taken at once, at the most.
   * @default 100
   */
  batchSize?: number
  /**
   * Keys whose events are published at the same time, at the most; those of one key are published one after the other.
   * @default 10
   */
  concurrency?: number
  /**
   * Attempts at the most, the first one included; then the event is parked.
   * @default 10
   */
  attempts?: number
  /**
   * Time before the next attempt.
   * @default { type: 'exponential', delay: 1000, max: 60000, jitter: 0.2 }
   */
  backoff?: BackoffOptions | BackoffFunction
  /**
   * Milliseconds that one publish may take.
   * @default 30000
   */
  timeout?: number
  /**
   * Milliseconds that published events are kept: seven days.
   * @default 604800000
   */
  retention?: number
  /**
   * Bytes of a payload as JSON. With `job`, what `add` takes must also fit into the job's queue.
   * @default 1048576
   */
  maxPayloadBytes?: number
  /**
   * Told of every parked event, after it is stored and logged, and not waited for. One that throws is logged.
   * @default undefined
   */
  onParked?: (event: OutboxEvent, error: Error) => unknown
}

/** An outbox that hands its events to a function. */
interface PublishOptions extends CommonOptions {
  /** Hands each event on. */
  publish: Publish
  job?: never
}

/** An outbox that enqueues a job for each event. */
interface JobOptions extends CommonOptions {
  /**
   * The job to enqueue for each event, with `{ id, type, key, payload, createdAt }` as payload and the event's id as job id
   * and correlation id. `add` refuses an event that makes this payload larger than the `maxPayloadBytes` of the job's queue, as
   * soon as the job is defined. Its queue's `fullMode` should be 'wait' or 'reject': the others lose jobs.
   */
  job: JobName | JobDefinition<any> // Whatever its payload's type: the schema of the job has the last word.
  publish?: never
}

/** Exactly one of `publish` and `job`. */
export type OutboxOptions = PublishOptions | JobOptions

/** What `add` needs of a pg client. */
export interface PostgresTransaction {
  /** A Pool has it, and its queries belong to no transaction. */
  readonly totalCount?: never
  /** `app.pg` of @fastify/postgres has both, and its queries are the Pool's. */
  readonly pool?: never
  readonly transact?: never
  /** Runs a statement in the transaction. */
  query (text: string, values: unknown[]): Promise<unknown>
}

/** What `add` needs of a node:sqlite DatabaseSync. */
export interface SqliteTransaction {
  /** Whether a transaction is open. */
  readonly isTransaction?: boolean
  /** Makes a statement that runs in the transaction. */
  prepare (sql: string): { run (...values: string[]): unknown }
}

/** The options of an `add`. */
export interface AddOptions {
  /**
   * Orders the event among those of the same key. All that have none are one stream: ''.
   * @default ''
   */
  key?: string
}

/** `fastify.outbox.parked`. */
export interface ParkedEvents {
  /** The ones parked first come first. `limit`: 100 unless given. */
  list (options?: { limit?: number }): Promise<ParkedEvent[]>
  /** Publishes it again, from its first attempt and before the later ones of its key. False when there is none of that id. */
  retry (id: string): Promise<boolean>
  /** Forgets it. False when there is none of that id. */
  remove (id: string): Promise<boolean>
}

/** `fastify.outbox`. */
export interface Outbox {
  /**
   * Stores an event in the transaction that `tx`, a pg client, has open: it exists if and when that commits. Resolves to
   * the event's id. `type` and `key` have up to 255 characters; the payload is JSON, undefined becomes null.
   *
   * Events of one key are published in the order of `add`, at least once. Where two transactions overlap, the one that commits
   * later may come later whatever its ids.
   *
   * Rejects with FST_JOBS_INVALID_OPTIONS (a Pool, or `app.pg` of @fastify/postgres, instead of a client: its queries belong to no
   * transaction), FST_JOBS_INVALID_PAYLOAD, FST_JOBS_PAYLOAD_TOO_LARGE, or with what the query does.
   */
  add (tx: PostgresTransaction, type: string, payload: unknown, options?: AddOptions): Promise<string>
  /** The same on SQLite, with a DatabaseSync that has a transaction open: works, throws and returns at once. */
  add (tx: SqliteTransaction, type: string, payload: unknown, options?: AddOptions): string
  /** Events that used up their attempts or failed with a non-retryable error. */
  readonly parked: ParkedEvents
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly outbox: Outbox
  }
}
