import type { FastifyBaseLogger } from 'fastify'
import { QueueKeys, RedisConnection, type RedisQueueBackend, type JobJson, type QueueBaseOptions, type RedisClient } from 'bullmq'
import { BoundedBackend } from './bounded-backend.ts'
import { addingScripts, fetchingScripts, leaseScripts, retryScript, type Script, type ShortScript } from './bull-scripts.ts'
import type { Client, Connections } from './connections.ts'
import { unavailable } from './errors.ts'
import type { ErrorLog } from './error-log.ts'
import { scriptArguments } from './script-arguments.ts'
import { isLive, whenLive } from './when-live.ts'

export type { JobJson }

/** How many waits for the connection go on at once, at the most. */
const WAITS = 20

/** The connection over which this process enqueues, asks and inspects: every call ends within a bound. */
export class Producer {
  readonly client: Client
  readonly #connection: RedisConnection
  readonly #timeout: number
  readonly #log: FastifyBaseLogger
  #nextLife: { readonly since: number, readonly begins: Promise<void> } | undefined
  /** The same connection, with BullMQ's scripts. */
  bull!: RedisClient
  /** What consumers run in place of BullMQ's scripts that hand out jobs, by BullMQ's names. */
  fetching!: ReadonlyMap<string, ShortScript>
  /** And in place of those that see to leases. */
  leases!: readonly Script[]
  #adding!: ReadonlyMap<string, ShortScript>

  constructor (connections: Connections, errors: ErrorLog, commandTimeout: number, log: FastifyBaseLogger) {
    this.#log = log
    this.#timeout = commandTimeout
    this.client = connections.connect('commands')
    this.#connection = new RedisConnection(this.client, { shared: true, blocking: false, skipVersionCheck: true })
    this.#connection.on('error', (error: unknown) => errors.report(error))
  }

  /** Rejects when Redis cannot be reached within `timeout` milliseconds. */
  async open (timeout: number): Promise<void> {
    await whenLive(this.client, timeout)
    this.bull = await this.#connection.client
    const args = await scriptArguments(this.#connection)
    this.#adding = addingScripts(this.client, args)
    this.fetching = fetchingScripts(this.client, args)
    this.leases = leaseScripts(this.client)
    this.defineScripts()
    await this.#checkEviction()
  }

  /** Once more: the next use of a script sends it, not its digest. */
  defineScripts (): void {
    for (const script of [...this.#adding.values(), retryScript(this.client)]) this.client.defineCommand(script.name, script)
  }

  async #checkEviction (): Promise<void> {
    try {
      const evicting = /maxmemory_policy:(?!noeviction)(\S+)/.exec(await this.client.info('memory'))
      if (evicting !== null) {
        this.#log.warn({ backend: 'redis', policy: evicting[1] }, "Redis may delete jobs when its memory is full: set its maxmemory-policy to 'noeviction'")
      }
    } catch {
      // Not everybody may ask.
    }
  }

  /** BullMQ's operations on one queue, over this connection. */
  scripts (queue: string, prefix: string, capacity: number): RedisQueueBackend {
    const keys = new QueueKeys(prefix)
    const scripts = new BoundedBackend(
      this.#connection, queue, keys.getKeys(queue), (type) => keys.toKey(queue, type),
      { connection: this.client, prefix } as QueueBaseOptions, undefined, false
    )
    scripts.capacity = capacity
    scripts.adding = this.#adding
    return scripts
  }

  /** The connection is usable now. */
  get live (): boolean {
    return isLive(this.client)
  }

  /** Resolves as soon as the connection is usable; rejects with FST_JOBS_BACKEND_UNAVAILABLE. */
  async whenLive (queue: string): Promise<void> {
    try {
      await this.#whenLive()
    } catch (error) {
      throw unavailable(queue, error)
    }
  }

  // Those who ask within a moment share a wait: to let go of a listener takes the longer the more there are.
  #whenLive (): Promise<void> {
    const since = performance.now()
    if (this.#nextLife === undefined || since - this.#nextLife.since > this.#timeout / WAITS) {
      const begins = whenLive(this.client, this.#timeout).finally(() => { this.#nextLife = undefined })
      this.#nextLife = { since, begins }
    }
    return this.#nextLife.begins
  }

  close (): void {
    this.client.disconnect()
  }
}
