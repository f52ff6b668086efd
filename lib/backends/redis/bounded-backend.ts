import { RedisQueueBackend, type IRedisTransaction, type JobJson, type KeysMap, type RedisClient } from 'bullmq'
import { ADDING, RETRY } from './bull-scripts.ts'

/** BullMQ's operations on a queue that has a capacity. */
export class BoundedBackend extends RedisQueueBackend {
  capacity = Infinity

  protected override addStandardJob (client: RedisClient | IRedisTransaction, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(client, ADDING.addStandardJob, this.addStandardJobArgs(job, opts, args, keys), keys)
  }

  protected override addPrioritizedJob (client: RedisClient | IRedisTransaction, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(client, ADDING.addPrioritizedJob, this.addPrioritizedJobArgs(job, opts, args, keys), keys)
  }

  protected override addDelayedJob (client: RedisClient | IRedisTransaction, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(client, ADDING.addDelayedJob, this.addDelayedJobArgs(job, opts, args, keys), keys)
  }

  override execCommand (client: RedisClient | IRedisTransaction, name: string, args: unknown[]): unknown {
    return name === 'reprocessJob' ? client.runCommand(RETRY, [...args, Date.now(), this.keys['']]) : super.execCommand(client, name, args)
  }

  #add (client: RedisClient | IRedisTransaction, name: string, args: unknown[], keys: KeysMap): Promise<string | number> {
    args.push(this.capacity, keys[''])
    return client.runCommand(name, args) as Promise<string | number>
  }
}
