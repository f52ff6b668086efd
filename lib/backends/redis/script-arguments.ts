import { QueueKeys, RedisQueueBackend, type JobJson, type QueueBaseOptions, type RedisConnection } from 'bullmq'

/** Stand for what differs from call to call in the names of keys: scripts get the same among their arguments. */
const ID = '<id>'
const TARGET = '<target>'

class Types extends QueueKeys {
  override toKey (_queue: string, type: string): string {
    return type
  }
}

/** Says what BullMQ would call its scripts with: keys first, without what all keys of a queue begin with. */
class Probe extends RedisQueueBackend {
  #sent: unknown[] = []

  constructor (connection: RedisConnection) {
    const keys = { ...new Types().getKeys(''), [TARGET]: TARGET }
    super(connection, '', keys, (type) => type, {} as QueueBaseOptions, undefined, false)
  }

  override execCommand (_client: unknown, _name: string, args: unknown[]): void {
    this.#sent = args
  }

  async ask () {
    const job = { id: ID, data: '', opts: {} } as JobJson
    await this.moveToActive('')
    return {
      addStandardJob: this.addStandardJobArgs(job, '', []),
      addPrioritizedJob: this.addPrioritizedJobArgs(job, '', []),
      addDelayedJob: this.addDelayedJobArgs(job, '', []),
      moveToActive: this.#sent,
      moveToFinished: this.moveToFinishedArgs(job as never, '', 'returnvalue', undefined, TARGET as never, '', 0),
      moveToDelayed: this.moveToDelayedArgs(ID, 0, '', 0)
    } satisfies Record<string, unknown[]>
  }
}

export type ScriptArguments = Awaited<ReturnType<Probe['ask']>>

export function scriptArguments (connection: RedisConnection): Promise<ScriptArguments> {
  return new Probe(connection).ask()
}

/**
 * To be put before a script that is called with one key, what all keys of its queue begin with, in place of its first `count`
 * arguments: most of what an enqueue sends are keys, which are always the same.
 */
export function restoreKeys (args: readonly unknown[], count: number): string {
  const rest = args.slice(count)
  const keys = (args.slice(0, count) as string[]).map((key) => {
    const index = rest.findIndex((argument) => (argument === ID || argument === TARGET) && key.endsWith(argument))
    return index === -1 ? `base .. '${key}'` : `base .. '${key.slice(0, -String(rest[index]).length)}' .. ARGV[${index + 1}]`
  })
  return `
local base = KEYS[1]
local KEYS = { ${keys.join(', ')} }
`
}
