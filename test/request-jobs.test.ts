import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { memory, type BackgroundJobsOptions } from '../lib/index.ts'
import { buildApp, deferred, now, turns } from './helpers/app.ts'
import { ManualClock } from './helpers/clock.ts'
import { leased } from './helpers/durable.ts'

async function enqueueingApp (t: Test, options: BackgroundJobsOptions = {}): Promise<FastifyInstance> {
  const app = await buildApp(t, options)
  app.jobs.define('work', async () => {})
  app.post('/work', async (request, reply) => reply.code(202).send(await request.jobs.enqueue('work', request.body)))
  return app
}

async function fill (app: FastifyInstance): Promise<void> {
  await app.ready()
  app.jobs.pause()
  await app.jobs.enqueue('work', 'first')
}

t.test("a request's jobs have its id as their correlation id, unless another one is given", async (t) => {
  const app = await buildApp(t)
  app.jobs.define('work', async () => {})
  app.post('/one', async (request) => request.jobs.enqueue('work', {}))
  app.post('/other', async (request) => request.jobs.enqueue('work', {}, { correlationId: 'mine' }))
  app.post('/inline', async (request) => request.jobs.enqueue(async () => {}, { name: 'inline' }))
  app.post('/many', async (request) => request.jobs.enqueueMany([{ job: 'work', payload: 1 }, { job: 'work', payload: 2, correlationId: 'mine' }]))
  await app.ready()
  const correlationIds = async (url: string): Promise<unknown[]> => {
    const enqueued = [(await app.inject({ method: 'POST', url })).json()].flat()
    return Promise.all(enqueued.map(async ({ id }) => (await app.jobs.get(id))!.correlationId))
  }
  t.match(await correlationIds('/one'), [/^req-/])
  t.same(await correlationIds('/other'), ['mine'])
  t.match(await correlationIds('/inline'), [/^req-/])
  t.match(await correlationIds('/many'), [/^req-/, 'mine'])
})

t.test('a request id that no backend would take does not fail the enqueue', async (t) => {
  for (const [id, correlationId] of [['x'.repeat(600), 'x'.repeat(512)], ['a\0b', 'a\ufffdb'], ['\ud83d', '\ufffd'], [42, '42']] as const) {
    const app = await buildApp(t, {}, { genReqId: () => id as string })
    app.jobs.define('work', async () => {})
    app.post('/', async (request) => request.jobs.enqueue('work', {}))
    const { id: jobId } = (await app.inject({ method: 'POST', url: '/' })).json()
    t.equal((await app.jobs.get(jobId))!.correlationId, correlationId)
  }
})

t.test('where the queue has no enqueueTimeout a request waits for 5 s, then it is answered with 503 and Retry-After', async (t) => {
  const clock = new ManualClock()
  for (const path of ['/one', '/many', '/inline']) {
    const app = await buildApp(t, { clock, queues: { default: { capacity: 1 } } })
    app.jobs.define('work', async () => {})
    app.post('/one', async (request) => request.jobs.enqueue('work', {}))
    app.post('/many', async (request) => request.jobs.enqueueMany([{ job: 'work', payload: {} }]))
    app.post('/inline', async (request) => request.jobs.enqueue(async () => {}, { name: 'inline' }))
    await fill(app)
    const answer = app.inject({ method: 'POST', url: path }).then((response) => response)
    t.equal(await now(answer), 'pending')
    await clock.advance(4999)
    t.equal(await now(answer), 'pending')
    await clock.advance(1)
    const { statusCode, headers, body } = await answer
    t.equal(statusCode, 503)
    t.equal(headers['retry-after'], '5')
    t.match(JSON.parse(body), { code: 'FST_JOBS_QUEUE_FULL', message: /'default' is full \(capacity 1\) and no room came within 5000 ms/ })
  }
})

t.test('the enqueueTimeout of the queue goes first, though it be longer', async (t) => {
  const clock = new ManualClock()
  const app = await enqueueingApp(t, { clock, queues: { default: { capacity: 1, enqueueTimeout: 8000 } } })
  await fill(app)
  const answer = app.inject({ method: 'POST', url: '/work' }).then((response) => response)
  await now(answer)
  await clock.advance(7999)
  t.equal(await now(answer), 'pending')
  await clock.advance(1)
  t.match((await answer).json(), { statusCode: 503, message: /within 8000 ms/ })
})

