import { type Job, QueueKeys, RedisConnection, RedisQueueBackend, type QueueBaseOptions } from 'bullmq'
import { shorten, type ShortScript } from './bull-scripts.ts'
import type { Client } from './connections.ts'
import { LOST_START, StoredJob } from './record.ts'

/**
 * BullMQ's operations for a worker. It reads what comes before BullMQ does: a record that BullMQ could not parse would
 * be neither run nor failed, and a job's hash has fields of ours that BullMQ drops.
 */
export class FetchingBackend extends RedisQueueBackend {
  readonly #fetched = new Map<string, StoredJob>()
  /** What hands out jobs, by BullMQ's names. */
  #fetching!: ReadonlyMap<string, ShortScript>

  static create (queue: string, prefix: string, options: object, main: Client, blocking: Client, fetching: ReadonlyMap<string, ShortScript>): FetchingBackend {
    const keys = new QueueKeys(prefix)
    const backend = new FetchingBackend(
      new RedisConnection(main, { shared: true, blocking: false, skipVersionCheck: true }), queue, keys.getKeys(queue), (type) => keys.toKey(queue, type),
      { ...options, connection: main, prefix } as QueueBaseOptions, new RedisConnection(blocking, { shared: true, blocking: true, skipVersionCheck: true })
    )
    backend.#fetching = fetching
    return backend
  }

  /** Seconds. Without a look at its version BullMQ takes Redis for one that knows whole seconds only. */
  override async waitForJob (timeout: number): ReturnType<RedisQueueBackend['waitForJob']> {
    this.blockingConnection!.capabilities.canDoubleTimeout = true
    return super.waitForJob(timeout)
  }

  override execCommand (client: Parameters<RedisQueueBackend['execCommand']>[0], name: string, args: unknown[]): unknown {
    const script = this.#fetching.get(name)
    if (script === undefined) return super.execCommand(client, name, args)
    return (super.execCommand(client, name, shorten(args, script, this.keys['']!)) as Promise<unknown>).then(this.#keep)
  }

  /** The record of a job that was fetched just now. */
  takeRecord (id: string): StoredJob {
    const record = this.#fetched.get(id)!
    this.#fetched.delete(id)
    return record
  }

  /** What BullMQ does for every job but one that was given back: without it idle workers would sleep on. */
  async wakeWorkers (): Promise<void> {
    const client = await this.client as unknown as Client
    await client.zadd(this.keys.marker!, 0, '0')
  }

  /** For a job that is given back before anybody has heard of it: its next delivery tells what this one would have told. */
  async keepStalled ({ id, attemptsStarted }: Pick<Job, 'id' | 'attemptsStarted'>): Promise<void> {
    const client = await this.client as unknown as Client
    await client.hset(`${this.keys['']}${id}`, LOST_START, attemptsStarted)
  }

  readonly #keep = (reply: unknown): unknown => {
    if (Array.isArray(reply) && Array.isArray(reply[0])) {
      this.#fetched.set(reply[1], new StoredJob(reply[1], reply[0]))
      reply[0] = []
    }
    return reply
  }
}
