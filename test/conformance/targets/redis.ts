import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { redis } from '../../../lib/backends/redis/index.ts'
import type { Backend } from '../../../lib/index.ts'
import { redisUrl, removeKeys } from '../../helpers/redis.ts'
import { TcpProxy } from '../../helpers/tcp-proxy.ts'
import type { BreakableConnection } from '../target.ts'

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

/** Over a proxy that loses everything while it is broken. */
export async function breakable (space: string): Promise<BreakableConnection> {
  const proxied = new URL(url)
  const ends: (() => Promise<void>)[] = []
  const proxy = await TcpProxy.to({ teardown: (end: () => Promise<void>) => ends.push(end) } as unknown as Test, Number(proxied.port === '' ? 6379 : proxied.port))
  proxied.host = `127.0.0.1:${proxy.port}`
  return {
    backend: redis({ url: proxied.href, prefix: space, lease: 1500, connectTimeout: 1000, commandTimeout: 500 }),
    async break () { proxy.swallow() },
    async mend () {
      proxy.pass()
      proxy.reset()
    },
    async close () { for (const end of ends) await end() }
  }
}

export async function corrupt (space: string, queue: string, id: string): Promise<void> {
  await withClient((client) => client.hset(`${space}:${queue}:${id}`, 'data', '{"half'))
}

async function withClient (use: (client: Redis) => Promise<unknown>): Promise<void> {
  const client = new Redis(url)
  await use(client)
  client.disconnect()
}