/** Posts JSON as a client that stays until it has its answer. */
async function post (app: FastifyInstance, path = '/work'): Promise<{ status: number, body: any }> {
  const response = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"n":1}' })
  return { status: response.status, body: await response.json() }
}

async function listening (app: FastifyInstance): Promise<void> {
  await app.listen({ host: '127.0.0.1', port: 0 })
}

t.test('a request whose body has been read waits on: it is served when there is room', async (t) => {
  for (const backend of [memory(), leased().backend]) {
    const app = await enqueueingApp(t, { backend, queues: { default: { capacity: 1 } } })
    await listening(app)
    t.equal((await post(app)).status, 202, 'with room')
    await app.jobs.idle()
    await fill(app)
    const answer = post(app)
    while (app.server.listening && (await app.jobs.status()).queueDepth < 1) await turns()
    t.equal(await now(answer), 'pending')
    app.jobs.resume()
    t.match(await answer, { status: 202, body: { status: 'enqueued' } })
  }
})

t.test('however many a request enqueues at once, one listener will do', async (t) => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const app = await buildApp(t, { backend: leased().backend })
  app.jobs.define('work', async () => {})
  app.post('/many', async (request) => Promise.all(Array.from({ length: 40 }, (_, n) => request.jobs.enqueue('work', n))))
  await listening(app)
  t.equal((await post(app, '/many')).body.length, 40)
  await turns()
  t.same(warnings, [])
})

t.test('one call waits 5 s in all, also where its jobs are for several full queues', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { one: { capacity: 1 }, two: { capacity: 1 } } })
  for (const queue of ['one', 'two']) app.jobs.define(queue, { queue }, async () => {})
  app.post('/', async (request) => request.jobs.enqueueMany([{ job: 'one', payload: 1 }, { job: 'two', payload: 2 }]))
  await app.ready()
  app.jobs.pause()
  await app.jobs.enqueueMany([{ job: 'one', payload: 0 }, { job: 'two', payload: 0 }])
  const answer = app.inject({ method: 'POST', url: '/' }).then((response) => response)
  t.equal(await now(answer), 'pending')
  await clock.advance(4000)
  app.jobs.resume('one')
  t.equal(await now(answer), 'pending')
  await clock.advance(1000)
  t.match((await answer).json(), { statusCode: 503, message: /'two' is full.*within 1000 ms/ })
})

t.test("a signal of the caller's own ends the wait with its reason, also one that has aborted", async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1 } } })
  app.jobs.define('work', async () => {})
  const reason = new Error('enough')
  app.post('/', async (request) => {
    const controller = new AbortController()
    const waiting = request.jobs.enqueue('work', {}, { signal: controller.signal })
    t.equal(await now(waiting), 'pending')
    controller.abort(reason)
    await t.rejects(waiting, reason)
    await t.rejects(request.jobs.enqueue('work', {}, { signal: controller.signal }), reason)
    return 'fine'
  })
  await fill(app)
  t.equal((await app.inject({ method: 'POST', url: '/' })).body, 'fine')
})

