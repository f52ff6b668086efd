import t from 'tap'
import '../helpers/file-timeout.ts'
import { Redis } from 'ioredis'
import { setTimeout } from 'node:timers/promises'
import { privateRedis } from '../helpers/redis.ts'
import { withLab } from './lab.ts'
import { surviveOutages } from './outages.ts'

const server = await privateRedis(t)
if (server !== undefined) {
  // Where the target, here and in the processes, finds its server.
  process.env.REDIS_URL = server.url
  const target = new URL('../conformance/targets/redis.ts', import.meta.url)

  t.test('Redis is killed and started again with its append-only file', async () => {
    const restart = async (): Promise<void> => {
      await server.stop()
      await setTimeout(300 + Math.random() * 1000)
      await server.start()
    }
    await withLab(target, (lab) => surviveOutages(lab, [restart, restart, restart]))
  })

  t.test('every connection is cut, again and again', async (t) => {
    const client = new Redis(server.url)
    t.teardown(() => client.disconnect())
    const cut = async (): Promise<void> => {
      for (let time = 0; time < 5; time++) {
        await client.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
        await setTimeout(Math.random() * 200)
      }
    }
    await withLab(target, (lab) => surviveOutages(lab, [cut, cut, cut]))
  })

  t.test('Redis stands still', async () => {
    const standStill = async (): Promise<void> => {
      server.signal('SIGSTOP')
      await setTimeout(2500)
      server.signal('SIGCONT')
    }
    await withLab(target, (lab) => surviveOutages(lab, [standStill, standStill]))
  })
}
