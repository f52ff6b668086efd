import t from 'tap'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import backgroundJobs from '../../lib/index.ts'
import { buildApp, deferred, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

t.test('GET /jobs/status tells the state of the app and of every queue', async (t) => {
  const gate = deferred()
  const app = await buildApp(t, { queues: { default: { capacity: 7, concurrency: 1 }, mail: { concurrency: 2 } } })
  app.jobs.define('slow', () => gate.promise)
  app.jobs.define('fatal', { queue: 'mail', attempts: 1 }, () => { throw new Error('no') })
  await app.ready()
  for (let index = 0; index < 3; index++) await app.jobs.enqueue('slow', index)
  await app.jobs.enqueue('slow', 4, { delay: 60_000 })
  await app.jobs.enqueue('fatal', 1)
  app.jobs.pause('mail')
  app.jobs.resume('mail')
  await turns(10)
  app.jobs.pause('mail')
  const response = await app.inject('/jobs/status')
  t.equal(response.statusCode, 200)
  t.same(response.json(), {
    isRunning: true,
    isStopping: false,
    isStopped: false,
    queueDepth: 2,
    inFlight: 1,
    queues: {
      default: { capacity: 7, concurrency: 1, paused: false, queueDepth: 2, delayed: 1, inFlight: 1, deadLetters: 0 },
      mail: { capacity: 1000, concurrency: 2, paused: true, queueDepth: 0, delayed: 0, inFlight: 0, deadLetters: 1 }
    },
    schedules: {},
    services: {}
  })
  gate.resolve()
})

t.test('GET /jobs/status tells the state of every service, in every state, and what its restarts came to', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  app.jobs.service('loop', { run: ({ sleep }) => sleep(Infinity) })
  app.jobs.service('listener', { start () {} })
  app.jobs.service('once', { run () {} })
  app.jobs.service('fails', { run () { throw new Error('secret') } })
  app.jobs.service('flaky', { run () { throw new Error('secret') } }, { onFailure: 'restart', restart: { backoff: () => 1000 } })
  app.jobs.service('__proto__', { start () {} })
  await app.ready()
  await turns()
  await clock.advance(1000)
  const response = await app.inject('/jobs/status')
  t.equal(response.statusCode, 200)
  t.same(Object.entries(response.json().services), [
    ['loop', { state: 'running', restarts: 0 }],
    ['listener', { state: 'running', restarts: 0 }],
    ['once', { state: 'completed', restarts: 0 }],
    ['fails', { state: 'failed', restarts: 0 }],
    ['flaky', { state: 'restarting', restarts: 2 }],
    ['__proto__', { state: 'running', restarts: 0 }]
  ])
  t.notMatch(response.body, /secret/)
})

t.test('GET /jobs/:id tells what has become of a job, and neither its payload nor a stack', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, retry: { backoff: () => 1000 } })
  app.jobs.define('fails', { attempts: 2 }, async (_payload, { progress }) => {
    progress(0.5)
    throw new Error('it broke')
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('fails', { secret: 'hunter2' }, { correlationId: 'request-7' })
  t.match((await app.inject(`/jobs/${id}`)).json(), { id, state: 'waiting', attempt: 0, attempts: 2 })
  await turns(10)
  t.same((await app.inject(`/jobs/${id}`)).json(), {
    id,
    name: 'fails',
    queue: 'default',
    state: 'delayed',
    attempt: 1,
    attempts: 2,
    enqueuedAt: '2026-01-01T00:00:00.000Z',
    runAt: '2026-01-01T00:00:01.000Z',
    startedAt: '2026-01-01T00:00:00.000Z',
    progress: 0.5,
    error: 'it broke',
    correlationId: 'request-7'
  })
  await clock.advance(1000)
  const response = await app.inject(`/jobs/${id}`)
  t.match(response.json(), { state: 'dead', attempt: 2, finishedAt: '2026-01-01T00:00:01.000Z', error: 'it broke' })
  t.notMatch(response.body, /hunter2|payload|stack|status\.test/)
})

t.test('an unknown job is a 404 in JSON', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject('/jobs/nobody')
  t.equal(response.statusCode, 404)
  t.match(response.headers['content-type'], /^application\/json/)
  t.same(response.json(), { statusCode: 404, error: 'Not Found', message: "There is no job 'nobody', or it ended too long ago" })
})

t.test('a job delayed beyond what a date can say can still be looked at', async (t) => {
  const app = await buildApp(t, { clock: new ManualClock() })
  app.jobs.define('never', async () => {})
  await app.ready()
  const { id } = await app.jobs.enqueue('never', 1, { delay: Number.MAX_SAFE_INTEGER })
  const response = await app.inject(`/jobs/${id}`)
  t.equal(response.statusCode, 200)
  t.equal(response.json().runAt, '+275760-09-13T00:00:00.000Z')
})

t.test('the prefix is free, the root and a trailing slash included', async (t) => {
  for (const [prefix, path] of [['/', '/status'], ['/internal/work', '/internal/work/status'], ['/work/', '/work/status']] as const) {
    const app = await buildApp(t, { routes: { prefix } })
    t.equal((await app.inject(path)).json().isRunning, true, prefix)
    t.equal((await app.inject('/jobs/status')).statusCode, 404)
    t.match((await app.inject(path.replace('status', 'nobody'))).json(), { message: /nobody/ })
  }
})

t.test('routes: false registers none', async (t) => {
  const app = await buildApp(t, { routes: false })
  t.match((await app.inject('/jobs/status')).json(), { statusCode: 404, message: /Route GET/ })
  t.match((await app.inject('/jobs/nobody')).json(), { statusCode: 404, message: /Route GET/ })
  t.equal((await app.inject('/health/ready')).statusCode, 200)
})

t.test('@fastify/swagger documents every route with the schemas of its responses', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: {} })
  await app.register(backgroundJobs)
  await app.ready()
  const { paths } = app.swagger() as { paths: Record<string, { get: { summary: string, tags: string[], responses: Record<string, { content: Record<string, { schema: object }> }> } }> }
  t.same(Object.keys(paths).sort(), ['/health', '/health/live', '/health/ready', '/jobs/status', '/jobs/{id}', '/metrics'])
  for (const [path, { get }] of Object.entries(paths)) {
    t.ok(get.summary, path)
    t.ok(get.tags.length > 0, path)
    for (const [status, { content }] of Object.entries(get.responses)) t.ok(Object.values(content)[0]!.schema, `${path} ${status}`)
  }
  t.same(Object.keys(paths['/health/ready']!.get.responses), ['200', '503'])
  t.same(Object.keys(paths['/jobs/{id}']!.get.responses), ['200', '404', '501', '503'])
})

t.test('GET /jobs/status tells first what a schedule does, and when', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('clean-up', () => {})
  app.jobs.schedule('hourly', { cron: '0 * * * *' }, 'clean-up')
  await app.ready()
  t.same(Object.keys((await app.inject('/jobs/status')).json().schedules.hourly), ['job', 'queue', 'cron', 'timezone', 'paused', 'nextRun'])
})
