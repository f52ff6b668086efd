import type { Backend, BackendContext, Capabilities, Consumer, Deliver, EnqueueLimits, EnqueueResult, QueueStats, RetryAnswer } from '../../../types/backend.ts'
import type { DeadLetter, JobEnvelope, JobView } from '../../../types/job.ts'
import { InvalidOptionsError } from '../../errors.ts'
import { isCluster } from './client-kind.ts'
import { Connections } from './connections.ts'
import { RedisConsumer } from './consumer.ts'
import { ErrorLog } from './error-log.ts'
import { unavailable } from './errors.ts'
import { Inspector } from './inspection.ts'
import { whenWritable } from './opening.ts'
import { resolveRedisOptions, type RedisOptions, type ResolvedRedisOptions } from './options.ts'
import { Producer } from './producer.ts'
import { RedisQueue } from './queue.ts'
import { JobStore } from './store.ts'

export type { RedisOptions } from './options.ts'

/**
 * Jobs in Redis, by BullMQ: they survive processes, and every process that uses the same Redis, prefix and queue works on them. At
 * least once from the moment `enqueue` resolves. Needs the packages `bullmq` and `ioredis`, and Redis 6.2 or newer with
 * `maxmemory-policy noeviction`.
 */
export function redis (options: RedisOptions = {}): Backend {
  return new RedisBackend(resolveRedisOptions(options))
}

class RedisBackend implements Backend {
  readonly name = 'redis'
  readonly capabilities: Capabilities = {
    durable: true, delegates: false, delay: true, priority: true, unique: true, inspect: true, fullModes: ['wait', 'reject', 'dropWrite']
  }

  readonly #options: ResolvedRedisOptions
  readonly #queues = new Map<string, RedisQueue>()
  readonly #inspectors = new Map<string, Inspector>()
  readonly #consumers: RedisConsumer[] = []
  #context: BackendContext | undefined
  #errors!: ErrorLog
  #connections!: Connections
  #producer!: Producer

  constructor (options: ResolvedRedisOptions) {
    this.#options = options
  }

  get location (): string {
    const { client } = this.#producer
    if (isCluster(client)) return 'cluster'
    const { host, port, path, db } = client.options
    const address = [path, `${host}:${port}`].find((one) => one !== undefined)
    return `${address}/${db}`
  }

  async open (context: BackendContext): Promise<void> {
    if (this.#context !== undefined) throw new InvalidOptionsError("backend 'redis': another app has opened it; call redis() once for each app")
    this.#context = context
    const { prefix, lease, connectTimeout, commandTimeout } = this.#options
    this.#errors = new ErrorLog(context.log)
    this.#connections = new Connections(this.#options, this.#errors)
    this.#producer = new Producer(this.#connections, this.#errors, commandTimeout, context.log)
    const deadline = performance.now() + connectTimeout
    const stores: JobStore[] = []
    try {
      await this.#producer.open(connectTimeout)
      for (const settings of context.queues) stores.push(new JobStore(settings, prefix, this.#producer, stores))
      await Promise.all(stores.map((store) => whenWritable(this.#producer.client, store, deadline)))
    } catch (error) {
      this.#producer.close()
      throw unavailable(context.queues[0]!.name, error)
    }
    for (const store of stores) {
      const queue = new RedisQueue(store, context)
      this.#queues.set(store.settings.name, queue)
      this.#inspectors.set(store.settings.name, new Inspector(queue, lease))
    }
    context.stopping.addEventListener('abort', () => {
      for (const queue of this.#queues.values()) queue.rejectWaiting(context.stopping.reason)
    }, { once: true })
  }

  enqueue (queue: string, jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<readonly EnqueueResult[]> {
    return this.#queues.get(queue)!.enqueue(jobs, limits)
  }

  consume (name: string, { concurrency }: { concurrency: number }, deliver: Deliver): Consumer {
    const queue = this.#queues.get(name)!
    const consumer = new RedisConsumer({
      options: this.#options,
      settings: queue.store.settings,
      connections: this.#connections,
      fetching: this.#producer.fetching,
      leases: this.#producer.leases,
      errors: this.#errors,
      log: this.#context!.log,
      concurrency,
      onTaken: () => queue.roomMayCome()
    }, deliver)
    this.#consumers.push(consumer)
    return consumer
  }

  stats (queue: string): Promise<QueueStats> {
    return this.#queues.get(queue)!.stats()
  }

  async find (id: string): Promise<JobView | undefined> {
    const found = await Promise.all(Array.from(this.#inspectors.values(), (queue) => queue.find(id)))
    return found.find((view) => view !== undefined)
  }

  listDead (queue: string, { limit }: { limit: number }): Promise<DeadLetter[]> {
    return this.#inspectors.get(queue)!.listDead(limit)
  }

  retry (id: string): Promise<RetryAnswer> {
    return this.#inAnyQueue((queue) => queue.retry(id))
  }

  remove (id: string): Promise<boolean> {
    return this.#inAnyQueue((queue) => queue.remove(id))
  }

  cancel (id: string): Promise<boolean> {
    return this.#inAnyQueue((queue) => queue.cancel(id))
  }

  // They are Redis's.
  abandon (): JobEnvelope[] {
    return []
  }

  async close (): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.stop()))
    if (this.#context !== undefined) this.#producer.close()
  }

  /** The first answer that is not false. */
  async #inAnyQueue<Answer> (ask: (queue: Inspector) => Promise<Answer | false>): Promise<Answer | false> {
    for (const queue of this.#inspectors.values()) {
      const answer = await ask(queue)
      if (answer !== false) return answer
    }
    return false
  }
}
