import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { redis, type RedisOptions } from '../../../lib/backends/redis/index.ts'
import type { BackgroundJobsOptions } from '../../../lib/index.ts'
import { buildApp, deferred, logTo, turns } from '../../helpers/app.ts'
import { until } from '../../helpers/outbox.ts'
import { parseExposition } from '../../helpers/prometheus.ts'
import { privateRedis, redisSpace, type RedisSpace } from '../../helpers/redis.ts'
import { envelope, openBackend } from '../../helpers/redis-backend.ts'
import type { Outcome } from '../../../types/backend.ts'
import type { EnvelopeOptions } from '../../../types/job.ts'

interface Setup {
  options?: RedisOptions
  plugin?: BackgroundJobsOptions
  paused?: boolean
  lines?: any[]
}

function test (sentence: string, body: (t: Test, space: RedisSpace) => Promise<void>): void {
  t.test(sentence, async (t) => {
    const space = await redisSpace(t)
    if (space !== undefined) await body(t, space)
  })
}

async function appOn (t: Test, { url, prefix }: RedisSpace, { options, plugin, paused, lines }: Setup = {}) {
  const app = await buildApp(t, {
    backend: redis({ url, prefix, lease: 1000, ...options }),
    retry: { attempts: 2, backoff: { type: 'fixed', delay: 20, jitter: 0 } },
    ...plugin
  }, lines && logTo(lines, 'warn'))
  const ran: any[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('fail', async () => { throw Object.assign(new TypeError('it failed'), { code: 'E_FAILED' }) })
  if (paused) app.jobs.pause()
  await app.ready()
  return { app, ran }
}

function address ({ url }: RedisSpace): { host: string, port: number } {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}

/** What tools see. */
function bullQueue (t: Test, { client, prefix }: RedisSpace, name = 'default'): Queue {
  const queue = new Queue(name, { connection: client, prefix })
  t.teardown(() => queue.close())
  return queue
}

t.test('wrong options are named', async (t) => {
  const wrong: [unknown, RegExp][] = [
    [{ url: 'http://localhost' }, /option 'url'/],
    [{ url: 'redis://localhost', connection: {} }, /'url' or 'connection', not both/],
    [{ connection: 'redis://localhost' }, /option 'connection' must be object, got string/],
    [{ connection: { keyPrefix: 'x:' } }, /'connection.keyPrefix' is not supported; use 'prefix'/],
    [{ prefix: 'a:b' }, /option 'prefix'/],
    [{ lease: 10 }, /option 'lease' must be >= 100, got 10/],
    [{ commandTimeout: 0 }, /option 'commandTimeout'/],
    [{ connectTimeout: 2 ** 31 }, /option 'connectTimeout'/],
    [{ retention: 1 }, /option 'retention'/],
    [{ attempts: 3 }, /unknown option 'attempts'/]
  ]
  for (const [options, message] of wrong) t.throws(() => redis(options as never), { code: 'FST_JOBS_INVALID_OPTIONS', message })
})

test('a backend is for one app', async (t, space) => {
  const backend = redis({ url: space.url, prefix: space.prefix })
  await (await buildApp(t, { backend })).ready()
  await t.rejects(buildApp(t, { backend }).then((app) => app.ready()), { code: 'FST_JOBS_INVALID_OPTIONS', message: /call redis\(\) once for each app/ })
})

t.test('a backend that was not opened can be closed', async () => {
  await redis().close()
})

test('tools that know BullMQ understand queues, jobs, failures and what was cancelled', async (t, space) => {
  const { app } = await appOn(t, space, { plugin: { retry: { attempts: 1 } } })
  const queue = bullQueue(t, space)
  await app.jobs.enqueue('work', { to: 'a@b.c' }, { id: 'order-1', correlationId: 'request-1' })
  await app.jobs.enqueue('fail', { n: 1 }, { id: 'order-2', attempts: 1 })
  await until(async () => (await queue.getJobCounts()).failed === 1 && (await queue.getJobCounts()).completed === 1)
  const { id } = await app.jobs.enqueue('work', { n: 0 }, { correlationId: 'request-2' })
  await until(async () => (await app.jobs.get(id))?.state === 'succeeded')
  t.equal((await app.jobs.get(id))!.correlationId, 'request-2')
  app.jobs.pause()
  await app.jobs.enqueue('work', { n: 2 }, { delay: 60_000, id: 'order-3' })
  await app.jobs.enqueue('work', { n: 3 }, { id: 'order-4', priority: 5 })
  await app.jobs.enqueue('work', { n: 4 }, { id: 'order-5' })
  t.equal(await app.jobs.cancel('order-5'), true)
  t.match(await queue.getJobCounts(), { completed: 3, failed: 1, delayed: 1, prioritized: 1, active: 0 })
  t.match(await queue.getJob('order-1'), { name: 'work', data: { to: 'a@b.c' }, attemptsMade: 1, returnvalue: null, opts: { fastifyJob: { correlationId: 'request-1' } } })
  const [failed] = await queue.getFailed()
  t.match(failed, { id: 'order-2', name: 'fail', data: { n: 1 }, failedReason: 'it failed', attemptsMade: 1, opts: { attempts: 1 } })
  t.match(failed!.stacktrace![0], /TypeError: it failed\n.*index\.test\.ts/)
  t.match(await queue.getJob('order-5'), { returnvalue: { outcome: 'cancelled' } })
})

test('a foreign worker runs our jobs, and what a foreign producer added is run', async (t, space) => {
  const { app, ran } = await appOn(t, space, { paused: true })
  const queue = bullQueue(t, space)
  await app.jobs.enqueue('work', { n: 1 }, { id: 'a:1' })
  const connection = new Redis(space.url, { maxRetriesPerRequest: null })
  const worker = new Worker('default', async (job) => job.data.n, { connection, prefix: space.prefix })
  await until(async () => (await app.jobs.get('a:1'))?.state === 'succeeded')
  await worker.close()
  connection.disconnect()
  app.jobs.resume()
  await queue.add('work', { n: 2 })
  await queue.add('work', { n: 3 }, { jobId: 'foreign-3' })
  await until(() => ran.length === 2)
  await until(async () => (await app.jobs.get('foreign-3'))?.state === 'succeeded')
  await queue.add('fail', {}, { jobId: 'foreign-4' })
  await until(async () => (await app.jobs.deadLetters.list()).length === 1)
})

test('a queue that BullMQ has paused is shown as paused, counts its jobs, and is neither stalled nor waited for', async (t, space) => {
  const { app, ran } = await appOn(t, space, {
    plugin: { queues: { default: { capacity: 3, fullMode: 'reject' }, other: {} }, health: { stalledAfter: 1 }, shutdown: { mode: 'drainQueued' } }
  })
  await app.jobs.enqueue('work', 0)
  await until(() => ran.length === 1)
  const queue = bullQueue(t, space)
  await queue.pause()
  await app.jobs.enqueue('work', 1)
  await app.jobs.enqueue('work', 2, { priority: 5 })
  const [waiting] = await queue.getWaiting()
  t.match(await app.jobs.get(waiting!.id!), { state: 'waiting' })
  // For longer than stalledAfter.
  await until(() => Date.now() > waiting!.timestamp + 1)
  const { statusCode, body } = await app.inject('/health')
  t.equal(statusCode, 200, body)
  await app.jobs.enqueue('work', 3, { delay: 60_000 })
  await t.rejects(app.jobs.enqueue('work', 4), { code: 'FST_JOBS_QUEUE_FULL' })
  t.match((await app.jobs.status()).queues, { default: { paused: true, queueDepth: 2, delayed: 1 }, other: { paused: false } })
  t.match((await app.inject('/jobs/status')).json().queues.default, { paused: true })
  await queue.resume()
  await until(() => ran.length === 3)
  t.match((await app.jobs.status()).queues.default, { paused: false, queueDepth: 0, delayed: 1 })
  await queue.pause()
  await app.jobs.enqueue('work', 5)
  const before = performance.now()
  await app.close()
  t.ok(performance.now() - before < 10_000, 'what another tool holds back is not drained')
})

test('stats say since when a job has waited: of all priorities, also a retry, a delayed job that is due, and a foreign one', async (t, space) => {
  const backend = await openBackend(t, space)
  const queue = bullQueue(t, space)
  const now = Date.now()
  const since = async (): Promise<number | undefined> => (await backend.stats('default')).waitingSince
  const enqueue = (id: string, enqueuedAt: number, options?: EnvelopeOptions) => backend.enqueue('default', [{ ...envelope(id, options), enqueuedAt }], {})
  await enqueue('late', now, { runAt: now + 3_600_000 })
  t.equal(await since(), undefined, 'nothing waits')
  await enqueue('high', now - 100, { priority: 9 })
  t.equal(await since(), now - 100)
  await enqueue('due', now - 3000, { runAt: now - 200 })
  t.equal(await since(), now - 200, 'a delayed job that is due, and that no worker has seen')
  await (await queue.getJob('~due'))!.promote()
  t.equal(await since(), now - 200, 'it waits since it fell due')
  await enqueue('plain 1', now - 300)
  await enqueue('plain 2', now - 250)
  t.equal(await since(), now - 200, 'the next one of the wait list is the one that was promoted')
  await backend.cancel('due')
  t.equal(await since(), now - 300)
  await enqueue('low', now - 400, { priority: -9 })
  await enqueue('lowest', now - 350, { priority: -1000 })
  t.equal(await since(), now - 400)
  await queue.add('foreign', {}, { jobId: 'foreign-1', priority: 2_000_000, timestamp: now - 500 })
  t.equal(await since(), now - 500)
  for (const id of ['plain 1', 'plain 2', 'high', 'low', 'lowest', 'foreign-1']) t.equal(await backend.cancel(id), true, id)
  t.equal(await since(), undefined)
  await enqueue('dies', now - 600)
  const ends: Outcome[] = [{ type: 'dead', error: { name: 'Error', message: 'no' } }]
  const consumer = backend.consume('default', { concurrency: 1 }, (async () => ends.shift()) as never)
  await until(async () => (await backend.stats('default')).dead === 1)
  await consumer.stop()
  const before = Date.now()
  t.equal(await backend.retry('dies'), true)
  const retried = (await since())!
  t.ok(retried >= before && retried <= Date.now(), 'a dead letter waits since it was given back')
})

test('what has no record waits since nobody knows when', async (t, space) => {
  const backend = await openBackend(t, space)
  await space.client.lpush(`${space.prefix}:default:wait`, 'nothing-1')
  t.match(await backend.stats('default'), { waiting: 1, waitingSince: undefined })
  await space.client.hset(`${space.prefix}:default:nothing-1`, { timestamp: 5, opts: 'no JSON' })
  t.match(await backend.stats('default'), { waiting: 1, waitingSince: 5 })
})

test('the metrics tell how long the oldest job has waited', async (t, space) => {
  const { app } = await appOn(t, space, { paused: true })
  const oldest = async (): Promise<number | undefined> => parseExposition((await app.inject('/metrics')).body).value('jobs_oldest_waiting_seconds', { queue: 'default' })
  t.equal(await oldest(), 0)
  const { id } = await app.jobs.enqueue('work', 1)
  await space.client.hincrby(`${space.prefix}:default:${id}`, 'timestamp', -60_000)
  const seconds = (await oldest())!
  t.ok(seconds >= 60 && seconds < 600, `${seconds} s`)
})

test('history and dead letters are bounded, by number and by age', async (t, space) => {
  const { app } = await appOn(t, space, { plugin: { queues: { default: { history: 3, deadLetters: 2 } } }, options: { retention: 3_600_000 } })
  const queue = bullQueue(t, space)
  for (let n = 0; n < 6; n++) {
    await app.jobs.enqueue('work', n)
    await app.jobs.enqueue('fail', n, { attempts: 1 })
  }
  await app.jobs.idle()
  await until(async () => (await queue.getJobCounts()).active === 0)
  t.match(await queue.getJobCounts(), { completed: 3, failed: 2 })
  const [oldest] = await space.client.zrange(`${space.prefix}:default:completed`, 0, 0)
  await space.client.zadd(`${space.prefix}:default:completed`, Date.now() - 3_700_000, oldest!)
  await app.jobs.enqueue('work', 'last')
  await until(async () => !(await space.client.exists(`${space.prefix}:default:${oldest}`)))
})

test('nothing is remembered with a history of 0', async (t, space) => {
  const { app, ran } = await appOn(t, space, { plugin: { queues: { default: { history: 0, deadLetters: 0 } } } })
  const { id } = await app.jobs.enqueue('work', 1)
  await app.jobs.enqueue('fail', 1, { attempts: 1 })
  await until(() => ran.length === 1)
  await until(async () => (await app.jobs.get(id)) === undefined && (await app.jobs.status()).inFlight === 0)
  t.same(await app.jobs.deadLetters.list(), [])
  t.same(await app.jobs.deadLetters.list({ limit: 0 }), [])
})

test('records that cannot be read are dead letters, and the consumer goes on', async (t, space) => {
  const lines: any[] = []
  const { app, ran } = await appOn(t, space, { paused: true, lines })
  const key = (id: string) => `${space.prefix}:default:${id}`
  for (const id of ['bad-1', 'bad-2', 'bad-3', 'bad-4', 'bad-5', 'good-6']) await app.jobs.enqueue('work', id, { id })
  await space.client.hset(key('bad-1'), 'data', '{"half')
  await space.client.hset(key('bad-2'), 'opts', '{"half')
  await space.client.hset(key('bad-3'), { progress: '{"half', opts: '17' })
  await space.client.hdel(key('bad-4'), 'data')
  await space.client.hdel(key('bad-5'), 'name')
  app.jobs.resume()
  await until(() => ran.includes('good-6'))
  await until(async () => (await app.jobs.status()).queues.default!.deadLetters === 4)
  t.same(ran.sort(), ['bad-3', 'good-6'])
  const letters = await app.jobs.deadLetters.list()
  t.same(letters.map(({ id }) => id).sort(), ['bad-1', 'bad-2', 'bad-4', 'bad-5'])
  t.match(letters.find(({ id }) => id === 'bad-1'), { payload: '{"half', error: { name: 'FastifyError', code: 'FST_JOBS_INVALID_PAYLOAD', message: /is not JSON/ } })
  await space.client.hset(key('bad-1'), 'stacktrace', '17')
  await space.client.hdel(key('bad-2'), 'timestamp', 'error')
  t.match((await app.jobs.get('bad-1'))!.error, { message: /is not JSON/ })
  await until(async () => (await app.jobs.get('bad-3'))?.state === 'succeeded')
  t.match(await app.jobs.get('bad-2'), { enqueuedAt: 0, error: { name: 'Error' } })
})

test('an id that waits without a record is a dead letter', async (t, space) => {
  const { app } = await appOn(t, space)
  await space.client.rpush(`${space.prefix}:default:wait`, 'ghost-1')
  await space.client.zadd(`${space.prefix}:default:marker`, 0, '0')
  await until(async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
  t.match(await app.jobs.deadLetters.list(), [{ id: 'ghost-1', error: { code: 'FST_JOBS_INVALID_PAYLOAD' } }])
  await space.client.del(`${space.prefix}:default:ghost-1`)
  t.same(await app.jobs.deadLetters.list(), [])
})

test('own __proto__ keys of a payload do not arrive', async (t, space) => {
  const { app, ran } = await appOn(t, space)
  await app.jobs.enqueue('work', JSON.parse('{"a":1,"__proto__":{"admin":true}}'))
  await until(() => ran.length === 1)
  t.same(Object.getOwnPropertyNames(ran[0]), ['a'])
})

test('a job that another worker gave up is a dead letter', async (t, space) => {
  const { app, ran } = await appOn(t, space, { paused: true })
  await app.jobs.enqueue('work', 1, { id: 'job-1' })
  await space.client.hset(`${space.prefix}:default:job-1`, 'defa', 'job stalled more than allowable limit')
  app.jobs.resume()
  await until(async () => (await app.jobs.get('job-1'))?.state === 'dead')
  t.same(ran, [])
  t.match((await app.jobs.get('job-1'))!.error, { message: /stalled more than/ })
})

test('an error keeps its name, code, message and stack over a retry and in the dead letters', async (t, space) => {
  const { app } = await appOn(t, space)
  const { id } = await app.jobs.enqueue('fail', 1)
  await until(async () => (await app.jobs.get(id))?.state === 'dead')
  t.match(await app.jobs.deadLetters.list(), [{ id, attempt: 2, payload: 1, error: { name: 'TypeError', code: 'E_FAILED', message: 'it failed', stack: /TypeError: it failed/ } }])
  t.equal((await bullQueue(t, space).getJob(id))!.stacktrace!.length, 2)
  app.jobs.pause()
  t.equal(await app.jobs.deadLetters.retry(id), true)
  t.match(await app.jobs.get(id), { state: 'waiting', attempt: 0, error: undefined })
})

test('an error without a stack is stored, too', async (t, space) => {
  const { app } = await appOn(t, space)
  app.jobs.pause()
  const backend = redis({ url: space.url, prefix: space.prefix })
  const context = { queues: [{ name: 'default', capacity: 10, concurrency: 1, fullMode: 'wait', enqueueTimeout: undefined, history: 1, deadLetters: 1, maxPayloadBytes: 100 }] } as const
  const stopping = new AbortController().signal
  await backend.open({ ...context, log: app.log, clock: { now: Date.now } as never, stopping, onDrop: () => {} })
  await app.jobs.enqueue('work', 1, { id: 'job-1' })
  const consumer = backend.consume('default', { concurrency: 1 }, (async () => ({ type: 'dead', error: { name: 'E', message: 'no stack' } })) as never)
  await until(async () => (await app.jobs.get('job-1'))?.state === 'dead')
  t.same((await app.jobs.get('job-1'))!.error, { name: 'E', message: 'no stack' })
  await consumer.stop()
  consumer.resume()
  await backend.close()
  await until(async () => {
    const error = await Promise.resolve(backend.stats('default')).catch((error) => error)
    t.match(error, { code: 'FST_JOBS_BACKEND_UNAVAILABLE' })
    return /is closed/.test(error.cause.message)
  })
})

test('progress is stored, of much of it the last', async (t, space) => {
  const { app } = await appOn(t, space, { paused: true })
  const end = deferred()
  const gone = deferred()
  const other = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix }) })
  other.jobs.define('work', async (_payload, { progress, job }) => {
    if (job.id === 'gone-1') await space.client.del(`${space.prefix}:default:gone-1`)
    for (let percent = 1; percent <= 100; percent++) progress(percent)
    if (job.id === 'gone-1') gone.resolve()
    else await end.promise
  })
  await other.ready()
  const { id } = await app.jobs.enqueue('work', 1)
  await until(async () => (await app.jobs.get(id))?.progress === 100)
  const updates = (await space.client.xrange(`${space.prefix}:default:events`, '-', '+')).filter(([, fields]) => fields.includes('progress'))
  t.ok(updates.length < 10, `${updates.length} updates`)
  end.resolve()
  await app.jobs.enqueue('work', 1, { id: 'gone-1' })
  await gone.promise
  await other.close()
})

