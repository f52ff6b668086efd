import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import '../../helpers/file-timeout.ts'
import { redis } from '../../../lib/backends/redis/index.ts'
import { buildApp } from '../../helpers/app.ts'
import { until } from '../../helpers/outbox.ts'
import { privateRedis, type PrivateRedis } from '../../helpers/redis.ts'
import { consume, envelope, openBackend } from '../../helpers/redis-backend.ts'

/** A cluster of one node that has every slot. */
async function clusterOfOne (t: Test): Promise<PrivateRedis | undefined> {
  const server = await privateRedis(t, '--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1')
  if (server === undefined) return undefined
  const node = new Redis(server.url)
  await node.cluster('ADDSLOTSRANGE', 0, 16383)
  await until(async () => String(await node.cluster('INFO')).includes('cluster_state:ok'))
  node.disconnect()
  return server
}

t.test('on a cluster everything works, braces are added to the prefix, and the given connection stays open', async (t) => {
  const server = await clusterOfOne(t)
  if (server === undefined) return
  const given = new Cluster([{ host: '127.0.0.1', port: server.port }])
  t.teardown(() => given.disconnect())
  const app = await buildApp(t, {
    backend: redis({ connection: given, lease: 1000, commandTimeout: 1000 }),
    retry: { attempts: 2, backoff: { type: 'fixed', delay: 20 } },
    queues: { default: { capacity: 10 }, other: {} }
  })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('fail', { queue: 'other' }, async () => { throw new Error('always') })
  await app.ready()
  await app.jobs.enqueue('work', 'plain')
  t.equal((await app.jobs.enqueue('work', 'id', { id: 'a:b' })).status, 'enqueued')
  t.equal((await app.jobs.enqueue('work', 'id', { id: 'a:b' })).status, 'duplicate')
  await app.jobs.enqueue('work', 'delayed', { delay: 50, priority: 3, uniqueKey: 'key', uniqueFor: 60_000 })
  await app.jobs.enqueueMany([{ job: 'work', payload: 'many' }, { job: 'work', payload: 'many' }])
  const { id } = await app.jobs.enqueue('fail', null)
  await until(async () => ran.length === 5 && (await app.jobs.get(id))?.state === 'dead')
  t.equal((await app.jobs.enqueue('work', 'unique', { uniqueKey: 'key' })).status, 'duplicate')
  app.jobs.pause()
  t.equal(await app.jobs.deadLetters.retry(id), true)
  t.match((await app.inject('/metrics')).body, /^jobs_oldest_waiting_seconds\{queue="other"\} \d/m)
  t.equal(await app.jobs.cancel(id), true)
  t.equal((await app.jobs.get(id))!.state, 'cancelled')
  const keys = await given.nodes()[0]!.keys('*')
  t.ok(keys.length > 0 && keys.every((key) => key.startsWith('{bull}:')), keys.join())
  await app.close()
  t.equal(await given.ping(), 'PONG')
})

t.test('a prefix that has braces stays as it is', async (t) => {
  const server = await clusterOfOne(t)
  if (server === undefined) return
  const given = new Cluster([{ host: '127.0.0.1', port: server.port }])
  t.teardown(() => given.disconnect())
  const app = await buildApp(t, { backend: redis({ connection: given, prefix: 'jobs{1}' }) })
  app.jobs.define('work', async () => {})
  await app.ready()
  const { id } = await app.jobs.enqueue('work', 1)
  await until(async () => (await app.jobs.get(id))?.state === 'succeeded')
  t.ok((await given.nodes()[0]!.keys('*')).every((key) => key.startsWith('jobs{1}:')))
})

t.test('while the cluster is away enqueues fail within a bound, and consumers are back when it is', async (t) => {
  const server = await clusterOfOne(t)
  if (server === undefined) return
  const given = new Cluster([{ host: '127.0.0.1', port: server.port }])
  given.on('error', () => {})
  t.teardown(() => given.disconnect())
  const app = await buildApp(t, { backend: redis({ connection: given, commandTimeout: 500 }) })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  await app.ready()
  await app.jobs.enqueue('work', 'before')
  await until(() => ran.length === 1)
  await server.stop()
  const before = performance.now()
  await t.rejects(app.jobs.enqueue('work', 'refused'), { code: 'FST_JOBS_BACKEND_UNAVAILABLE' })
  await t.rejects(app.jobs.enqueue('work', 'refused'), { code: 'FST_JOBS_BACKEND_UNAVAILABLE' })
  // Each would wait for 5 seconds without the option.
  t.ok(performance.now() - before < 10_000, `it took ${performance.now() - before} ms`)
  await server.start()
  await until(() => app.jobs.enqueue('work', 'after').then(() => true, () => false))
  await until(() => ran.includes('after'))
  t.notOk(ran.includes('refused'))
})

t.test('opening fails within connectTimeout where the cluster is away', async (t) => {
  const given = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true })
  given.on('error', () => {})
  t.teardown(() => given.disconnect())
  await t.rejects(buildApp(t, { backend: redis({ connection: given, connectTimeout: 300 }) }).then(() => {}), { code: 'FST_JOBS_BACKEND_UNAVAILABLE' })
})

t.test('on a cluster ticks are remembered, jobs are handed back with a delay, and a key that is taken is told', async (t) => {
  const server = await clusterOfOne(t)
  if (server === undefined) return
  const given = new Cluster([{ host: '127.0.0.1', port: server.port }])
  t.teardown(() => given.disconnect())
  const backend = await openBackend(t, { connection: given })
  const tick = (id: string) => envelope(id, { givenId: true, tickKey: 'nightly', schedule: { name: 'nightly', at: 1 }, uniqueKey: 'key' })
  t.match(await backend.enqueue('default', [tick('run-1')], {}), [{ id: 'run-1', status: 'enqueued' }])
  t.match(await backend.enqueue('default', [tick('run-2')], {}), [{ id: 'run-1', status: 'duplicate' }])
  const deliveries = consume(t, backend, [{ type: 'released', runAt: Date.now() + 50 }, { type: 'dead', error: { name: 'Error', message: 'dead' } }])
  await until(async () => (await backend.find('run-1'))?.state === 'dead')
  t.same(deliveries.map(({ envelope }) => envelope.attempt), [1, 1])
  await backend.enqueue('default', [envelope('held-1', { uniqueKey: 'key', runAt: Date.now() + 60_000 })], {})
  t.same(await backend.retry('run-1'), { heldBy: 'held-1' })
  t.match(await backend.stats('default'), { delayed: 1, paused: undefined })
})
