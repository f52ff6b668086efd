import type { Cluster, Redis, RedisOptions as IORedisOptions } from 'ioredis'
import { InvalidOptionsError } from '../../errors.ts'
import { object, optionsCheck } from '../../validation.ts'
import { isCluster } from './client-kind.ts'
import { checkConnection, checkUrl } from './server-options.ts'

/** The options of `redis()`. */
export interface RedisOptions {
  /**
   * `redis://user:password@host:port/database`, or `rediss://` for TLS; special characters of the user and the password are
   * percent-encoded. Give this or `connection`.
   * @default 'redis://127.0.0.1:6379'
   */
  url?: string
  /**
   * Options of ioredis, or a `Redis` or `Cluster` of yours: its settings are used for connections of this backend's own, and
   * it is never closed. How connections retry, queue and time out, and what replies are, is decided here. `keyPrefix` is refused: use `prefix`.
   * @default undefined
   */
  connection?: IORedisOptions | Redis | Cluster
  /**
   * What every key begins with, as BullMQ has it. On a cluster it is `{bull}`: braces are added where there are none.
   * @default 'bull'
   */
  prefix?: string
  /**
   * Milliseconds after which a job counts as lost by its process and is handed to another one, unless its process is heard
   * of: it is, every quarter of this time. A lost process is noticed after up to twice the lease.
   * @default 30000
   */
  lease?: number
  /**
   * Milliseconds that the start of the app tries to reach Redis: within the 10 seconds that Fastify gives a plugin.
   * @default 8000
   */
  connectTimeout?: number
  /**
   * Milliseconds after which a command without an answer, or a connection that is away, fails the call with
   * FST_JOBS_BACKEND_UNAVAILABLE. Such an enqueue may have been stored all the same: give it an `id` and try it again with
   * the same one.
   * @default 5000
   */
  commandTimeout?: number
  /**
   * Milliseconds that a finished job is remembered, `history` of its queue permitting: 7 days.
   * @default 604800000
   */
  retention?: number
}

export interface ResolvedRedisOptions {
  readonly connection: IORedisOptions | Redis | Cluster
  readonly url: string | undefined
  readonly prefix: string
  readonly lease: number
  readonly connectTimeout: number
  readonly commandTimeout: number
  readonly retention: number
}

const timeout = { type: 'integer', minimum: 1, maximum: 2 ** 31 - 1 }
const checkOptions = optionsCheck(object({
  url: { type: 'string', pattern: '^rediss?://' },
  connection: { type: 'object' },
  prefix: { type: 'string', pattern: '^[^:\\s]{1,128}$' },
  lease: { ...timeout, minimum: 100 },
  connectTimeout: timeout,
  commandTimeout: timeout,
  retention: { type: 'number', minimum: 1000 }
}))

export function resolveRedisOptions (options: RedisOptions): ResolvedRedisOptions {
  const subject = 'options of redis()'
  checkOptions(options, subject)
  const { url, connection = {} } = options
  if (url !== undefined && options.connection !== undefined) throw new InvalidOptionsError(`${subject}: give 'url' or 'connection', not both`)
  if (url !== undefined) checkUrl(url, subject)
  checkConnection(connection, subject)
  return {
    url,
    connection,
    prefix: prefixOf(options.prefix ?? 'bull', isCluster(connection)),
    lease: options.lease ?? 30_000,
    connectTimeout: options.connectTimeout ?? 8000,
    commandTimeout: options.commandTimeout ?? 5000,
    retention: options.retention ?? 7 * 86_400_000
  }
}

// A queue's keys have to be on one node.
function prefixOf (prefix: string, cluster: boolean): string {
  return cluster && !/\{.+\}/.test(prefix) ? `{${prefix}}` : prefix
}