test('a full queue refuses, and takes again when another process made room', async (t, space) => {
  const plugin = { queues: { default: { capacity: 4, fullMode: 'reject' } } } as const
  const [one, other] = await Promise.all([appOn(t, space, { plugin, paused: true }), appOn(t, space, { plugin, paused: true })])
  const enqueued = await Promise.allSettled([1, 2, 3, 4, 5].flatMap((n) => [one, other].map(({ app }) => app.jobs.enqueue('work', n))))
  t.equal(enqueued.filter(({ status }) => status === 'fulfilled').length, 4)
  await t.rejects(one.app.jobs.enqueueMany([{ job: 'work', payload: 6 }]), { code: 'FST_JOBS_QUEUE_FULL' })
  t.equal((await one.app.jobs.status()).queueDepth, 4)
  other.app.jobs.resume()
  await until(() => other.ran.length === 4)
  t.equal((await one.app.jobs.enqueue('work', 7)).status, 'enqueued')
})

test('a full queue refuses jobs whose unique key is free, and several at once that another process left no room for', async (t, space) => {
  const plugin = { queues: { default: { capacity: 3, fullMode: 'reject' } } } as const
  const { app } = await appOn(t, space, { plugin, paused: true })
  const { app: other } = await appOn(t, space, { plugin, paused: true })
  const { id } = await app.jobs.enqueue('work', 1, { uniqueKey: 'taken' })
  await other.jobs.enqueueMany([2, 3].map((payload) => ({ job: 'work', payload })))
  await t.rejects(app.jobs.enqueueMany([4, 5].map((payload) => ({ job: 'work', payload }))), { code: 'FST_JOBS_QUEUE_FULL' })
  await t.rejects(app.jobs.enqueue('work', 6, { uniqueKey: 'free' }), { code: 'FST_JOBS_QUEUE_FULL' })
  t.match(await app.jobs.enqueue('work', 7, { uniqueKey: 'taken' }), { id, status: 'duplicate' })
  t.equal((await app.jobs.status()).queueDepth, 3)
})