t.test('a client that goes away while its request waits: the job is not enqueued', async (t) => {
  const waits = deferred()
  const failed = deferred<{ code: string, statusCode: number, message: string }>()
  const app = await buildApp(t, { queues: { default: { capacity: 1 } } })
  app.jobs.define('work', async () => {})
  app.post('/work', async (request) => {
    const enqueued = request.jobs.enqueue('work', request.body)
    waits.resolve()
    try { return await enqueued } catch (error) { failed.resolve(error as never); throw error }
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  app.jobs.pause()
  await app.jobs.enqueue('work', 'first')
  const client = httpRequest({ port: (app.server.address() as AddressInfo).port, method: 'POST', path: '/work', headers: { 'content-type': 'application/json' } })
  client.on('error', () => {})
  client.end('{"n":1}')
  await waits.promise
  // The body has been read by now, and its 'close' has passed.
  await turns(20)
  client.destroy()
  t.match(await failed.promise, { code: 'FST_JOBS_REQUEST_ABORTED', statusCode: 499, message: /client went away.*was not enqueued/ })
  app.jobs.resume()
  await app.jobs.idle()
  t.match(app.jobs.metrics && (await app.jobs.metrics.registry.metrics()), /jobs_rejected_total\{queue="default",job(_name)?="work"\} 1/)
})

t.test('a client that goes away on HTTP/2, too', async (t) => {
  const waits = deferred()
  const failed = deferred<unknown>()
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(backgroundJobs, { queues: { default: { capacity: 1 } } })
  app.jobs.define('work', async () => {})
  app.post('/work', async (request) => {
    const enqueued = request.jobs.enqueue('work', request.body)
    waits.resolve()
    await enqueued.catch((error) => { failed.resolve(error); throw error })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  app.jobs.pause()
  await app.jobs.enqueue('work', 'first')
  const session = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  const stream = session.request({ ':method': 'POST', ':path': '/work' })
  stream.on('error', () => {})
  stream.end()
  await waits.promise
  stream.close()
  t.match(await failed.promise, { code: 'FST_JOBS_REQUEST_ABORTED' })
  session.close()
  await once(session, 'close')
})

t.test('a client that has gone before the enqueue keeps nothing waiting', async (t) => {
  const [arrived, gone, failed] = [deferred(), deferred(), deferred<unknown>()]
  const app = await buildApp(t, { queues: { default: { capacity: 1 } } })
  app.jobs.define('work', async () => {})
  app.post('/work', async (request) => {
    request.raw.socket.once('close', () => gone.resolve())
    arrived.resolve()
    await gone.promise
    await request.jobs.enqueue('work', request.body).catch((error) => { failed.resolve(error); throw error })
  })
  await listening(app)
  app.jobs.pause()
  await app.jobs.enqueue('work', 'first')
  const client = httpRequest({ port: (app.server.address() as AddressInfo).port, method: 'POST', path: '/work', headers: { 'content-type': 'application/json' } })
  client.on('error', () => {})
  client.end('{"n":1}')
  await arrived.promise
  client.destroy()
  t.match(await failed.promise, { code: 'FST_JOBS_QUEUE_FULL', message: /within 0 ms/ })
})

t.test('after the response a request may still enqueue where there is room', async (t) => {
  const app = await buildApp(t)
  const seen = deferred<unknown>()
  app.jobs.define('audit', async (payload) => { seen.resolve(payload) })
  app.get('/', async () => 'fine')
  app.addHook('onResponse', async (request) => { await request.jobs.enqueue('audit', { id: request.id }) })
  await app.inject('/')
  t.match(await seen.promise, { id: /^req-/ })
})

t.test('on a durable backend, too', async (t) => {
  const clock = new ManualClock()
  const app = await enqueueingApp(t, { clock, backend: leased().backend, queues: { default: { capacity: 1 } } })
  await fill(app)
  const answer = app.inject({ method: 'POST', url: '/work' }).then((response) => response)
  t.equal(await now(answer), 'pending')
  await clock.advance(5000)
  t.match((await answer).json(), { statusCode: 503, code: 'FST_JOBS_QUEUE_FULL' })
})

t.test('while the app stops a waiting request is refused as every other enqueue', async (t) => {
  const app = await enqueueingApp(t, { queues: { default: { capacity: 1 } } })
  await fill(app)
  const answer = app.inject({ method: 'POST', url: '/work' }).then((response) => response)
  t.equal(await now(answer), 'pending')
  await app.close()
  await turns()
  t.match((await answer).json(), { statusCode: 503, code: 'FST_JOBS_STOPPING' })
})

t.test('an app whose requests have a decorator of that name is told', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.decorateRequest('jobs' as never, null as never)
  await t.rejects(async () => { await app.register(backgroundJobs) }, { code: 'FST_JOBS_INVALID_OPTIONS', message: /decorated the app or its requests with 'jobs'/ })
})
