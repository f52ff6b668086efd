import type { FastifyInstance } from 'fastify'
import { turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { test, type SqliteFile } from '../../helpers/sqlite.ts'

async function worker (file: SqliteFile, settings: object = {}, backend: object = {}): Promise<{ app: FastifyInstance, clock: ManualClock, ran: unknown[], lines: any[] }> {
  const clock = new ManualClock()
  const lines: any[] = []
  const app = await file.app({ queues: { default: settings }, clock, backend, lines, level: 'warn' })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('doomed', { attempts: 1 }, async (payload) => {
    ran.push(payload)
    throw new Error(`no ${payload}`)
  })
  await app.ready()
  return { app, clock, ran, lines }
}

test('without a history a finished job is gone', async (t, file) => {
  const { app } = await worker(file, { history: 0 })
  await app.jobs.enqueue('work', 1)
  await app.jobs.idle()
  t.same(file.rows('jobs'), [])
})

test('a history that was made smaller is forgotten little by little', async (t, file) => {
  const { app } = await worker(file, { history: 3000, capacity: 3000, concurrency: 1000 })
  await app.jobs.enqueueMany(Array.from({ length: 1500 }, (_, payload) => ({ job: 'work', payload })))
  await app.jobs.idle()
  await app.close()
  t.match(file.rows('queues'), [{ finished: 1500 }])
  const again = await worker(file, { history: 10 })
  await again.app.jobs.enqueue('work', 1)
  await again.app.jobs.idle()
  await turns(20)
  t.match(file.rows('queues'), [{ finished: 10 }])
  t.equal(file.rows('jobs').length, 10)
})

test('finished jobs are forgotten after the retention, many in several steps; dead letters stay', async (t, file) => {
  const { app, clock } = await worker(file, { history: 2000, capacity: 2000, concurrency: 1000 }, { retention: 10_000 })
  await app.jobs.enqueue('doomed', 1)
  await app.jobs.enqueueMany(Array.from({ length: 1000 }, (_, payload) => ({ job: 'work', payload })))
  await app.jobs.idle()
  await clock.advance(5000)
  const { id } = await app.jobs.enqueue('work', 'younger')
  await app.jobs.idle()
  await clock.advance(5000)
  t.match(file.rows('queues'), [{ finished: 1, dead: 1 }])
  t.match(await app.jobs.get(id), { state: 'succeeded' })
  await clock.advance(20_000)
  t.match(file.rows('queues'), [{ finished: 0, dead: 1 }])
})

test('beyond the limit the oldest dead letter goes, with a log line', async (t, file) => {
  const { app, lines } = await worker(file, { deadLetters: 1, concurrency: 1 })
  const { id } = await app.jobs.enqueue('doomed', 'a')
  await app.jobs.enqueue('doomed', 'b')
  await app.jobs.idle()
  t.same((await app.jobs.deadLetters.list()).map(({ payload }) => payload), ['b'])
  t.match(lines.filter(({ msg }) => /too many dead letters/.test(msg)), [{ jobId: id, jobName: 'doomed', queue: 'default', attempt: 1 }])
})

test('a dead letter that is retried into a full queue runs all the same, before the others', async (t, file) => {
  const { app, ran } = await worker(file, { capacity: 1, concurrency: 1 })
  const { id } = await app.jobs.enqueue('doomed', 'a')
  await app.jobs.idle()
  app.jobs.pause()
  await app.jobs.enqueue('work', 'w')
  t.equal(await app.jobs.deadLetters.retry(id), true)
  t.match(await app.jobs.status(), { queues: { default: { queueDepth: 1, delayed: 1 } } })
  app.jobs.resume()
  await app.jobs.idle()
  t.same(ran, ['a', 'a', 'w'])
})

test('a given id is known while its job waits, runs and is remembered', async (t, file) => {
  const { app, ran } = await worker(file, { history: 1 })
  t.match(await app.jobs.enqueue('work', 1, { id: 'x' }), { status: 'enqueued' })
  t.match(await app.jobs.enqueue('work', 2, { id: 'x' }), { id: 'x', status: 'duplicate' })
  await app.jobs.idle()
  t.match(await app.jobs.enqueue('work', 3, { id: 'x' }), { status: 'duplicate' })
  await app.jobs.enqueue('work', 4)
  await app.jobs.idle()
  t.match(await app.jobs.enqueue('work', 5, { id: 'x' }), { status: 'enqueued' })
  await app.jobs.idle()
  t.same(ran, [1, 4, 5])
})

test('a unique key is taken while its job waits or runs, and for uniqueFor after', async (t, file) => {
  const { app, clock, ran } = await worker(file)
  const first = await app.jobs.enqueue('work', 1, { uniqueKey: 'k', uniqueFor: 1000 })
  t.match(await app.jobs.enqueue('work', 2, { uniqueKey: 'k' }), { id: first.id, status: 'duplicate' })
  await app.jobs.idle()
  await clock.advance(999)
  t.match(await app.jobs.enqueue('work', 3, { uniqueKey: 'k' }), { id: first.id, status: 'duplicate' })
  await clock.advance(1)
  t.match(await app.jobs.enqueue('work', 4, { uniqueKey: 'k' }), { status: 'enqueued' })
  await app.jobs.idle()
  t.match(await app.jobs.enqueue('work', 5, { uniqueKey: 'k' }), { status: 'enqueued' }, 'without uniqueFor it is free at the end')
  await app.jobs.idle()
  t.same(ran, [1, 4, 5])
  t.same(file.rows('keys'), [])
})

test('keys that nobody asks for again are forgotten in time', async (t, file) => {
  const { app, clock } = await worker(file, { history: 0, capacity: 2000, concurrency: 1000 })
  await app.jobs.enqueueMany(Array.from({ length: 600 }, (_, n) => ({ job: 'work', payload: n, uniqueKey: `${n}`, uniqueFor: 1000 })))
  await app.jobs.idle()
  t.equal(file.rows('keys').length, 600)
  await clock.advance(61_000)
  t.equal(file.rows('keys').length, 0)
})

test('a dead letter takes its unique key again when it is retried, unless another job has it', async (t, file) => {
  const { app, ran } = await worker(file)
  const { id } = await app.jobs.enqueue('doomed', 1, { uniqueKey: 'k', uniqueFor: 1000 })
  await app.jobs.idle()
  t.match(await app.jobs.enqueue('doomed', 2, { uniqueKey: 'k' }), { id, status: 'duplicate' })
  app.jobs.pause()
  t.equal(await app.jobs.deadLetters.retry(id), true)
  t.match(file.rows('keys'), [{ job: id, taken_until: null }])
  app.jobs.resume()
  await app.jobs.idle()
  t.equal(await app.jobs.deadLetters.remove(id), true)
  t.same(file.rows('keys'), [], 'removing gives it up')

  const free = await app.jobs.enqueue('doomed', 3, { uniqueKey: 'k' })
  await app.jobs.idle()
  app.jobs.pause()
  const { id: heldBy } = await app.jobs.enqueue('doomed', 4, { uniqueKey: 'k' })
  await t.rejects(app.jobs.deadLetters.retry(free.id), { code: 'FST_JOBS_UNIQUE_KEY_TAKEN', heldBy })
  t.match(file.rows('queues'), [{ dead: 1, fresh: 1 }], 'it stays a dead letter')
  t.same(ran, [1, 1, 3])
})
