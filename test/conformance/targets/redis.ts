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
  const client = new Redis(url)
  await removeKeys(client, space)
  client.disconnect()
}
