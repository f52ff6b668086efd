import { RedisQueueBackend, type IRedisTransaction, type JobJson, type KeysMap, type RedisClient } from 'bullmq'
import { RETRY, shorten, type ShortScript } from './bull-scripts.ts'

type Place = RedisClient | IRedisTransaction

/** Another job has the unique key of the dead letter that was to be retried. */
export class KeyTaken extends Error {
  /** The stored id of that job. */
  readonly holder: string

  constructor (holder: string) {
    super('another job has the unique key')
    this.holder = holder
  }
}

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
    return name === 'reprocessJob' ? this.#retry(place, args) : super.execCommand(place, name, args)
  }

  async #retry (place: Place, args: unknown[]): Promise<unknown> {
    const answer = await place.runCommand(RETRY, [...args, Date.now(), this.keys['']])
    if (typeof answer === 'string') throw new KeyTaken(answer)
    return answer
  }

  #add (place: Place, original: string, args: unknown[], keys: KeysMap): Promise<string | number> {
    const script = this.adding.get(original)!
    const short = shorten(args, script, keys['']!)
    short.push(this.capacity)
    return place.runCommand(script.name, short) as Promise<string | number>
  }
}
