import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import '../../helpers/file-timeout.ts'
import { Redis } from 'ioredis'
import { redis, type RedisOptions } from '../../../lib/backends/redis/index.ts'
import { buildApp, deferred, logTo } from '../../helpers/app.ts'
import { until } from '../../helpers/outbox.ts'
import { freePort, privateRedis, redisSpace } from '../../helpers/redis.ts'
import { envelope, openBackend } from '../../helpers/redis-backend.ts'
import { TcpProxy } from '../../helpers/tcp-proxy.ts'

const UNAVAILABLE = { code: 'FST_JOBS_BACKEND_UNAVAILABLE', statusCode: 503 }
const SECRET = 'hunter2'
/** Milliseconds that it would take without the options of the tests, which are much shorter. */
const USUAL_CONNECT_TIMEOUT = 8000
const USUAL_COMMAND_TIMEOUT = 5000

/** An app on Redis with short leases and bounds, whose handlers tell what they ran. */
async function appOn (t: Parameters<typeof buildApp>[0], options: RedisOptions, lines: any[] = [], works = true) {
  const app = await buildApp(t, {
    backend: redis({ lease: 1000, commandTimeout: 500, connectTimeout: 2000, ...options }),
    retry: { attempts: 2, backoff: { type: 'fixed', delay: 50, jitter: 0 } },
    shutdown: { timeout: 3000 }
  }, logTo(lines, 'debug'))
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  if (!works) app.jobs.pause()
  await app.ready()
  return { app, ran }
}

t.test('opening fails within connectTimeout where nobody listens, and says where that is, without the password', async (t) => {
  const port = await freePort()
  const lines: any[] = []
  const before = performance.now()
  const error: Error & { cause?: Error } = await appOn(t, { url: `redis://somebody:${SECRET}@127.0.0.1:${port}`, connectTimeout: 300 }, lines).then(() => t.fail(), (error) => error)
  t.match(error, UNAVAILABLE)
  t.match(error.cause!.message, new RegExp(`127\\.0\\.0\\.1:${port} within 300 ms: .*ECONNREFUSED`))
  t.ok(performance.now() - before < USUAL_CONNECT_TIMEOUT)
  t.notMatch(JSON.stringify(lines) + error.stack + error.cause!.stack, SECRET)
})

t.test('opening fails within connectTimeout where nobody answers', async (t) => {
  const space = await redisSpace(t)
  if (space === undefined) return
  const proxy = await TcpProxy.to(t, Number(new URL(space.url).port))
  proxy.swallow()
  await t.rejects(appOn(t, { connection: { host: '127.0.0.1', port: proxy.port }, connectTimeout: 300 }), UNAVAILABLE)
})

t.test('a refused password fails the opening and is told to nobody', async (t) => {
  const server = await privateRedis(t, '--requirepass', 'another')
  if (server === undefined) return
  const lines: any[] = []
  const error: Error & { cause?: Error } = await appOn(t, { url: `redis://:${SECRET}@127.0.0.1:${server.port}`, connectTimeout: 500 }, lines).then(() => t.fail(), (error) => error)
  t.match(error, UNAVAILABLE)
  t.match(error.cause!.message, /WRONGPASS/)
  t.ok(lines.some(({ backend }) => backend === 'redis'))
  t.notMatch(JSON.stringify(lines) + error.stack + error.cause!.stack, SECRET)
})

