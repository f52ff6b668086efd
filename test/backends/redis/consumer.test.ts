import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { FetchingBackend } from '../../../lib/backends/redis/fetching.ts'
import '../../helpers/file-timeout.ts'
import { redis } from '../../../lib/backends/redis/index.ts'
import type { BackgroundJobsOptions } from '../../../lib/index.ts'
import { buildApp, deferred } from '../../helpers/app.ts'
import { until } from '../../helpers/outbox.ts'
import { parseExposition } from '../../helpers/prometheus.ts'
import { redisSpace, type RedisSpace } from '../../helpers/redis.ts'

function test (sentence: string, body: (t: Test, space: RedisSpace) => Promise<void>): void {
  t.test(sentence, async (t) => {
    const space = await redisSpace(t)
    if (space !== undefined) await body(t, space)
  })
}

async function appOn (t: Test, { url, prefix }: RedisSpace, plugin: BackgroundJobsOptions = {}) {
  const app = await buildApp(t, { backend: redis({ url, prefix, lease: 1000 }), shutdown: { timeout: 3000 }, ...plugin })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  await app.ready()
  return { app, ran }
}

/** A worker that was not woken looks again after two seconds; on a busy machine one that was takes its time, too, though not each time. */
const AT_ONCE = 1500

function median (milliseconds: readonly number[]): number {
  return milliseconds.toSorted((a, b) => a - b)[Math.floor(milliseconds.length / 2)]!
}

async function took (act: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await act()
  return performance.now() - begun
}

test('an idle worker begins at once with what another process enqueues, also after a pause', async (t, space) => {
  const { app, ran } = await appOn(t, space)
  const producer = await appOn(t, space)
  await producer.app.close()
  const { app: other } = await appOn(t, space)
  other.jobs.pause()
  const idle: number[] = []
  const paused: number[] = []
  for (let n = 1; n <= 6; n += 2) {
    idle.push(await took(async () => {
      await other.jobs.enqueue('work', n)
      await until(() => ran.length === n)
    }))
    app.jobs.pause()
    await other.jobs.enqueue('work', n + 1)
    paused.push(await took(async () => {
      app.jobs.resume()
      await until(() => ran.length === n + 1)
    }))
  }
  t.ok(median(idle) < AT_ONCE, `${idle} ms`)
  t.ok(median(paused) < AT_ONCE, `${paused} ms`)
})

test('what a paused worker was woken for, another idle one takes at once', async (t, space) => {
  const workers = await Promise.all([1, 2, 3].map(() => appOn(t, space)))
  workers[0]!.app.jobs.pause()
  workers[1]!.app.jobs.pause()
  const times: number[] = []
  for (let n = 1; n <= 5; n++) {
    times.push(await took(async () => {
      await workers[0]!.app.jobs.enqueue('work', n)
      await until(() => workers[2]!.ran.length === n)
    }))
  }
  t.ok(median(times) < AT_ONCE, `${times} ms`)
  t.same([workers[0]!.ran, workers[1]!.ran], [[], []])
})

test('a job that is fetched while its worker stops or pauses goes back, in front, without having lost an attempt', async (t, space) => {
  const { app, ran } = await appOn(t, space)
  app.jobs.pause()
  await app.jobs.enqueueMany(Array.from({ length: 400 }, (_, n) => ({ job: 'work', payload: n })))
  for (let round = 0; round < 40; round++) {
    const count = ran.length
    app.jobs.resume()
    await until(() => ran.length > count || ran.length === 400)
    app.jobs.pause()
  }
  await app.close()
  t.equal(await space.client.llen(`${space.prefix}:default:active`), 0)
  const { app: next, ran: rest } = await appOn(t, space)
  await until(() => ran.length + rest.length === 400)
  t.equal(new Set([...ran, ...rest]).size, 400)
  t.same((await next.jobs.status()).queues.default!.deadLetters, 0)
})

test('a job that is fetched while its worker pauses goes back with the news that it has lost its process', async (t, space) => {
  const { app, ran } = await appOn(t, space)
  app.jobs.pause()
  const { id } = await app.jobs.enqueue('work', 1)
  // As if its first start had lost its process.
  await space.client.hset(`${space.prefix}:default:${id}`, 'ats', 1, 'lost', 1)
  const { takeRecord } = FetchingBackend.prototype
  t.teardown(() => { FetchingBackend.prototype.takeRecord = takeRecord })
  FetchingBackend.prototype.takeRecord = function (stored) {
    FetchingBackend.prototype.takeRecord = takeRecord
    app.jobs.pause()
    return takeRecord.call(this, stored)
  }
  app.jobs.resume()
  await until(async () => await space.client.hget(`${space.prefix}:default:${id}`, 'ats') === '2' && (await app.jobs.get(id))!.state === 'waiting')
  t.same(ran, [])
  app.jobs.resume()
  await until(() => ran.length === 1)
  t.equal(parseExposition(await app.jobs.metrics!.registry.metrics()).value('jobs_stalled_total', { job_name: 'work' }), 1)
})

