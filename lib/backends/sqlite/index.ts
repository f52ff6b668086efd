import type { Backend, BackendContext, Capabilities, Consumer, Deliver, EnqueueLimits, EnqueueResult, QueueStats, RetryAnswer } from '../../../types/backend.ts'
import type { DeadLetter, JobEnvelope, JobView } from '../../../types/job.ts'
import { encodePayload } from '../../envelope.ts'
import { InvalidOptionsError } from '../../errors.ts'
import { checkFile } from '../../node-sqlite.ts'
import { object, optionsCheck } from '../../validation.ts'
import { Connection } from './connection.ts'
import { Enqueue } from './enqueue.ts'
import { deadLetterOf, dueAt, viewOf, type JobRow } from './records.ts'
import { DELAYED, WAITING } from './schema.ts'
import type { SqliteQueue } from './queue.ts'
import { Store } from './store.ts'
import type { Counts, Transaction } from './transaction.ts'

const milliseconds = (minimum: number) => ({ type: 'integer', minimum, maximum: 2 ** 31 - 1 })
const checkOptions = optionsCheck(object({
  path: { type: 'string' },
  synchronous: { enum: ['FULL', 'NORMAL'] },
  pollInterval: milliseconds(10),
  lease: milliseconds(100),
  busyTimeout: milliseconds(0),
  retention: { type: 'integer', minimum: 0 }
}, ['path']))

/** The options of `sqlite()`. */
export interface SqliteOptions {
  /** The database's file; its folder must be there. Tables of ours begin with `fastify_jobs`: the file may have others. */
  path: string
  /**
   * 'FULL': a job whose enqueue has resolved survives the loss of power. 'NORMAL' is several times faster; it survives the
   * process, though not always the machine.
   * @default 'FULL'
   */
  synchronous?: 'FULL' | 'NORMAL'
  /**
   * Milliseconds until what another process enqueued is noticed, at the most. What this process enqueues is noticed at once.
   * @default 500
   */
  pollInterval?: number
  /**
   * Milliseconds after which the jobs of a process that has died are anybody's. Living ones renew their lease.
   * @default 30000
   */
  lease?: number
  /**
   * Milliseconds that an enqueue waits for a file that another process has locked, before it fails with FST_JOBS_BACKEND_UNAVAILABLE.
   * @default 5000
   */
  busyTimeout?: number
  /**
   * Milliseconds for which finished jobs are remembered, within the queue's `history`: 7 days.
   * @default 604800000
   */
  retention?: number
}

const WEEK = 7 * 24 * 60 * 60 * 1000

/**
 * Jobs in a SQLite file, by node:sqlite (Node.js 22.13 or newer): they survive the process, at least once. The processes of
 * one machine can share the file. Throws FST_JOBS_INVALID_OPTIONS.
 */
export function sqlite (options: SqliteOptions): Backend {
  checkOptions(options, 'options of sqlite()')
  checkFile(options.path, 'the backend')
  const { path, synchronous = 'FULL', pollInterval = 500, lease = 30_000, busyTimeout = 5000, retention = WEEK } = options
  return new SqliteBackend({ path, synchronous, pollInterval, lease, busyTimeout, retention })
}

class SqliteBackend implements Backend {
  readonly name = 'sqlite'
  readonly capabilities: Capabilities = { durable: true, delegates: false, delay: true, priority: true, unique: true, inspect: true }
  readonly #options: Required<SqliteOptions>
  #opened = false
  #store!: Store

  constructor (options: Required<SqliteOptions>) {
    this.#options = options
  }

  get location (): string {
    return this.#options.path
  }

  async open (context: BackendContext): Promise<void> {
    if (this.#opened) throw new InvalidOptionsError("backend 'sqlite': another app has opened it; call sqlite() once for each app")
    this.#opened = true
    const connection = await Connection.open({ ...this.#options, clock: context.clock }, context.queues.map(({ name }) => name))
    const rows = await connection.read((sql) => sql.queues.all() as unknown as Counts[])
    this.#store = new Store(connection, context, this.#options, rows)
  }

  enqueue (queue: string, jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<readonly EnqueueResult[]> {
    const { admission, queue: { settings } } = this.#store.lanes.get(queue)!
    let payloads: string[]
    try {
      payloads = jobs.map((job) => encodePayload(`job '${job.name}'`, job.payload, settings.maxPayloadBytes))
    } catch (error) {
      return Promise.reject(error)
    }
    const enqueue = new Enqueue(admission, jobs, payloads, limits)
    this.#store.group.add(enqueue)
    return enqueue.promise
  }

  consume (queue: string, { concurrency }: { concurrency: number }, deliver: Deliver): Consumer {
    return this.#store.consume(queue, concurrency, deliver)
  }

  async stats (queue: string): Promise<QueueStats> {
    const { connection, group, lanes } = this.#store
    const { id } = lanes.get(queue)!.queue
    await group.settled()
    // It can be read while nothing can be written; who asks for the depth wants to know whether it takes jobs.
    group.assertInReach()
    return connection.read((sql) => {
      const { fresh, returned, delayed, active, dead } = (sql.queues.all() as unknown as Counts[]).find((row) => row.queue === id)!
      const firsts = fresh + returned === 0 ? [] : sql.waitingSince.all(id, id, id) as unknown as JobRow[]
      return {
        // A due retry counts as delayed until it is taken: waiting jobs never exceed the capacity.
        waiting: fresh,
        waitingSince: firsts.length === 0 ? undefined : Math.min(...firsts.map(dueAt)),
        delayed: delayed + returned,
        active,
        dead
      }
    })
  }

  /** What waits in the file is no loss. */
  abandon (): Iterable<JobEnvelope> {
    return []
  }

  async close (): Promise<void> {
    await this.#store?.close()
  }

  async find (id: string): Promise<JobView | undefined> {
    await this.#store.group.settled()
    const row = await this.#store.connection.read((sql) => sql.byId.get(id) as unknown as JobRow | undefined)
    const queue = row && this.#store.queueOf(row.queue)
    return queue && viewOf(row, queue.settings.name)
  }

  listDead (queue: string, { limit }: { limit: number }): Promise<DeadLetter[]> {
    const { id } = this.#store.lanes.get(queue)!.queue
    return this.#store.group.settled().then(() => this.#store.connection.read((sql) => {
      return (sql.deadLetters.all(id, limit) as unknown as JobRow[]).map((row) => deadLetterOf(row, queue))
    }))
  }

  retry (id: string): Promise<RetryAnswer> {
    return this.#change<RetryAnswer>(id, (tx, queue, row) => queue.revive(tx, row))
  }

  remove (id: string): Promise<boolean> {
    return this.#change(id, (tx, queue, row) => queue.removeDead(tx, row))
  }

  cancel (id: string): Promise<boolean> {
    return this.#change(id, (tx, queue, row) => {
      if (row.place !== WAITING && row.place !== DELAYED) return false
      queue.endUnstarted(tx, row, 'cancelled')
      return true
    })
  }

  /** Answers false where there is no such job in this app's queues. */
  #change<T> (id: string, change: (tx: Transaction, queue: SqliteQueue, row: JobRow) => T | false): Promise<T | false> {
    return new Promise((resolve, reject) => {
      let answer: T | false = false
      this.#store.group.add({
        perform: (tx) => {
          const row = tx.sql.byId.get(id) as unknown as JobRow | undefined
          const queue = row && this.#store.queueOf(row.queue)
          answer = queue !== undefined && change(tx, queue, row!)
        },
        committed: () => resolve(answer),
        failed: reject
      })
    })
  }
}
