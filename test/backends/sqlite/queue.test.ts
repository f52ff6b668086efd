import type { FastifyInstance } from 'fastify'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { buildApp, deferred, turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { test, type SqliteFile } from '../../helpers/sqlite.ts'

/** An app that notes what it runs; `release` ends the jobs named 'held'. */
async function worker (file: SqliteFile, settings: object = {}, clock = new ManualClock()) {
  const app = await file.app({ queues: { default: settings }, clock, retry: { attempts: 2, backoff: { delay: 1000, jitter: 0 } } })
  const ran: unknown[] = []
  const gate = deferred()
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('held', async (payload) => { ran.push(payload); await gate.promise })
  app.jobs.define('failing', async (payload, { job }) => {
    ran.push(`${payload} ${job.attempt}`)
    if (job.attempt === 1) throw new Error('once')
  })
  return { app, ran, clock, gate }
}

async function idle (app: FastifyInstance): Promise<void> {
  await app.jobs.idle()
}

test('a job runs, and its whole life can be looked at', async (t, file) => {
  const { app, clock, gate } = await worker(file)
  app.jobs.define('reporting', async (_payload, { progress }) => { progress(1); progress(2.5); await gate.promise })
  await app.ready()
  const { id } = await app.jobs.enqueue('reporting', { a: 1 }, { correlationId: 'c', delay: 500, attempts: 7 })
  const enqueuedAt = clock.now()
  t.match(await app.jobs.get(id), { id, name: 'reporting', queue: 'default', state: 'delayed', attempt: 0, attempts: 7, enqueuedAt, runAt: enqueuedAt + 500, correlationId: 'c', startedAt: undefined })
  await clock.advance(500)
  t.match(await app.jobs.get(id), { state: 'active', attempt: 1, startedAt: enqueuedAt + 500, progress: 2.5, runAt: undefined })
  gate.resolve()
  await idle(app)
  t.match(await app.jobs.get(id), { state: 'succeeded', attempt: 1, finishedAt: enqueuedAt + 500, progress: 2.5, error: undefined })
  t.match(file.rows('jobs'), [{ payload: null }], 'the payload of a finished job is let go')
  t.equal(await app.jobs.get('unknown'), undefined)
})

test('a higher priority goes first; within one, jobs that come back go before new ones', async (t, file) => {
  const { app, ran, clock } = await worker(file, { concurrency: 1 })
  await app.ready()
  await app.jobs.enqueue('failing', 'f')
  await turns(20)
  app.jobs.pause()
  for (const [payload, priority] of [['low', -5], ['a', 0], ['high', 5], ['b', undefined]] as const) await app.jobs.enqueue('work', payload, { priority })
  await clock.advance(1000)
  app.jobs.resume()
  await idle(app)
  t.same(ran, ['f 1', 'high', 'f 2', 'a', 'b', 'low'])
})

test('delayed jobs run when they are due, in the order of their times, without polling', async (t, file) => {
  const { app, ran, clock } = await worker(file, { concurrency: 1 })
  await app.ready()
  await app.jobs.enqueue('work', 'later', { delay: 300 })
  await app.jobs.enqueue('work', 'sooner', { delay: 100 })
  await app.jobs.enqueue('work', 'much later', { delay: 2 ** 31 + 1000 })
  await app.jobs.enqueue('work', 'past', { runAt: clock.now() - 5 })
  await clock.advance(0)
  t.same(ran, ['past'])
  await clock.advance(99)
  t.same(ran, ['past'])
  await clock.advance(1)
  t.same(ran, ['past', 'sooner'])
  await clock.advance(200)
  t.same(ran, ['past', 'sooner', 'later'])
  t.match(await app.jobs.status(), { queues: { default: { queueDepth: 0, delayed: 1 } } })
})

test('many jobs that fall due at once all run', async (t, file) => {
  const { app, ran, clock } = await worker(file, { capacity: 2000, concurrency: 10 })
  await app.ready()
  await app.jobs.enqueueMany(Array.from({ length: 1200 }, (_, payload) => ({ job: 'work', payload, delay: 100 })))
  await clock.advance(100)
  await app.jobs.idle()
  t.equal(ran.length, 1200)
})

test('a failed attempt is tried again when it is due, and does not hold a slot until then', async (t, file) => {
  const { app, ran, clock } = await worker(file, { concurrency: 1 })
  await app.ready()
  const { id } = await app.jobs.enqueue('failing', 'f')
  await app.jobs.enqueue('work', 'w')
  await clock.advance(0)
  t.match(await app.jobs.get(id), { state: 'delayed', attempt: 1, runAt: clock.now() + 1000, error: { message: 'once' } })
  t.same(ran, ['f 1', 'w'])
  await clock.advance(1000)
  await idle(app)
  t.match(await app.jobs.get(id), { state: 'succeeded', attempt: 2, error: { message: 'once' } })
})

test('stats count what waits, what is delayed, what runs and what is dead, and since when something waits', async (t, file) => {
  const clock = new ManualClock()
  const backend = sqlite({ path: file.path })
  const app = await buildApp(t, { backend, clock })
  app.jobs.define('work', async () => {})
  app.jobs.pause()
  await app.ready()
  t.match(await backend.stats('default'), { waiting: 0, waitingSince: undefined, delayed: 0, active: 0, dead: 0 })
  const start = clock.now()
  await app.jobs.enqueue('work', 'soon', { delay: 5, priority: 2 })
  await clock.advance(10)
  await app.jobs.enqueue('work', 'a', { priority: -1 })
  await app.jobs.enqueue('work', 'b')
  await app.jobs.enqueue('work', 'c', { delay: 10_000 })
  t.match(await backend.stats('default'), { waiting: 3, waitingSince: start + 5, delayed: 1, active: 0, dead: 0 })
})

test('pause takes nothing more, resume goes on, and what was claimed meanwhile goes back to the head', async (t, file) => {
  const { app, ran } = await worker(file, { concurrency: 3 })
  app.jobs.define('pausing', async (payload) => { ran.push(payload); app.jobs.pause() })
  await app.ready()
  await app.jobs.enqueueMany([{ job: 'pausing', payload: 1 }, ...[2, 3, 4].map((payload) => ({ job: 'work', payload }))])
  await turns(20)
  t.same(ran, [1])
  t.match(await app.jobs.status(), { queues: { default: { queueDepth: 1, delayed: 2, inFlight: 0 } } })
  app.jobs.resume()
  await idle(app)
  t.same(ran, [1, 2, 3, 4])
})

test('a consumer that was stopped does not resume', async (t, file) => {
  const { app, ran } = await worker(file)
  app.addHook('preClose', async () => { app.jobs.resume() })
  await app.ready()
  await app.jobs.enqueue('work', 1, { delay: 10 })
  await app.close()
  t.same(ran, [])
})

test('jobs wait for the app to be ready, whatever polls find before', async (t, file) => {
  const { app, ran, clock } = await worker(file)
  await app.jobs.enqueue('work', 1)
  await clock.advance(1000)
  t.same(ran, [])
  await app.ready()
  await idle(app)
  t.same(ran, [1])
})

test('cancel takes back what waits or is delayed, and nothing else', async (t, file) => {
  const { app, ran, clock, gate } = await worker(file, { concurrency: 1 })
  await app.ready()
  const held = await app.jobs.enqueue('held', 'h')
  await clock.advance(0)
  const jobs = [
    await app.jobs.enqueue('work', 'waiting'),
    await app.jobs.enqueue('work', 'delayed', { delay: 100 })
  ]
  t.match(await app.jobs.get(jobs[0]!.id), { state: 'waiting', runAt: undefined })
  for (const { id } of jobs) {
    for (const call of ['retry', 'remove'] as const) t.equal(await app.jobs.deadLetters[call](id), false, 'it is no dead letter')
    t.equal(await app.jobs.cancel(id), true)
    t.equal(await app.jobs.cancel(id), false)
    t.match(await app.jobs.get(id), { state: 'cancelled' })
  }
  t.equal(await app.jobs.cancel('unknown'), false)
  gate.resolve()
  await idle(app)
  t.match(await app.jobs.get(held.id), { state: 'succeeded' })
  t.same(ran, ['h'])
  t.match(file.rows('queues'), [{ fresh: 0, returned: 0, delayed: 0, active: 0, finished: 3 }])
})

test('a returned job that is cancelled leaves the count of those', async (t, file) => {
  const { app, clock } = await worker(file, { concurrency: 1, history: 0 })
  await app.ready()
  const { id } = await app.jobs.enqueue('failing', 'f')
  await turns(20)
  app.jobs.pause()
  await clock.advance(1000)
  t.match(file.rows('queues'), [{ returned: 1 }])
  t.equal(await app.jobs.cancel(id), true)
  t.match(file.rows('queues'), [{ fresh: 0, returned: 0, delayed: 0, active: 0, finished: 0 }])
  t.same(file.rows('jobs'), [], 'with no history nothing stays')
})

test('a running job is cancelled by its signal', async (t, file) => {
  const { app } = await worker(file)
  app.jobs.define('long', async (_payload, { signal }) => { await new Promise((resolve) => signal.addEventListener('abort', resolve)) })
  await app.ready()
  const { id } = await app.jobs.enqueue('long', null, { uniqueKey: 'k', uniqueFor: 1000 })
  await turns(20)
  t.equal(await app.jobs.cancel(id), true)
  await idle(app)
  t.match(await app.jobs.get(id), { state: 'cancelled' })
  t.same(file.rows('keys'), [], 'its key is free at once')
})

test('a job that begins to run while it is cancelled is told to stop', async (t, file) => {
  const { app, gate } = await worker(file)
  app.jobs.define('long', async (_payload, { signal }) => { await Promise.race([gate.promise, new Promise((resolve) => signal.addEventListener('abort', resolve))]) })
  await app.ready()
  await turns(20)
  const { id } = await app.jobs.enqueue('long', null)
  t.match(file.rows('jobs'), [{ place: 2, started: 1 }], 'claimed by the transaction that stored it')
  t.equal(await app.jobs.cancel(id), true)
  gate.resolve()
  await idle(app)
  t.match(await app.jobs.get(id), { state: 'cancelled' })
})

test('a job that is due in a million years holds up nothing', async (t, file) => {
  const app = await file.app()
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('patient', { attempts: 2, backoff: () => 1e300 }, async () => { throw new Error('later') })
  await app.ready()
  const far = await app.jobs.enqueue('work', 'far', { delay: 1e16 })
  const retried = await app.jobs.enqueue('patient', null)
  await app.jobs.idle()
  await app.jobs.enqueue('work', 'now')
  await app.jobs.idle()
  t.same(ran, ['now'])
  for (const { id } of [far, retried]) t.match(await app.jobs.get(id), { state: 'delayed', runAt: Number.MAX_SAFE_INTEGER })
})