test('whoever found room that another process was faster to take waits again', async (t, space) => {
  const plugin = { queues: { default: { capacity: 2 } } }
  const apps = await Promise.all([1, 2, 3].map(() => appOn(t, space, { plugin, paused: true })))
  const enqueued = apps.flatMap(({ app }) => [1, 2, 3, 4].map((n) => app.jobs.enqueue('work', n)))
  await until(async () => (await apps[0]!.app.jobs.status()).queueDepth === 2)
  for (const { app } of apps) app.jobs.resume()
  await Promise.all(enqueued)
  await until(() => apps.reduce((sum, { ran }) => sum + ran.length, 0) === 12)
})

test('a duplicate needs no room: by id, by id in another queue, and by unique key', async (t, space) => {
  const plugin = { queues: { default: { capacity: 2, enqueueTimeout: 100 }, other: {} } }
  const { app } = await appOn(t, space, { plugin, paused: true })
  app.jobs.pause('other')
  await app.jobs.enqueue('work', 1, { id: 'id-1' })
  await app.jobs.enqueue('work', 2, { uniqueKey: 'key' })
  t.match(await app.jobs.enqueueMany([{ job: 'work', payload: 3, id: 'id-1' }, { job: 'work', payload: 3, uniqueKey: 'key' }]), [{ status: 'duplicate' }, { status: 'duplicate' }])
  await t.rejects(app.jobs.enqueueMany([{ job: 'work', payload: 3, id: 'id-1' }, { job: 'work', payload: 3 }]), { code: 'FST_JOBS_QUEUE_FULL' })
  await t.rejects(app.jobs.enqueue('work', 3, { id: 'id-2' }), { code: 'FST_JOBS_QUEUE_FULL' })
  t.same(await space.client.keys(`${space.prefix}:default:id-2`), [])
})