t.test('while Redis is away enqueues and stats fail within a bound, consumers are back soon, and nothing is lost', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const lines: any[] = []
  const { app, ran } = await appOn(t, { url: server.url }, lines)
  const begun = deferred()
  const end = deferred()
  app.jobs.addHook('onStart', ({ payload }) => { if (payload === 'held') begun.resolve() })
  app.jobs.addHook('onSuccess', () => end.promise)
  await app.jobs.enqueue('work', 'held')
  await app.jobs.enqueue('work', 'late', { delay: 500 })
  await begun.promise
  await server.stop()
  const before = performance.now()
  await t.rejects(app.jobs.enqueue('work', 'refused'), UNAVAILABLE)
  await t.rejects(app.jobs.enqueue('work', 'refused', { id: 'refused' }), UNAVAILABLE)
  await t.rejects(app.jobs.enqueueMany([{ job: 'work', payload: 'refused' }, { job: 'work', payload: 'refused' }]), UNAVAILABLE)
  await t.rejects(app.jobs.status(), UNAVAILABLE)
  await t.rejects(app.jobs.get('refused'), UNAVAILABLE)
  t.ok(performance.now() - before < 5 * USUAL_COMMAND_TIMEOUT)
  t.equal((await app.inject('/health')).statusCode, 503)
  const trouble = () => lines.filter(({ msg }) => /trouble with Redis/.test(msg)).length
  await until(() => trouble() > 0)
  t.ok(trouble() < 10, `${trouble()} lines`)
  await server.start()
  const restarted = performance.now()
  await until(async () => (await app.inject('/health')).statusCode === 200)
  await app.jobs.enqueue('work', 'after')
  await until(() => ran.includes('after') && ran.includes('late'))
  t.ok(performance.now() - restarted < 10_000, `after ${performance.now() - restarted} ms`)
  end.resolve()
  t.notOk(ran.includes('refused'))
})

t.test('what a client is told of a refused enqueue has no host, no user, no password and no key of it; the log has', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const client = new Redis(server.url).on('error', () => {})
  t.teardown(() => client.disconnect())
  await client.call('ACL', 'SETUSER', 'somebody', 'on', `>${SECRET}`, '~*', '+@all')
  const lines: any[] = []
  const app = await buildApp(t, {
    backend: redis({ url: `redis://somebody:${SECRET}@127.0.0.1:${server.port}`, prefix: 'keys', commandTimeout: 500 }), metrics: false
  }, logTo(lines, 'info'))
  app.jobs.define('work', async () => {})
  app.post('/work', async (request) => app.jobs.enqueue('work', request.body))
  await app.ready()
  app.jobs.pause()
  const post = () => app.inject({ method: 'POST', url: '/work', payload: { to: 'nobody' } })
  t.equal((await post()).statusCode, 200)
  const refused = async (reason: RegExp) => {
    const answers = [await post(), await app.inject('/health'), await app.inject('/jobs/status'), await app.inject('/jobs/job-1')]
    t.same(answers.map(({ statusCode }) => statusCode), [503, 503, 503, 503])
    t.same(answers[0]!.json(), {
      statusCode: 503,
      code: 'FST_JOBS_BACKEND_UNAVAILABLE',
      error: 'Service Unavailable',
      message: "Backend 'redis' of queue 'default' cannot be reached; see the cause, check its address and that it runs"
    })
    for (const { headers, body } of answers) t.notMatch(JSON.stringify(headers) + body, new RegExp(`127\\.0\\.0\\.1|${server.port}|somebody|${SECRET}|keys`))
    await until(async () => {
      await post()
      return reason.test(JSON.stringify(lines))
    })
    t.notMatch(JSON.stringify(lines), SECRET)
  }
  await client.call('ACL', 'SETUSER', 'somebody', 'resetkeys', '~other:*')
  await refused(/NOPERM/)
  await server.stop()
  await refused(new RegExp(`there is no connection to 127\\.0\\.0\\.1:${server.port} within 500 ms`))
})

t.test('a crowd of enqueues that waits for Redis shares its listeners, of which every one makes the others slower', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const { app } = await appOn(t, { url: server.url })
  await app.jobs.enqueue('work', 1)
  await server.stop()
  await until(() => app.jobs.enqueue('work', 'first').then(() => false, ({ cause }) => /there is no connection/.test(cause.message)))
  const { on } = Redis.prototype
  t.teardown(() => { Redis.prototype.on = on })
  let listeners = 0
  Redis.prototype.on = function (event: string, ...rest) {
    if (event === 'ready') listeners++
    return on.call(this, event, ...rest)
  }
  const codes = await Promise.all(Array.from({ length: 1000 }, () => app.jobs.enqueue('work', 1).then(({ status }) => status, ({ code }) => code)))
  t.same(new Set(codes), new Set([UNAVAILABLE.code]))
  t.ok(listeners > 0 && listeners < 100, `${listeners} listeners`)
})

