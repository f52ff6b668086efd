import { RedisQueueBackend, type IRedisTransaction, type JobJson, type KeysMap, type RedisClient } from 'bullmq'
import type { Client } from './connections.ts'

/** What adding a job to a full queue answers; BullMQ's own codes are negative numbers, too. */
export const FULL = -1000

/** BullMQ's scripts that add a job, each with what it is called here. */
const ADDING = { addPrioritizedJob: 'jobsAddPrioritized', addDelayedJob: 'jobsAddDelayed' }

/** Before BullMQ's own script: KEYS and ARGV[1] to ARGV[3] are its; capacity and the beginning of the queue's keys come after. */
const guard = `
if redis.call('LLEN', ARGV[5] .. 'wait') + redis.call('ZCARD', ARGV[5] .. 'prioritized') + redis.call('ZCARD', ARGV[5] .. 'delayed') >= tonumber(ARGV[4]) then return ${FULL} end
`

interface Scripted { scriptsSet: Record<string, { lua: string, numberOfKeys: number }> }

/** Defines BullMQ's scripts that add jobs once more, with a look at the room before: one command, as without. `client` has BullMQ's scripts. */
export function defineBoundedScripts (client: Client): void {
  const { scriptsSet } = client as unknown as Scripted
  for (const [original, name] of Object.entries(ADDING)) {
    const [, { lua, numberOfKeys }] = Object.entries(scriptsSet).find(([key]) => key.startsWith(`${original}:`))!
    client.defineCommand(name, { numberOfKeys, lua: guard + lua })
  }
}

/** BullMQ's operations on a queue that has a capacity. */
export class BoundedBackend extends RedisQueueBackend {
  capacity = Infinity

  protected override addPrioritizedJob (client: RedisClient | IRedisTransaction, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(client, ADDING.addPrioritizedJob, this.addPrioritizedJobArgs(job, opts, args, keys), keys)
  }

  protected override addDelayedJob (client: RedisClient | IRedisTransaction, job: JobJson, opts: unknown, args: never[], keys: KeysMap): Promise<string | number> {
    return this.#add(client, ADDING.addDelayedJob, this.addDelayedJobArgs(job, opts, args, keys), keys)
  }

  #add (client: RedisClient | IRedisTransaction, name: string, args: unknown[], keys: KeysMap): Promise<string | number> {
    args.push(this.capacity, keys[''])
    return client.runCommand(name, args) as Promise<string | number>
  }
}