test('a stopping app takes into a full queue what fits, and refuses the rest', async (t, space) => {
  const { app } = await appOn(t, space, { plugin: { queues: { default: { capacity: 1, concurrency: 1 } } } })
  const begun = deferred()
  const full = deferred()
  const results: unknown[] = []
  app.jobs.addHook('onStart', async ({ payload }) => { if (payload === 'enqueues') begun.resolve() })
  app.jobs.addHook('onSuccess', async () => {
    await full.promise
    for (const n of [1, 2]) results.push(await app.jobs.enqueue('work', n).then(({ status }) => status, ({ code }) => code))
  })
  await app.jobs.enqueue('work', 'enqueues')
  await begun.promise
  const closed = app.close()
  await until(async () => (await app.jobs.status()).isStopping)
  full.resolve()
  await closed
  t.same(results, ['enqueued', 'FST_JOBS_STOPPING'])
})

test('a dead letter is removed or retried once, whoever else tries', async (t, space) => {
  const { app } = await appOn(t, space)
  const { app: other } = await appOn(t, space, { paused: true })
  for (const id of ['job-1', 'job-2']) await app.jobs.enqueue('fail', 1, { id, attempts: 1 })
  await until(async () => (await app.jobs.status()).queues.default!.deadLetters === 2)
  app.jobs.pause()
  const retried = await Promise.all([app, other, app, other].map((app) => app.jobs.deadLetters.retry('job-1')))
  t.equal(retried.filter(Boolean).length, 1)
  const removed = await Promise.all([app, other, app, other].map((app) => app.jobs.deadLetters.remove('job-2')))
  t.equal(removed.filter(Boolean).length, 1)
  t.equal(await app.jobs.get('job-2'), undefined)
  t.equal(await space.client.exists(`${space.prefix}:default:job-2`, `${space.prefix}:default:job-2:logs`), 0)
  const [[, removal]] = await space.client.xrevrange(`${space.prefix}:default:events`, '+', '-', 'COUNT', 1) as [[string, string[]]]
  t.same(removal, ['event', 'removed', 'jobId', 'job-2', 'prev', 'failed'], 'tools hear of it')
})

