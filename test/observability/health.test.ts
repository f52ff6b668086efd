import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { QueueStats } from '../../lib/backends/index.ts'
import { memory, type Backend, type BackgroundJobsOptions } from '../../lib/index.ts'
import { readiness } from '../../lib/observability/health.ts'
import type { Runtime } from '../../lib/runtime.ts'
import { buildApp, deferred, now, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { leased } from '../helpers/durable.ts'

interface Ready { readonly code: number, readonly status: string, readonly reasons: readonly string[] }

function readinessOf (app: FastifyInstance): Promise<Ready> {
  return answerOf(app, '/health/ready')
}

async function answerOf (app: FastifyInstance, path: string): Promise<Ready> {
  const response = await app.inject(path)
  return { code: response.statusCode, ...response.json() }
}

async function pausedApp (t: Test, options: BackgroundJobsOptions): Promise<FastifyInstance> {
  const app = await buildApp(t, options)
  app.jobs.define('any', async () => {})
  await app.ready()
  app.jobs.pause()
  return app
}

async function fill (app: FastifyInstance, count: number): Promise<void> {
  for (let index = 0; index < count; index++) await app.jobs.enqueue('any', index)
}

t.test('healthy up to 75 %, degraded above, unhealthy from 95 %', async (t) => {
  const app = await pausedApp(t, { queues: { default: { capacity: 100 } } })
  await fill(app, 75)
  t.same(await readinessOf(app), { code: 200, status: 'healthy', reasons: [] })
  await fill(app, 1)
  t.same(await readinessOf(app), { code: 200, status: 'degraded', reasons: ["queue 'default' is filling: 76 of 100"] })
  await fill(app, 18)
  t.match(await readinessOf(app), { code: 200, status: 'degraded' })
  await fill(app, 1)
  t.same(await readinessOf(app), { code: 503, status: 'unhealthy', reasons: ["queue 'default' is nearly full: 95 of 100"] })
})

t.test('the worst queue decides, and every reason is told', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 10 }, mail: { capacity: 10 } } })
  app.jobs.define('any', async () => {})
  app.jobs.define('send', { queue: 'mail' }, async () => {})
  await app.ready()
  app.jobs.pause()
  await fill(app, 8)
  for (let index = 0; index < 10; index++) await app.jobs.enqueue('send', index)
  t.same(await readinessOf(app), {
    code: 503, status: 'unhealthy', reasons: ["queue 'default' is filling: 8 of 10", "queue 'mail' is nearly full: 10 of 10"]
  })
})

t.test('unhealthy when jobs wait and none was picked up for stalledAfter, healthy again after a pick-up', async (t) => {
  const clock = new ManualClock()
  const gate = deferred()
  const app = await buildApp(t, { clock, queues: { default: { concurrency: 1 } } })
  app.jobs.define('stuck', () => gate.promise)
  await app.ready()
  await app.jobs.enqueue('stuck', 1)
  await turns()
  await clock.advance(60_000)
  t.match(await readinessOf(app), { code: 200, status: 'healthy' }, 'nothing waits')
  await app.jobs.enqueue('stuck', 2)
  await clock.advance(59_999)
  t.match(await readinessOf(app), { code: 200, status: 'healthy' }, 'while there was nothing to pick up, nothing was stalled')
  await clock.advance(1)
  t.same(await readinessOf(app), {
    code: 503, status: 'unhealthy', reasons: ["queue 'default' is stalled: jobs wait and none was picked up for 60000 ms"]
  })
  gate.resolve()
  await turns(10)
  t.match(await readinessOf(app), { code: 200, status: 'healthy' })
})

t.test('a queue that somebody paused is not stalled; stalledAfter counts from its resume', async (t) => {
  const clock = new ManualClock()
  const backend = memory()
  // Its workers are resumed and hang.
  const { consume } = backend
  backend.consume = (...args) => Object.assign(consume.apply(backend, args), { resume () {} })
  const app = await pausedApp(t, { clock, backend, health: { stalledAfter: 500 } })
  await fill(app, 1)
  await clock.advance(10_000)
  t.match(await readinessOf(app), { code: 200, status: 'healthy' })
  app.jobs.resume()
  await clock.advance(499)
  t.match(await readinessOf(app), { code: 200, status: 'healthy' })
  await clock.advance(1)
  t.match(await readinessOf(app), { code: 503, status: 'unhealthy', reasons: [/stalled.*500 ms/] })
})

t.test('where a backend cannot say since when jobs wait, the last pick-up alone counts', async (t) => {
  const clock = new ManualClock()
  const backend = Object.assign(memory(), { stats: () => ({ waiting: 1, delayed: 0, active: 0, dead: 0 }) })
  const app = await buildApp(t, { clock, backend })
  await app.ready()
  await clock.advance(59_999)
  t.match(await readinessOf(app), { code: 200 })
  await clock.advance(1)
  t.match(await readinessOf(app), { code: 503, reasons: [/stalled/] })
})

