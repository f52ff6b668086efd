import { Redis } from 'ioredis'
import { redis } from '../../../lib/backends/redis/index.ts'
import type { Backend } from '../../../lib/index.ts'
import { redisUrl, removeKeys } from '../../helpers/redis.ts'

const url = await redisUrl() ?? 'redis://127.0.0.1:6379'

/** A new connection to the store called `space`. */
export function connect (space: string): Backend {
  return redis({ url, prefix: space, lease: 1500 })
}

export async function remove (space: string): Promise<void> {
  await withClient((client) => removeKeys(client, space))
}

// Nobody listens there.
export function unreachable (): Backend {
  return redis({ url: 'redis://127.0.0.1:1', connectTimeout: 500 })
}

export async function corrupt (space: string, queue: string, id: string): Promise<void> {
  await withClient((client) => client.hset(`${space}:${queue}:${id}`, 'data', '{"half'))
}

async function withClient (use: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis(url)
  await use(client)
  client.disconnect()
}
