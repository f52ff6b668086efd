import { Redis, type Cluster, type RedisOptions as IORedisOptions } from 'ioredis'
import { isClient, isCluster } from './client-kind.ts'
import { keepToDatabase } from './database.ts'
import type { ErrorLog } from './error-log.ts'
import type { ResolvedRedisOptions } from './options.ts'

export type Client = Redis | Cluster

/** Milliseconds between two attempts to reconnect, at the most: consumers are back within a second of Redis. */
const MAX_RECONNECT_DELAY = 500
/** Milliseconds that a socket has to close in good order. */
const DISCONNECT_TIMEOUT = 500

type Purpose = 'commands' | 'worker' | 'blocking'

/** Makes the connections of one backend. */
export class Connections {
  readonly #options: ResolvedRedisOptions
  readonly #errors: ErrorLog

  constructor (options: ResolvedRedisOptions, errors: ErrorLog) {
    this.#options = options
    this.#errors = errors
  }

  /**
   * `commands`: fails rather than waits, so that nothing that was reported as failed is executed later. `worker`: waits for
   * Redis and sends again what had no answer, as BullMQ's Worker wants it. `blocking`: besides, may be silent for long.
   * `connectionName`: what Redis calls the connection; default: what the app's own settings say.
   */
  connect (purpose: Purpose, connectionName?: string): Client {
    const client = this.#make({ ...this.#settings(purpose), ...(connectionName !== undefined && { connectionName }) }, purpose !== 'commands')
    // BullMQ listens, and who waits for Redis.
    client.setMaxListeners(Infinity)
    if (!isCluster(client)) keepToDatabase(client)
    client.on('error', (error: unknown) => this.#errors.report(error))
    client.on('ready', () => this.#errors.recovered())
    return client
  }

  #make (settings: IORedisOptions, enableOfflineQueue: boolean): Client {
    const { url, connection } = this.#options
    if (url !== undefined) return new Redis(url, settings)
    if (!isClient(connection)) return new Redis({ ...connection, ...settings })
    if (!isCluster(connection)) return connection.duplicate(settings)
    const { retryStrategy: clusterRetryStrategy, ...redisOptions } = settings
    return connection.duplicate([], {
      clusterRetryStrategy,
      enableOfflineQueue,
      lazyConnect: false,
      redisOptions: { ...connection.options.redisOptions, ...redisOptions, enableOfflineQueue: true }
    })
  }

  #settings (purpose: Purpose): IORedisOptions {
    const { commandTimeout, connectTimeout } = this.#options
    const common: IORedisOptions = {
      connectTimeout: Math.min(connectTimeout, commandTimeout),
      disconnectTimeout: DISCONNECT_TIMEOUT,
      lazyConnect: false,
      commandTimeout: undefined,
      // Replies are read as numbers here, and by BullMQ.
      stringNumbers: false,
      retryStrategy: (times: number) => Math.min(times * 50, MAX_RECONNECT_DELAY)
    }
    switch (purpose) {
      case 'commands': return { ...common, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, socketTimeout: commandTimeout }
      case 'worker': return { ...common, enableOfflineQueue: true, autoResendUnfulfilledCommands: true, maxRetriesPerRequest: null, socketTimeout: commandTimeout }
      // BullMQ resets it when a read takes longer than it said.
      case 'blocking': return { ...common, enableOfflineQueue: true, autoResendUnfulfilledCommands: true, maxRetriesPerRequest: null, socketTimeout: undefined }
    }
  }
}
