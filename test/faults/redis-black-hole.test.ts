import t from 'tap'
import '../helpers/file-timeout.ts'
import { setTimeout } from 'node:timers/promises'
import { privateRedis } from '../helpers/redis.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import { withLab } from './lab.ts'
import { surviveOutages } from './outages.ts'

const server = await privateRedis(t)
if (server !== undefined) {
  const proxy = await TcpProxy.to(t, server.port)
  // Where the target, here and in the processes, finds its server.
  process.env.REDIS_URL = `redis://127.0.0.1:${proxy.port}`

  t.test('the network swallows everything for a while, then resets connections', async () => {
    const blackHole = async (): Promise<void> => {
      proxy.swallow()
      await setTimeout(3000)
      proxy.pass()
    }
    const reset = async (): Promise<void> => {
      for (let time = 0; time < 5; time++) {
        proxy.reset()
        await setTimeout(Math.random() * 200)
      }
    }
    await withLab(new URL('../conformance/targets/redis.ts', import.meta.url), (lab) => surviveOutages(lab, [blackHole, reset, blackHole]))
  })
}