t.test('a due retry that no worker takes is stalled too', async (t) => {
  const clock = new ManualClock()
  const gate = deferred()
  const app = await buildApp(t, { clock, queues: { default: { concurrency: 1 } }, health: { stalledAfter: 500 }, retry: { backoff: () => 1000 } })
  t.teardown(() => gate.resolve())
  app.jobs.define('fails', async () => { throw new Error('again') })
  app.jobs.define('stuck', () => gate.promise)
  await app.ready()
  await app.jobs.enqueue('fails', 1)
  await app.jobs.enqueue('stuck', 1)
  await clock.advance(1499)
  t.match(await readinessOf(app), { code: 200 })
  await clock.advance(1)
  t.match(await readinessOf(app), { code: 503, reasons: [/stalled.*500 ms/] })
})

t.test('a job whose runAt has passed waits from its enqueue', async (t) => {
  const clock = new ManualClock()
  const app = await pausedApp(t, { clock, queues: { default: { concurrency: 1 } } })
  await clock.advance(120_000)
  const { id } = await app.jobs.enqueue('any', 1, { runAt: new Date(0) })
  app.jobs.resume()
  t.match(await readinessOf(app), { code: 200, status: 'healthy' })
  await turns()
  t.match(await app.jobs.get(id), { state: 'succeeded' })
  const { body } = await app.inject('/metrics')
  t.match(body, /jobs_wait_seconds_sum\{queue="default",job_name="any"\} 0\n/)
})

t.test('delayed jobs and retries hold room, so they count', async (t) => {
  const app = await buildApp(t, { clock: new ManualClock(), queues: { default: { capacity: 10 } } })
  app.jobs.define('any', async () => {})
  await app.ready()
  for (let n = 0; n < 10; n++) await app.jobs.enqueue('any', n, { delay: 1000 })
  t.match(await readinessOf(app), { code: 503, reasons: ["queue 'default' is nearly full: 10 of 10"] })
})

t.test('all queues are asked at the same time: one that does not answer delays the answer once', async (t) => {
  const answer = deferred<QueueStats>()
  let asked = 0
  const backend = Object.assign(memory(), { stats: () => { asked++; return answer.promise } })
  const app = await buildApp(t, { backend, queues: { mails: {}, reports: {} } })
  await app.ready()
  const ready = readinessOf(app)
  t.equal(await now(ready), 'pending')
  t.equal(asked, 3)
  answer.reject(new Error('no answer'))
  t.match(await ready, { code: 503, reasons: [/queue 'default' is out of reach/, /queue 'mails'/, /queue 'reports'/] })
})

t.test('unhealthy in every state but running', async (t) => {
  const thresholds = { path: '/health', degraded: 0.75, unhealthy: 0.95, stalledAfter: 60_000, ready: { capacity: 'memory', backend: false } } as const
  for (const state of ['starting', 'stopping', 'stopped'] as const) {
    const runtime = { lifecycle: { state }, queues: [], services: { all: () => [] } } as unknown as Runtime
    t.same(await readiness(runtime, thresholds), { status: 'unhealthy', reasons: [`the app is ${state}`] })
  }
})

t.test('unhealthy when a service has failed, degraded while one waits for its restart; one that has returned is no concern', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  app.jobs.service('once', { run () {} })
  app.jobs.service('flaky', { run () { throw new Error('no') } }, { onFailure: 'restart', restart: { limit: 1, backoff: () => 1000 } })
  await app.ready()
  t.same(await readinessOf(app), { code: 200, status: 'healthy', reasons: [] })
  await turns()
  t.same(await readinessOf(app), { code: 200, status: 'degraded', reasons: ["service 'flaky' has failed and will be restarted"] })
  await clock.advance(1000)
  t.same(await readinessOf(app), { code: 503, status: 'unhealthy', reasons: ["service 'flaky' has failed"] })
})

t.test('healthy again when a restarted service runs', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  let runs = 0
  app.jobs.service('flaky', { async run ({ sleep }) { if (++runs === 1) throw new Error('once'); await sleep(Infinity) } }, { onFailure: 'restart', restart: { backoff: () => 1000 } })
  await app.ready()
  await turns()
  t.match(await readinessOf(app), { status: 'degraded' })
  await clock.advance(1000)
  t.same(await readinessOf(app), { code: 200, status: 'healthy', reasons: [] })
})

t.test('every service is told, beside the queues', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1 } } })
  app.jobs.define('any', async () => {})
  app.jobs.service('one', { run () { throw new Error('no') } })
  app.jobs.service('two', { async run () { throw new Error('no') } })
  await app.ready()
  app.jobs.pause()
  await fill(app, 1)
  await turns()
  t.same(await readinessOf(app), {
    code: 503, status: 'unhealthy', reasons: ["service 'one' has failed", "service 'two' has failed", "queue 'default' is nearly full: 1 of 1"]
  })
})