t.test('a job that ends while Redis is away is stored as ended afterwards, and does not run again', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const { app } = await appOn(t, { url: server.url, lease: 20_000 }, [], false)
  const begun = deferred()
  const end = deferred()
  let runs = 0
  const other = await buildApp(t, { backend: redis({ url: server.url, lease: 20_000, commandTimeout: 500 }) })
  other.jobs.define('work', async () => {
    runs++
    begun.resolve()
    await end.promise
  })
  await other.ready()
  const { id } = await app.jobs.enqueue('work', 'once')
  await begun.promise
  await server.stop()
  end.resolve()
  await setTimeout(100)
  await server.start()
  await until(async () => (await app.jobs.get(id).catch(() => undefined))?.state === 'succeeded')
  t.equal(runs, 1)
})

t.test('a job that ends while Redis is a replica, which renews no lease and stores nothing, is stored as ended afterwards, and does not run again', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const app = await buildApp(t, { backend: redis({ url: server.url, lease: 8000 }), queues: { default: { concurrency: 1 } } })
  const begun = deferred()
  const end = deferred()
  let runs = 0
  app.jobs.define('work', async () => {
    runs++
    begun.resolve()
    await end.promise
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('work', 1)
  await begun.promise
  await client.replicaof('127.0.0.1', 1)
  const refusals = async () => Number(/errorstat_READONLY:count=(\d+)/.exec(await client.info('errorstats'))?.[1] ?? 0)
  await until(async () => await refusals() > 0)
  const before = await refusals()
  end.resolve()
  await until(async () => await refusals() > before)
  const { statusCode, body } = await app.inject('/health')
  t.equal(statusCode, 503, 'it could not enqueue')
  t.match(body, "backend 'redis' of queue 'default' is out of reach")
  await client.replicaof('NO', 'ONE')
  t.equal((await app.inject('/health')).statusCode, 200)
  await until(async () => (await app.jobs.get(id))?.state === 'succeeded')
  t.equal(runs, 1)
})

t.test('while the memory of Redis is full enqueues fail and say why, and workers go on with their jobs and leases', async (t) => {
  const server = await privateRedis(t, '--maxmemory-policy', 'noeviction')
  if (server === undefined) return
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const app = await buildApp(t, { backend: redis({ url: server.url, lease: 400 }), queues: { default: { concurrency: 2 } } })
  const begun = deferred()
  const ran: [unknown, boolean][] = []
  app.jobs.define('work', async (payload, { signal }) => {
    begun.resolve()
    if (payload === 'long') await setTimeout(1500)
    ran.push([payload, signal.aborted])
  })
  await app.ready()
  await app.jobs.enqueue('work', 'long')
  await begun.promise
  app.jobs.pause()
  await app.jobs.enqueue('work', 'waits')
  await app.jobs.enqueue('work', 'waits, too', { priority: 1 })
  const { id } = await app.jobs.enqueue('work', 'called off')
  await client.config('SET', 'maxmemory', 1)
  for (const id of [undefined, 'job-1']) await t.rejects(app.jobs.enqueue('work', 'refused', { id }), { ...UNAVAILABLE, cause: /OOM command not allowed/ })
  t.equal(await app.jobs.cancel(id), true)
  app.jobs.resume()
  await until(() => ran.length === 3)
  t.same(ran, [['waits, too', false], ['waits', false], ['long', false]])
})

t.test('stopping does not hang while Redis is away', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const { app } = await appOn(t, { url: server.url })
  await app.jobs.enqueue('work', 1)
  await server.stop()
  const before = performance.now()
  await app.close()
  t.ok(performance.now() - before < 2 * USUAL_COMMAND_TIMEOUT, `it took ${performance.now() - before} ms`)
})

