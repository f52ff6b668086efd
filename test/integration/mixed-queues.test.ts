import { join } from 'node:path'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import { redis } from '../../lib/backends/redis/index.ts'
import { sqlite } from '../../lib/backends/sqlite/index.ts'
import backgroundJobs from '../../lib/index.ts'
import { buildApp, deferred, logTo, turns } from '../helpers/app.ts'
import { parseExposition } from '../helpers/prometheus.ts'

const skip = await import('node:sqlite').then(() => false, () => 'node:sqlite needs Node >= 22.13')

async function mixed (t: Test, path: string, handler: (payload: unknown) => unknown): Promise<FastifyInstance> {
  const app = await buildApp(t, { queues: { analytics: { concurrency: 1 }, emails: { concurrency: 1, backend: sqlite({ path }) } } }, logTo([]))
  app.jobs.define('count', { queue: 'analytics', attempts: 1 }, async (payload) => handler(payload))
  app.jobs.define('mail', { queue: 'emails', attempts: 1 }, async (payload) => handler(payload))
  await app.ready()
  return app
}

t.test('queues of one app live in different backends, and everything asks them all', { skip }, async (t) => {
  const app = await mixed(t, join(t.testdir(), 'jobs.db'), (payload) => { if (payload === 'fails') throw new Error('as it was told') })
  const enqueued = await app.jobs.enqueueMany([
    { job: 'count', payload: 1 }, { job: 'mail', payload: 'ada' }, { job: 'count', payload: 'fails' }, { job: 'mail', payload: 'fails' }
  ])
  t.same(enqueued.map(({ queue }) => queue), ['analytics', 'emails', 'analytics', 'emails'])
  await app.jobs.idle()
  const views = await Promise.all(enqueued.map(({ id }) => app.jobs.get(id)))
  t.same(views.map((view) => view?.state), ['succeeded', 'succeeded', 'dead', 'dead'])
  t.same((await app.jobs.deadLetters.list()).map(({ queue }) => queue).sort(), ['analytics', 'emails'])
  t.same(await app.jobs.deadLetters.list({ queue: 'emails' }).then((letters) => letters.map(({ payload }) => payload)), ['fails'])
  for (const { id } of enqueued.slice(2)) t.equal(await app.jobs.deadLetters.remove(id), true)
  t.match(await app.jobs.status(), { queues: { default: { deadLetters: 0 }, analytics: { deadLetters: 0 }, emails: { deadLetters: 0 } } })
  const metrics = parseExposition((await app.inject('/metrics')).body)
  for (const [queue, job] of Object.entries({ analytics: 'count', emails: 'mail' })) {
    t.equal(metrics.value('jobs_queue_depth', { queue }), 0)
    t.equal(metrics.value('jobs_succeeded_total', { queue, job_name: job }), 1)
  }
  t.equal((await app.inject('/health/ready')).statusCode, 200)
})

t.test('an inline function goes into a queue in memory, and into no durable one', { skip }, async (t) => {
  const app = await mixed(t, join(t.testdir(), 'jobs.db'), () => {})
  await app.jobs.enqueue(async () => {}, { name: 'inline', queue: 'analytics' })
  await t.rejects(app.jobs.enqueue(async () => {}, { name: 'inline', queue: 'emails' }), {
    code: 'FST_JOBS_NOT_SERIALIZABLE',
    message: "The inline function 'inline' cannot be stored by backend 'sqlite' of queue 'emails'; define a job instead"
  })
})

t.test('at the end of the app, what is in memory is gone and what is durable waits for the next one', { skip }, async (t) => {
  const path = join(t.testdir(), 'jobs.db')
  const first = deferred()
  const begun: unknown[] = []
  const app = await mixed(t, path, async (payload) => { begun.push(payload); await first.promise })
  for (const payload of [1, 2]) await app.jobs.enqueueMany([{ job: 'count', payload }, { job: 'mail', payload }])
  while (begun.length < 2) await turns(1)
  const closed = app.close()
  while (!(await app.jobs.status()).isStopping) await turns(1)
  first.resolve()
  await closed
  const ran: unknown[] = []
  const next = await mixed(t, path, (payload) => { ran.push(payload) })
  await next.jobs.idle()
  t.same(begun, [1, 1])
  t.same(ran, [2], 'the second mail; the second count is gone')
})

t.test('what a backend lacks is refused when the queue is registered', async (t) => {
  const app = Fastify()
  await t.rejects(async () => app.register(backgroundJobs, { queues: { emails: { backend: redis({}), fullMode: 'dropOldest' } } }), {
    code: 'FST_JOBS_NOT_SUPPORTED',
    message: "Backend 'redis' of queue 'emails' does not support fullMode 'dropOldest'; choose one of 'wait', 'reject', 'dropWrite'"
  })
})