test('a full queue that drops what comes tells so, and knows duplicates', async (t, space) => {
  const { app } = await appOn(t, space, { plugin: { queues: { default: { capacity: 2, fullMode: 'dropWrite' } } }, paused: true })
  const dropped: unknown[] = []
  app.jobs.addHook('onDrop', ({ payload }) => { dropped.push(payload) })
  await app.jobs.enqueue('work', 1, { id: 'job-1' })
  const results = await app.jobs.enqueueMany([{ job: 'work', payload: 2 }, { job: 'work', payload: 3 }, { job: 'work', payload: 4, id: 'job-1' }])
  t.same(results.map(({ status }) => status), ['enqueued', 'dropped', 'duplicate'])
  await until(() => dropped.length === 1)
  t.same(dropped, [3])
})

test('keys of another type are trouble that is told', async (t, space) => {
  const { app } = await appOn(t, space, { paused: true })
  await space.client.set(`${space.prefix}:default:failed`, 'not a sorted set')
  await t.rejects(app.jobs.status(), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', cause: /WRONGTYPE/ })
  await t.rejects(app.jobs.deadLetters.retry('job-1'), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', cause: /WRONGTYPE/ })
})

test('a trouble of Redis while a dead letter is retried is told', async (t, space) => {
  const { app } = await appOn(t, space)
  await app.jobs.enqueue('fail', 1, { id: 'job-1', attempts: 1 })
  await until(async () => (await app.jobs.get('job-1'))?.state === 'dead')
  app.jobs.pause()
  await space.client.set(`${space.prefix}:default:wait`, 'not a list')
  await t.rejects(app.jobs.deadLetters.retry('job-1'), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', cause: /WRONGTYPE/ })
  await t.rejects(app.jobs.enqueue('work', 1), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', cause: /WRONGTYPE/ })
})

t.test('where Redis may evict keys, the log says so; where INFO is refused, nothing', async (t) => {
  const server = await privateRedis(t, '--maxmemory-policy', 'allkeys-lru')
  if (server === undefined) return
  const warned: any[] = []
  await appOn(t, { url: server.url, prefix: 'bull' } as RedisSpace, { lines: warned })
  t.match(warned, [{ policy: 'allkeys-lru', msg: /'noeviction'/ }])
  const admin = new Redis(server.url)
  await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '+@all', '-info')
  admin.disconnect()
  const quiet: any[] = []
  const { app, ran } = await appOn(t, { url: `redis://app:secret@127.0.0.1:${server.port}`, prefix: 'quiet' } as RedisSpace, { lines: quiet })
  await app.jobs.enqueue('work', 1)
  await until(() => ran.length === 1)
  t.same(quiet, [])
})

t.test('only this entry point needs bullmq and ioredis', async (t) => {
  const lib = new URL('../../../lib/', import.meta.url)
  for (const path of await readdir(lib, { recursive: true })) {
    if (!path.endsWith('.ts') || path.startsWith(join('backends', 'redis'))) continue
    t.notMatch(await readFile(new URL(path, lib), 'utf8'), /from '(bullmq|ioredis)'|backends\/redis/, path)
  }
})

test('settings of ioredis that change its replies change nothing', async (t, space) => {
  const { app } = await appOn(t, space, {
    options: { url: undefined, connection: { ...address(space), stringNumbers: true } }, plugin: { queues: { default: { capacity: 2 } } }, paused: true
  })
  t.equal((await app.jobs.enqueue('work', 1, { id: 'job-1' })).status, 'enqueued')
  t.equal((await app.jobs.enqueue('work', 1, { id: 'job-1' })).status, 'duplicate')
  t.equal((await app.jobs.enqueue('work', 2, { delay: 60_000 })).status, 'enqueued')
  t.match((await app.jobs.status()).queues.default, { queueDepth: 1, delayed: 1, deadLetters: 0 })
  t.equal(await app.jobs.cancel('job-1'), true)
})

test('what is no job is not found', async (t, space) => {
  const { app } = await appOn(t, space)
  await space.client.hset(`${space.prefix}:default:job-1`, 'name', 'work')
  t.equal(await app.jobs.get('job-1'), undefined)
})

test('a dead letter that is retried has its unique key again, unless another job has it', async (t, space) => {
  const { app } = await appOn(t, space)
  const unique = { uniqueKey: 'key', uniqueFor: 20, attempts: 1 }
  const key = `${space.prefix}:default:de:4:fail:key`
  await app.jobs.enqueue('fail', 1, { id: 'job-1', correlationId: 'request-1', ...unique })
  await until(async () => (await app.jobs.get('job-1'))?.state === 'dead' && !(await space.client.exists(key)))
  app.jobs.pause()
  await app.jobs.enqueue('fail', 2, { id: 'job:2', ...unique })
  await t.rejects(app.jobs.deadLetters.retry('job-1'), { code: 'FST_JOBS_UNIQUE_KEY_TAKEN', heldBy: 'job:2' })
  t.match(await app.jobs.get('job-1'), { state: 'dead', error: { name: 'TypeError' } })
  t.equal(await app.jobs.cancel('job:2'), true)
  t.equal(await app.jobs.deadLetters.retry('job-1'), true)
  t.equal(await space.client.get(key), 'job-1')
  t.equal(await space.client.pttl(key), -1)
  t.match(await app.jobs.get('job-1'), { state: 'waiting', correlationId: 'request-1' })
})

test('the unique key of a dead letter that was retried is free after its end, also when a slow process retried it, too', async (t, space) => {
  let works = false
  const apps = [undefined, 'slow'].map(async (connectionName) => {
    const one = await buildApp(t, { backend: redis({ connection: { ...address(space), connectionName }, prefix: space.prefix }) })
    one.jobs.define('sometimes', { attempts: 1 }, async () => { if (!works) throw new Error('not yet') })
    if (connectionName === 'slow') one.jobs.pause()
    await one.ready()
    return one
  })
  const [quick, slow] = await Promise.all(apps)
  const { id } = await quick!.jobs.enqueue('sometimes', 1, { uniqueKey: 'key' })
  await until(async () => (await quick!.jobs.get(id))?.state === 'dead')
  works = true
  const succeeded = () => until(async () => (await quick!.jobs.get(id))?.state === 'succeeded')
  const { sendCommand } = Redis.prototype
  t.teardown(() => { Redis.prototype.sendCommand = sendCommand })
  let commands = 0
  Redis.prototype.sendCommand = function (...args) {
    const reply = sendCommand.apply(this, args) as Promise<unknown>
    if (this.options.connectionName !== 'slow' || ++commands !== 2) return reply
    return reply.then(async (value) => {
      await quick!.jobs.deadLetters.retry(id)
      await succeeded()
      return value
    })
  }
  await slow!.jobs.deadLetters.retry(id)
  await succeeded()
  t.equal(await space.client.exists(`${space.prefix}:default:de:9:sometimes:key`), 0)
})

test('an enqueue that gives up waiting makes way for the next one', async (t, space) => {
  const { app } = await appOn(t, space, { plugin: { queues: { default: { capacity: 2 } } }, paused: true })
  await app.jobs.enqueue('work', 1)
  const controller = new AbortController()
  const many = app.jobs.enqueueMany([{ job: 'work', payload: 2 }, { job: 'work', payload: 3 }], { signal: controller.signal })
  const one = app.jobs.enqueue('work', 4)
  controller.abort(new Error('gone'))
  await t.rejects(many, { message: 'gone' })
  t.equal((await one).status, 'enqueued')
  await t.rejects(app.jobs.enqueueMany([5, 6, 7].map((payload) => ({ job: 'work', payload }))), { code: 'FST_JOBS_QUEUE_FULL', message: /3 jobs at once, ever/ })
  const leaving = new AbortController()
  const left = app.jobs.enqueueMany([{ job: 'work', payload: 8 }, { job: 'work', payload: 9 }], { signal: leaving.signal })
  const last = app.jobs.enqueue('work', 10)
  await turns()
  const behind = app.jobs.enqueue('work', 11)
  leaving.abort(new Error('left'))
  await t.rejects(left, { message: 'left' })
  app.jobs.resume()
  t.same([(await last).status, (await behind).status], ['enqueued', 'enqueued'])
})
