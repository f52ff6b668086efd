import { Queue } from 'bullmq'
import t, { type Test } from 'tap'
import { redis } from '../../../lib/backends/redis/index.ts'
import type { BackgroundJobsOptions } from '../../../lib/index.ts'
import { buildApp, deferred, type Deferred } from '../../helpers/app.ts'
import { until } from '../../helpers/outbox.ts'
import { redisSpace, type RedisSpace } from '../../helpers/redis.ts'

const HIGH = 5
const LOW = -5

function test (sentence: string, body: (t: Test, space: RedisSpace) => Promise<void>): void {
  t.test(sentence, async (t) => {
    const space = await redisSpace(t)
    if (space !== undefined) await body(t, space)
  })
}

/** An app that runs one job at a time; 'hold' lasts until it is told to end. */
async function appOn (t: Test, { url, prefix }: RedisSpace, plugin: BackgroundJobsOptions = {}) {
  const app = await buildApp(t, { backend: redis({ url, prefix, lease: 500 }), queues: { default: { concurrency: 1 } }, ...plugin })
  const ran: unknown[] = []
  const begun = deferred()
  const end = deferred()
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('hold', { attempts: 2, backoff: { delay: 600_000 } }, async () => {
    begun.resolve()
    await end.promise
  })
  await app.ready()
  const enqueue = (payload: string, priority?: number) => app.jobs.enqueue('work', payload, { priority })
  return { app, ran, begun, end, enqueue }
}

const endings: [string, (end: Deferred) => void][] = [
  ['succeeded', (end) => end.resolve()],
  ['is to be retried', (end) => end.reject(new Error('not yet'))]
]
for (const [how, finish] of endings) {
  test(`after a job that ${how} the next one is that of the highest priority`, async (t, space) => {
    const { app, ran, begun, end, enqueue } = await appOn(t, space)
    await app.jobs.enqueue('hold', null)
    await begun.promise
    await enqueue('plain 1')
    await enqueue('low', LOW)
    await enqueue('high 1', HIGH)
    await enqueue('higher', HIGH + 1)
    await enqueue('high 2', HIGH)
    await enqueue('plain 2')
    t.equal((await app.jobs.status()).queueDepth, 6)
    finish(end)
    await until(() => ran.length === 6)
    t.same(ran, ['higher', 'high 1', 'high 2', 'plain 1', 'plain 2', 'low'])
  })
}

test('a job that is retried at once goes before what has a lower priority', async (t, space) => {
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix }), queues: { default: { concurrency: 1 } } })
  const ran: unknown[] = []
  const begun = deferred()
  const enqueued = deferred()
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('flaky', { attempts: 2, backoff: () => 0 }, async (_payload, { job }) => {
    begun.resolve()
    await enqueued.promise
    if (job.attempt === 1) throw new Error('not yet')
    ran.push('flaky')
  })
  await app.ready()
  await app.jobs.enqueue('flaky', null, { priority: HIGH })
  await begun.promise
  await app.jobs.enqueue('work', 'plain')
  enqueued.resolve()
  await until(() => ran.length === 2)
  t.same(ran, ['flaky', 'plain'])
})

test('a delayed job that falls due goes before what has a lower priority', async (t, space) => {
  const { app, ran, begun, end, enqueue } = await appOn(t, space)
  await app.jobs.enqueue('hold', null)
  await begun.promise
  const runAt = Date.now() + 100
  await app.jobs.enqueue('work', 'delayed low', { priority: LOW, runAt })
  await app.jobs.enqueue('work', 'delayed high', { priority: HIGH, runAt })
  await app.jobs.enqueue('work', 'delayed plain', { runAt })
  await enqueue('plain')
  await until(() => Date.now() > runAt)
  end.resolve()
  await until(() => ran.length === 4)
  t.same(ran, ['delayed high', 'plain', 'delayed plain', 'delayed low'])
})

test('jobs that lost their process go back to the head of their priority', async (t, space) => {
  const crashed = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 500 }), queues: { default: { concurrency: 3 } } })
  const stuck = deferred()
  t.teardown(() => stuck.resolve())
  const taken: string[] = []
  crashed.jobs.define('work', async (payload) => {
    taken.push(payload)
    await stuck.promise
  })
  await crashed.ready()
  const ids: string[] = []
  for (const [payload, priority] of [['plain', 0], ['low', LOW], ['high', HIGH]] as const) {
    ids.push((await crashed.jobs.enqueue('work', `lost ${payload}`, { priority })).id)
  }
  await until(() => taken.length === 3)
  crashed.jobs.pause()
  const { app, ran, begun, end, enqueue } = await appOn(t, space)
  await app.jobs.enqueue('hold', null)
  await begun.promise
  for (const id of ids) await space.client.del(`${space.prefix}:default:${id}:lock`)
  await enqueue('low', LOW)
  await enqueue('plain')
  await enqueue('high', HIGH)
  await until(async () => await space.client.llen(`${space.prefix}:default:active`) === 1)
  end.resolve()
  await until(() => ran.length === 6)
  t.same(ran, ['lost high', 'high', 'lost plain', 'plain', 'lost low', 'low'])
})

test('a queue that tools have paused keeps its order', async (t, space) => {
  const { ran, enqueue } = await appOn(t, space)
  const queue = new Queue('default', { connection: space.client, prefix: space.prefix })
  t.teardown(() => queue.close())
  await queue.pause()
  for (const [payload, priority] of Object.entries({ plain: 0, 'high 1': HIGH, 'high 2': HIGH, higher: HIGH + 1 })) await enqueue(payload, priority)
  await queue.resume()
  await until(() => ran.length === 4)
  t.same(ran, ['higher', 'high 1', 'high 2', 'plain'])
})

test('tools see the workers of a queue', async (t, space) => {
  await appOn(t, space)
  const queue = new Queue('default', { connection: space.client, prefix: space.prefix })
  t.teardown(() => queue.close())
  await until(async () => await queue.getWorkersCount() === 1)
  t.match(await queue.getWorkers(), [{ name: 'default' }])
})