test('a unique key is taken again by a job that runs again, and stays for uniqueFor after its end', async (t, space) => {
  const { app } = await appOn(t, space)
  app.jobs.pause()
  const key = `${space.prefix}:default:de:4:work:key`
  await app.jobs.enqueue('work', 1, { id: 'job-1', uniqueKey: 'key', uniqueFor: 60_000 })
  const begun = deferred()
  const end = deferred()
  const crashed = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 500 }) })
  crashed.jobs.define('work', async () => {
    begun.resolve()
    await end.promise
  })
  await crashed.ready()
  await begun.promise
  crashed.jobs.pause()
  // As if its process had ended between the two commands that end a job.
  await space.client.pexpire(key, 30_000)
  await space.client.del(`${space.prefix}:default:job-1:lock`)
  const ttls: number[] = []
  const other = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 500 }) })
  other.jobs.define('work', async () => { await until(async () => { ttls.push(await space.client.pttl(key)); return ttls.at(-1) === -1 }) })
  await other.ready()
  await until(async () => (await app.jobs.get('job-1'))?.state === 'succeeded')
  const ttl = await space.client.pttl(key)
  t.ok(ttl > 30_000 && ttl <= 60_000, `${ttl} ms`)
  end.resolve()
})

test('errors of Redis do not make a worker spin, and end when they end', async (t, space) => {
  const { app, ran } = await appOn(t, space)
  const { client } = space
  const key = `${space.prefix}:default:wait`
  app.jobs.pause()
  await app.jobs.enqueue('work', 1)
  await client.rename(key, `${key}:aside`)
  await client.set(key, 'not a sorted set')
  const before = await commands(client)
  app.jobs.resume()
  await until(async () => await commands(client) - before >= 1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.ok(await commands(client) - before < 20)
  await client.del(key)
  await client.rename(`${key}:aside`, key)
  await until(() => ran.length === 1)
})

/** How many scripts failed so far. */
async function commands (client: Redis): Promise<number> {
  return Number(/cmdstat_evalsha:.*failed_calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
}

test('a job that takes longer than the lease keeps it', async (t, space) => {
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 1500 }) })
  const runs: boolean[] = []
  app.jobs.define('work', async (_payload, { signal }) => {
    await new Promise((resolve) => setTimeout(resolve, 4000))
    runs.push(signal.aborted)
  })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await until(() => runs.length > 0)
  t.same(runs, [false])
})

test('a job keeps its lease when the clock is set back', async (t, space) => {
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 1500 }) })
  const { now } = Date
  t.teardown(() => { Date.now = now })
  const runs: boolean[] = []
  app.jobs.define('work', async (_payload, { signal }) => {
    Date.now = () => now() - 3_600_000
    await new Promise((resolve) => setTimeout(resolve, 4000))
    runs.push(signal.aborted)
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('work', 1)
  await until(async () => (await app.jobs.get(id))?.state === 'succeeded')
  t.same(runs, [false])
})

test('a job that lost its lease and runs anew in the same process keeps the new one when its first run ends', async (t, space) => {
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 400 }) })
  const anew = deferred()
  const runs: boolean[] = []
  app.jobs.define('work', async (_payload, { signal }) => {
    const first = runs.push(signal.aborted) === 1
    if (first) {
      await space.client.set(`${space.prefix}:default:job-1:lock`, 'another worker', 'PX', 1)
      await anew.promise
    } else {
      anew.resolve()
      await new Promise((resolve) => setTimeout(resolve, 2000))
    }
    runs[first ? 0 : 1] = signal.aborted
  })
  await app.ready()
  await app.jobs.enqueue('work', 1, { id: 'job-1' })
  await until(async () => (await app.jobs.get('job-1'))?.state === 'succeeded')
  // On a busy machine a later run may have lost its lease as well.
  t.match([runs[0], runs.at(-1)], [true, false])
})

test('a job that is cut off by the shutdown goes back, in front, without having lost an attempt', async (t, space) => {
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix }), shutdown: { mode: 'stop' }, queues: { default: { concurrency: 1 } } })
  const begun = deferred()
  app.jobs.define('work', async (_payload, { signal }) => {
    begun.resolve()
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  })
  await app.ready()
  await app.jobs.enqueueMany([{ job: 'work', payload: 1, id: 'job-1' }, { job: 'work', payload: 2 }])
  await begun.promise
  await app.close()
  t.equal(await space.client.llen(`${space.prefix}:default:active`), 0)
  const { app: next, ran } = await appOn(t, space, { queues: { default: { concurrency: 1 } } })
  await until(() => ran.length === 2)
  t.same(ran, [1, 2])
  await until(async () => (await next.jobs.get('job-1'))?.state === 'succeeded')
  t.match(await next.jobs.get('job-1'), { attempt: 1 })
})

test('stopping waits until what runs has ended and is stored', async (t, space) => {
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, commandTimeout: 600 }) })
  const begun = deferred()
  app.jobs.define('work', async () => {
    begun.resolve()
    await new Promise((resolve) => setTimeout(resolve, 1500))
  })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await begun.promise
  await app.close()
  t.equal(await space.client.zcard(`${space.prefix}:default:completed`), 1)
})