t.test('a connection that went silent fails its commands, is made anew, and consumers notice it', async (t) => {
  const space = await redisSpace(t)
  if (space === undefined) return
  const proxy = await TcpProxy.to(t, Number(new URL(space.url).port))
  const { app, ran } = await appOn(t, { connection: { host: '127.0.0.1', port: proxy.port }, prefix: space.prefix })
  await app.jobs.enqueue('work', 1)
  await until(() => ran.length === 1)
  proxy.swallow()
  const before = performance.now()
  await t.rejects(app.jobs.enqueue('work', 2), UNAVAILABLE)
  await t.rejects(app.jobs.enqueue('work', 2), UNAVAILABLE)
  t.ok(performance.now() - before < 2 * USUAL_COMMAND_TIMEOUT, `it took ${performance.now() - before} ms`)
  proxy.pass()
  await until(() => app.jobs.enqueue('work', 3).then(() => true, () => false))
  await until(() => ran.includes(3))
})

t.test('connections that are reset are made anew at once', async (t) => {
  const space = await redisSpace(t)
  if (space === undefined) return
  const proxy = await TcpProxy.to(t, Number(new URL(space.url).port))
  const { app, ran } = await appOn(t, { connection: { host: '127.0.0.1', port: proxy.port }, prefix: space.prefix })
  proxy.reset()
  await until(() => app.jobs.enqueue('work', 1, { id: 'job-1' }).then(() => true, () => false))
  await until(() => ran.length === 1)
})

t.test('the signal of a job aborts when its lease was lost, and what it comes to is refused', async (t) => {
  const space = await redisSpace(t)
  if (space === undefined) return
  const lines: any[] = []
  const { app } = await appOn(t, { url: space.url, prefix: space.prefix }, lines, false)
  const aborted = deferred<Error>()
  const other = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease: 1000 }) }, logTo(lines, 'warn'))
  let runs = 0
  other.jobs.define('work', async (_payload, { signal }) => {
    if (++runs > 1) return
    await space.client.set(`${space.prefix}:default:job-1:lock`, 'another worker', 'PX', 3000)
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    aborted.resolve(signal.reason)
  })
  await other.ready()
  await app.jobs.enqueue('work', 1, { id: 'job-1' })
  t.match(await aborted.promise, { code: 'FST_JOBS_LEASE_LOST' })
  await until(async () => (await app.jobs.get('job-1'))?.state === 'succeeded')
  t.equal(runs, 2)
  t.ok(lines.some(({ err }) => /lock/.test(err?.message)))
})

t.test('what a job comes to that lost its lease is not kept waiting, whatever its id is', async (t) => {
  const space = await redisSpace(t)
  if (space === undefined) return
  const lease = 60_000
  const app = await buildApp(t, { backend: redis({ url: space.url, prefix: space.prefix, lease }), queues: { default: { concurrency: 1 } } })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => {
    if (ran.push(payload) === 1) await space.client.del(`${space.prefix}:default:order-BUSY:lock`)
  })
  await app.ready()
  await app.jobs.enqueue('work', 1, { id: 'order-BUSY' })
  await app.jobs.enqueue('work', 2)
  await until(() => ran.length === 2, { patience: lease / 2 })
  t.same(ran, [1, 2])
})

t.test('the signal of a job aborts when its lease cannot be renewed for as long as it lasts', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const app = await buildApp(t, { backend: redis({ url: server.url, lease: 500, commandTimeout: 300 }), shutdown: { timeout: 1000 } })
  const begun = deferred()
  const aborted = deferred<Error>()
  app.jobs.define('work', async (_payload, { signal }) => {
    begun.resolve()
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    aborted.resolve(signal.reason)
  })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await begun.promise
  await server.stop()
  t.match(await aborted.promise, { code: 'FST_JOBS_LEASE_LOST' })
})

