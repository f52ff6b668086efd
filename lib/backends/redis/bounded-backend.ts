import { RedisQueueBackend, type IRedisTransaction, type JobJson, type KeysMap, type RedisClient } from 'bullmq'
import { RETRY, shorten, type ShortScript } from './bull-scripts.ts'

type Place = RedisClient | IRedisTransaction

/** BullMQ's operations on a queue that has a capacity. */
export class BoundedBackend extends RedisQueueBackend {
  capacity = Infinity
  /** What adds jobs, by BullMQ's names. */
  adding!: ReadonlyMap<string, ShortScript>

  protected override addStandardJob (place: Place, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(place, 'addStandardJob', this.addStandardJobArgs(job, opts, args, keys), keys)
  }

  protected override addPrioritizedJob (place: Place, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(place, 'addPrioritizedJob', this.addPrioritizedJobArgs(job, opts, args, keys), keys)
  }

  protected override addDelayedJob (place: Place, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(place, 'addDelayedJob', this.addDelayedJobArgs(job, opts, args, keys), keys)
  }

  override execCommand (place: Place, name: string, args: unknown[]): unknown {
    return name === 'reprocessJob' ? place.runCommand(RETRY, [...args, Date.now(), this.keys['']]) : super.execCommand(place, name, args)
  }

  #add (place: Place, original: string, args: unknown[], keys: KeysMap): Promise<string | number> {
    const script = this.adding.get(original)!
    const short = shorten(args, script, keys['']!)
    short.push(this.capacity)
    return place.runCommand(script.name, short) as Promise<string | number>
  }
}
