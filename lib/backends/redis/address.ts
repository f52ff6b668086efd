import type { RedisOptions as IORedisOptions } from 'ioredis'
import { isCluster } from './client-kind.ts'
import type { Client } from './connections.ts'

/** The server that a connection leads to, for the `cause` of errors. Never has a password. */
export function addressOf (client: Client): string {
  return isCluster(client) ? 'the cluster' : serverOf(client.options)
}

function serverOf ({ sentinels, name, path, host, port, tls }: IORedisOptions): string {
  if (sentinels) return `master '${name}' of the sentinels ${sentinels.map(({ host = 'localhost', port = 26379 }) => `${host}:${port}`).join(', ')}`
  return `${path ?? `${host}:${port}`}${tls ? ' with TLS' : ''}`
}