t.test("a backend whose stats reject is out of reach, and the others' findings stay", async (t) => {
  const backend = Object.assign(memory(), { stats: () => Promise.reject(new Error('connection refused')) })
  const app = await buildApp(t, { queues: { default: { capacity: 1 }, remote: { backend } } })
  app.jobs.define('any', async () => {})
  await app.ready()
  app.jobs.pause()
  await fill(app, 1)
  t.same(await readinessOf(app), {
    code: 503, status: 'unhealthy', reasons: ["queue 'default' is nearly full: 1 of 1", "backend 'memory' of queue 'remote' is out of reach"]
  })
})

/** A backend that instances share, over the memory backend. */
function shared (stats?: Backend['stats']): Backend {
  const { backend } = leased()
  return stats === undefined ? backend : Object.assign(backend, { stats })
}

t.test('a shared queue that is nearly full leaves every instance ready, degraded; /health is 503', async (t) => {
  const app = await pausedApp(t, { backend: shared(), queues: { default: { capacity: 10 } } })
  await fill(app, 10)
  const reasons = ["queue 'default' is nearly full: 10 of 10"]
  t.same(await readinessOf(app), { code: 200, status: 'degraded', reasons })
  t.same(await answerOf(app, '/health'), { code: 503, status: 'unhealthy', reasons })
})

t.test('a shared backend out of reach leaves every instance ready, degraded; /health is 503', async (t) => {
  const app = await buildApp(t, { backend: shared(() => { throw new Error('connection refused') }) })
  await app.ready()
  const reasons = ["backend 'leased' of queue 'default' is out of reach"]
  t.same(await readinessOf(app), { code: 200, status: 'degraded', reasons })
  t.same(await answerOf(app, '/health'), { code: 503, status: 'unhealthy', reasons })
})

t.test('health.ready chooses what makes /health/ready 503; what this instance alone suffers from always does', async (t) => {
  const full = { queues: { default: { capacity: 1 } } }
  const lost = () => shared(() => { throw new Error('connection refused') })
  for (const [options, ready, code, isLost = false] of [
    [{ ...full, backend: shared() }, { capacity: true }, 503],
    [{ ...full, backend: shared() }, { backend: true }, 200],
    [full, { capacity: false }, 200],
    [full, { capacity: 'memory' }, 503],
    [{ backend: lost() }, { backend: true }, 503, true],
    [{ backend: lost() }, { capacity: true }, 200, true]
  ] as const) {
    const app = await pausedApp(t, { ...options, health: { ready } })
    if (!isLost) await fill(app, 1)
    t.equal((await readinessOf(app)).code, code, JSON.stringify(ready))
    t.equal((await answerOf(app, '/health')).code, 503)
  }
  const app = await buildApp(t, { health: { ready: { capacity: false, backend: false } } })
  app.jobs.service('broken', { run () { throw new Error('no') } })
  await app.ready()
  await turns()
  t.match(await readinessOf(app), { code: 503, reasons: ["service 'broken' has failed"] })
})

t.test('a backend that is silent does not keep a probe waiting', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, backend: shared(() => new Promise(() => {})) })
  await app.ready()
  const ready = readinessOf(app)
  t.equal(await now(ready), 'pending')
  await clock.advance(500)
  t.same(await ready, { code: 200, status: 'degraded', reasons: ["backend 'leased' of queue 'default' has not answered within 500 ms"] })
})

t.test('nothing is stalled where nobody works', async (t) => {
  const clock = new ManualClock()
  const backend = shared(() => ({ waiting: 1, delayed: 0, active: 0, dead: 0 }))
  const app = await buildApp(t, { clock, backend, work: false })
  await app.ready()
  await clock.advance(600_000)
  t.same(await answerOf(app, '/health'), { code: 200, status: 'healthy', reasons: [] })
})

t.test('a shared queue whose slots are all taken for long leaves every instance ready; one whose free slots take nothing does not', async (t) => {
  for (const [concurrency, code] of [[1, 200], [2, 503]] as const) {
    const clock = new ManualClock()
    const { backend } = leased()
    const stats = backend.stats.bind(backend)
    const gate = deferred()
    const app = await buildApp(t, { clock, backend: Object.assign(backend, { stats: (queue: string) => ({ ...stats(queue), waiting: 1 }) }), queues: { default: { concurrency } } })
    t.teardown(() => gate.resolve())
    app.jobs.define('long', () => gate.promise)
    await app.ready()
    await app.jobs.enqueue('long', {})
    await turns()
    await clock.advance(60_000)
    t.match(await readinessOf(app), { code, reasons: [/'default' is stalled/] })
    t.match(await answerOf(app, '/health'), { code: 503 })
  }
})