t.test('a connection that was given is neither changed nor closed', async (t) => {
  const space = await redisSpace(t)
  if (space === undefined) return
  const given = new Redis(space.url, { maxRetriesPerRequest: 7, connectionName: 'given' })
  t.teardown(() => given.disconnect())
  const { app, ran } = await appOn(t, { connection: given, prefix: space.prefix })
  await app.jobs.enqueue('work', 1)
  await until(() => ran.length === 1)
  await app.close()
  t.equal(await given.ping(), 'PONG')
  t.equal(given.options.maxRetriesPerRequest, 7)
  t.same(Object.keys(given).filter((key) => key.includes('jobs')), [])
})

t.test('scripts that Redis has forgotten are sent anew, in the same order', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const { app, ran } = await appOn(t, { url: server.url })
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const enqueueAll = async (round: string) => {
    const unique = { uniqueKey: round, uniqueFor: 60_000 }
    const one = await app.jobs.enqueue('work', 'one', { id: `${round}-1`, ...unique })
    const several = await app.jobs.enqueueMany([{ job: 'work', payload: 'several' }, { job: 'work', payload: 'several', priority: 1, id: `${round}-2` }])
    t.same([one, ...several].map(({ status }) => status), ['enqueued', 'enqueued', 'enqueued'])
    t.equal((await app.jobs.enqueue('work', 'one', { id: `${round}-1` })).status, 'duplicate')
    await until(async () => (await app.jobs.get(`${round}-1`))?.state === 'succeeded')
    t.equal((await app.jobs.enqueue('work', 'one', unique)).status, 'duplicate')
  }
  await enqueueAll('first')
  await client.script('FLUSH')
  // These bring back what they need themselves, and no more.
  for (let job = 0; job < 3; job++) {
    await app.jobs.enqueue('work', job)
    await until(() => ran.includes(job))
  }
  await enqueueAll('second')
})

t.test('several jobs of which Redis has forgotten some scripts are stored once, all of them', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const open = async () => {
    const app = await buildApp(t, { backend: redis({ url: server.url }), queues: { default: { capacity: 3 } } })
    app.jobs.define('work', async () => {})
    await app.ready()
    app.jobs.pause()
    return app
  }
  const [app, other] = [await open(), await open()]
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const several = () => app.jobs.enqueueMany([
    { job: 'work', payload: 1, id: 'plain' }, { job: 'work', payload: 2 }, { job: 'work', payload: 3, id: 'prior', priority: 5 }
  ])
  // So that its connection no longer sends the scripts themselves.
  for (const { id } of await several()) await app.jobs.cancel(id)
  await client.script('FLUSH')
  const { id } = await other.jobs.enqueue('work', 'brings one of them back')
  await app.jobs.cancel(id)
  t.same((await several()).map(({ status }) => status), ['enqueued', 'enqueued', 'enqueued'])
  t.match((await app.jobs.status()).queues, { default: { queueDepth: 3, delayed: 0 } })
})

t.test('a tick of which Redis has forgotten the script that adds its job is enqueued once, and remembered', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const backend = await openBackend(t, { url: server.url })
  const client = new Redis(server.url)
  t.teardown(() => client.disconnect())
  const tick = (id: string, at: number) => envelope(id, { tickKey: 'nightly', schedule: { name: 'nightly', at } })
  await backend.enqueue('default', [tick('run-1', 1)], {})
  await client.script('FLUSH')
  t.match(await backend.enqueue('default', [tick('run-1', 1), tick('run-2', 2), tick('run-3', 2)], {}), [
    { id: 'run-1', status: 'duplicate' }, { id: 'run-2', status: 'enqueued' }, { id: 'run-2', status: 'duplicate' }
  ])
  t.equal((await backend.stats('default')).waiting, 2)
})
