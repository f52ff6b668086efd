import type { FastifyInstance } from 'fastify'
import { deferred, now, turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { test, type SqliteFile } from '../../helpers/sqlite.ts'

const FULL = { code: 'FST_JOBS_QUEUE_FULL', statusCode: 503, headers: { 'retry-after': '5' } }

/** An app that takes no jobs until it is told to. */
async function paused (file: SqliteFile, settings: object, { clock = new ManualClock(), define }: { clock?: ManualClock, define?: (app: FastifyInstance) => void } = {}) {
  const app = await file.app({ queues: { default: settings }, clock })
  define?.(app)
  const ran: unknown[] = []
  const dropped: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.addHook('onDrop', ({ payload }) => { dropped.push(payload) })
  app.jobs.pause()
  await app.ready()
  const batch = (...payloads: unknown[]) => app.jobs.enqueueMany(payloads.map((payload) => ({ job: 'work', payload })))
  return { app, ran, dropped, clock, batch }
}

async function depth (app: FastifyInstance): Promise<number> {
  return (await app.jobs.status()).queueDepth
}

test('reject: those of one turn that fit are taken, the others fail on their own', async (t, file) => {
  const { app } = await paused(file, { capacity: 3, fullMode: 'reject' })
  const results = await Promise.allSettled(Array.from({ length: 5 }, (_, n) => app.jobs.enqueue('work', n)))
  t.same(results.map(({ status }) => status), ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'])
  t.equal(await depth(app), 3)
})

test('dropWrite loses what comes, and tells it once', async (t, file) => {
  const { app, ran, dropped, batch } = await paused(file, { capacity: 2, concurrency: 1, fullMode: 'dropWrite' })
  const results = await batch(1, 2, 3, 4)
  t.same(results.map(({ status }) => status), ['enqueued', 'enqueued', 'dropped', 'dropped'])
  t.match(await app.jobs.get(results[3]!.id), { state: 'dropped', attempt: 0 })
  app.jobs.resume()
  await app.jobs.idle()
  t.same(ran, [1, 2])
  t.same(dropped, [3, 4])
})

test('dropWrite remembers nothing without a history, and a dropped id can be enqueued again', async (t, file) => {
  const { app, dropped, batch } = await paused(file, { capacity: 1, fullMode: 'dropWrite', history: 0 })
  await batch(1)
  t.match(await app.jobs.enqueue('work', 2, { id: 'x' }), { status: 'dropped' })
  t.match(await app.jobs.enqueue('work', 2, { id: 'x' }), { status: 'dropped' })
  t.equal(await app.jobs.get('x'), undefined)
  await turns()
  t.same(dropped, [2, 2])
})

test('an id that was dropped is replaced in the history', async (t, file) => {
  const { app, batch } = await paused(file, { capacity: 1, fullMode: 'dropWrite' })
  await batch(1)
  for (let n = 0; n < 3; n++) t.match(await app.jobs.enqueue('work', 2, { id: 'x' }), { status: 'dropped' })
  t.match(file.rows('queues'), [{ fresh: 1, finished: 1 }])
})

test('dropOldest loses the oldest job of the lowest priority, with its payload', async (t, file) => {
  const { app, ran, dropped, batch } = await paused(file, { capacity: 3, concurrency: 1, fullMode: 'dropOldest' })
  await app.jobs.enqueue('work', { high: 1 }, { priority: 1 })
  await batch('a', 'b', 'c')
  await turns()
  t.same(dropped, ['a'])
  await app.jobs.enqueue('work', 'd', { id: 'd' })
  t.match(await app.jobs.enqueue('work', 'd', { id: 'd' }), { status: 'duplicate' })
  await turns()
  t.same(dropped, ['a', 'b'])
  app.jobs.resume()
  await app.jobs.idle()
  t.same(ran, [{ high: 1 }, 'c', 'd'])
})

test('where only delayed jobs hold the room, the one that comes is dropped', async (t, file) => {
  const { app, dropped } = await paused(file, { capacity: 1, fullMode: 'dropOldest' })
  await app.jobs.enqueue('work', 'delayed', { delay: 1000 })
  t.match(await app.jobs.enqueue('work', 'new'), { status: 'dropped' })
  await turns()
  t.same(dropped, ['new'])
})

test('a dropped job whose record cannot be read is told without its payload', async (t, file) => {
  const { dropped, batch } = await paused(file, { capacity: 1, fullMode: 'dropOldest' })
  await batch('a')
  file.connect().exec("UPDATE fastify_jobs_jobs SET payload = '{'")
  await batch('b')
  await turns()
  t.same(dropped, [undefined])
})

test('a dropped or cancelled job gives its id and its unique key back', async (t, file) => {
  const { app, batch } = await paused(file, { capacity: 1, fullMode: 'dropOldest' })
  await app.jobs.enqueue('work', 1, { id: 'x', uniqueKey: 'k', uniqueFor: 1000 })
  await batch(2)
  t.match(await app.jobs.enqueue('work', 3, { id: 'x', uniqueKey: 'k' }), { id: 'x', status: 'enqueued' })
  await app.jobs.cancel('x')
  t.match(await app.jobs.enqueue('work', 4, { id: 'x', uniqueKey: 'k' }), { id: 'x', status: 'enqueued' })
  t.match(file.rows('keys'), [{ job: 'x', taken_until: null }])
  t.equal(file.rows('keys').length, 1)
})

test('wait: producers get in first come, first served, as room comes', async (t, file) => {
  const { app, ran, batch } = await paused(file, { capacity: 2, concurrency: 1 })
  const admitted: string[] = []
  const note = (label: string, promise: Promise<unknown>): Promise<unknown> => promise.then(() => admitted.push(label))
  await batch(0, 1)
  const waiting = [note('pair', batch(2, 3)), note('one', batch(4)), note('two', batch(5))]
  await turns(20)
  t.same(admitted, [])
  app.jobs.resume()
  await Promise.all(waiting)
  await app.jobs.idle()
  t.same(admitted, ['pair', 'one', 'two'])
  t.same(ran, [0, 1, 2, 3, 4, 5])
})

test('wait: whoever comes later waits behind, though it would fit; a duplicate need not', async (t, file) => {
  const { app, batch } = await paused(file, { capacity: 3 })
  await app.jobs.enqueue('work', 0, { id: 'known' })
  const big = batch(1, 2, 3)
  t.equal(await now(big), 'pending')
  t.equal(await now(batch(4)), 'pending')
  t.match(await app.jobs.enqueue('work', 0, { id: 'known' }), { status: 'duplicate' })
  t.equal(await app.jobs.cancel('known'), true)
  await big
})

test('wait: jobs of one turn beyond the room wait, in order', async (t, file) => {
  const { app, ran } = await paused(file, { capacity: 2, concurrency: 10 })
  const all = Promise.all(Array.from({ length: 30 }, (_, n) => app.jobs.enqueue('work', n)))
  await turns(20)
  t.equal(await depth(app), 2)
  app.jobs.resume()
  await all
  await app.jobs.idle()
  t.same(ran, Array.from({ length: 30 }, (_, n) => n))
})

test('wait: an enqueue gives up after enqueueTimeout, and who waits behind it gets in', async (t, file) => {
  const { app, clock, batch } = await paused(file, { capacity: 2, enqueueTimeout: 100 })
  await batch(0)
  const big = batch(1, 2)
  await turns(20)
  await clock.advance(50)
  const small = batch(3)
  const failing = t.rejects(big, { ...FULL, message: /no room came within 100 ms/ })
  await clock.advance(50)
  await failing
  await small
  t.equal(await depth(app), 2)
})

test('wait: the signal of an enqueue ends its waiting, also before its turn', async (t, file) => {
  const { app, batch } = await paused(file, { capacity: 1 })
  await batch(0)
  const controller = new AbortController()
  const waiting = app.jobs.enqueue('work', 1, { signal: controller.signal })
  await turns(20)
  controller.abort(new Error('enough'))
  await t.rejects(waiting, { message: 'enough' })
  const early = new AbortController()
  const aborted = app.jobs.enqueue('work', 2, { signal: early.signal })
  early.abort(new Error('at once'))
  await t.rejects(aborted, { message: 'at once' })
  t.equal(await depth(app), 1)
})

test('wait: who waits when the app stops is told so, and whoever comes then is taken if there is room', async (t, file) => {
  const results: unknown[] = []
  const gate = deferred()
  const started = deferred()
  const define = (app: FastifyInstance): void => {
    app.jobs.define('last', async () => {
      started.resolve()
      await gate.promise
      results.push(await app.jobs.enqueue('work', 'stored').then(({ status }) => status))
      results.push(await app.jobs.enqueue('work', 'no room').catch(({ code, statusCode }) => [code, statusCode]))
    })
  }
  const { app } = await paused(file, { capacity: 2 }, { define })
  app.jobs.resume()
  await app.jobs.enqueue('last', null)
  await started.promise
  app.jobs.pause()
  const [first] = await app.jobs.enqueueMany([{ job: 'work', payload: 1 }, { job: 'work', payload: 2 }])
  const waiting = app.jobs.enqueue('work', 3)
  await turns(20)
  const failing = t.rejects(waiting, { code: 'FST_JOBS_STOPPING', statusCode: 503 })
  const closing = app.close()
  await failing
  await app.jobs.cancel(first!.id)
  gate.resolve()
  await closing
  t.same(results, ['enqueued', ['FST_JOBS_STOPPING', 503]])
  t.match(file.rows('queues'), [{ fresh: 2, active: 0 }])
  t.same(file.rows('workers'), [])
})

test('room that another process makes is noticed within the poll interval', async (t, file) => {
  const clock = new ManualClock()
  const one = await paused(file, { capacity: 1, concurrency: 1 }, { clock })
  const two = await paused(file, { capacity: 1, concurrency: 1 }, { clock })
  await one.batch('a')
  const waiting = one.batch('b')
  t.equal(await now(waiting), 'pending')
  two.app.jobs.resume()
  await two.app.jobs.idle()
  t.same(two.ran, ['a'])
  t.equal(await now(waiting), 'pending')
  await clock.advance(500)
  await waiting
  await clock.advance(500)
  t.same(two.ran, ['a', 'b'])
})

/** An app with ten idle workers, whose jobs are held until `gate` opens. */
async function idleWorkers (file: SqliteFile, settings: object) {
  const clock = new ManualClock()
  const app = await file.app({ queues: { default: { capacity: 1, concurrency: 10, ...settings } }, clock })
  const ran: unknown[] = []
  const dropped: unknown[] = []
  const gate = deferred()
  app.jobs.define('held', async (payload) => {
    ran.push(payload)
    await gate.promise
  })
  app.jobs.addHook('onDrop', ({ payload }) => { dropped.push(payload) })
  await app.ready()
  await turns(20)
  const enqueueAll = (count: number) => Promise.all(Array.from({ length: count }, async (_, payload) => {
    return app.jobs.enqueue('held', payload).then(({ status }) => status, ({ code }) => code)
  }))
  return { app, ran, dropped, gate, clock, enqueueAll }
}

const eleven = Array.from({ length: 11 }, () => 'enqueued')
const zeroTo = (last: number) => Array.from({ length: last + 1 }, (_, n) => n)

for (const { fullMode, last, lost, stays } of [
  { fullMode: 'reject', last: 'FST_JOBS_QUEUE_FULL', lost: [], stays: 10 },
  { fullMode: 'dropWrite', last: 'dropped', lost: [11], stays: 10 },
  { fullMode: 'dropOldest', last: 'enqueued', lost: [10], stays: 11 },
  { fullMode: 'dropNewest', last: 'enqueued', lost: [10], stays: 11 }
] as const) {
  test(`${fullMode}: of twelve enqueues of one turn, ten idle workers take ten, the capacity of one holds the next, the last finds the queue full`, async (t, file) => {
    const { app, ran, dropped, gate, enqueueAll } = await idleWorkers(file, { fullMode })
    t.same(await enqueueAll(12), [...eleven, last])
    await turns(20)
    t.same(ran, zeroTo(9))
    t.same(dropped, lost)
    t.match(await app.jobs.status(), { queues: { default: { queueDepth: 1, inFlight: 10 } } })
    gate.resolve()
    await app.jobs.idle()
    t.same(ran, [...zeroTo(9), stays])
  })
}

test('wait: of twelve enqueues of one turn, the last waits until a worker is free', async (t, file) => {
  const { app, ran, gate, enqueueAll } = await idleWorkers(file, { fullMode: 'wait' })
  const all = enqueueAll(12)
  await turns(20)
  t.same(ran, zeroTo(9))
  t.equal(await now(all), 'pending')
  gate.resolve()
  t.same(await all, [...eleven, 'enqueued'])
  await app.jobs.idle()
  t.same(ran, zeroTo(11))
})

for (const fullMode of ['dropWrite', 'dropOldest', 'dropNewest', 'reject'] as const) {
  test(`${fullMode}: of many jobs at once, ${fullMode === 'reject' ? 'more than the capacity are refused' : 'idle workers take what they can'}`, async (t, file) => {
    const { app, ran, dropped, gate } = await idleWorkers(file, { fullMode, concurrency: 2 })
    const many = app.jobs.enqueueMany([0, 1, 2, 3].map((payload) => ({ job: 'held', payload })))
    if (fullMode === 'reject') {
      await t.rejects(many, FULL)
      return
    }
    t.same((await many).map(({ status }) => status), ['enqueued', 'enqueued', 'enqueued', fullMode === 'dropWrite' ? 'dropped' : 'enqueued'])
    await turns(20)
    t.same([ran, dropped], [[0, 1], [fullMode === 'dropWrite' ? 3 : 2]])
    gate.resolve()
  })
}

test('workers of a paused queue take nothing, and a queue that is paused right after holds no more than its capacity', async (t, file) => {
  const { app, ran, enqueueAll, gate } = await idleWorkers(file, { fullMode: 'reject' })
  const all = enqueueAll(12)
  await all
  app.jobs.pause()
  await turns(20)
  t.same(ran, [])
  t.match(await app.jobs.status(), { queues: { default: { queueDepth: 1, delayed: 10, inFlight: 0 } } })
  t.same(await enqueueAll(1), ['FST_JOBS_QUEUE_FULL'])
  gate.resolve()
  app.jobs.resume()
  await app.jobs.idle()
  t.same(ran, zeroTo(10))
})

test('a retry that is due goes to an idle worker before a job that needs its room', async (t, file) => {
  const { app, ran, enqueueAll, gate, clock } = await idleWorkers(file, { fullMode: 'reject', concurrency: 1 })
  await app.jobs.enqueue('held', 'delayed', { delay: 100 })
  clock.jump(100)
  t.same(await enqueueAll(2), ['enqueued', 'FST_JOBS_QUEUE_FULL'])
  await turns(20)
  t.same(ran, ['delayed'])
  gate.resolve()
  await app.jobs.idle()
  t.same(ran, ['delayed', 0])
})

test('what a transaction that failed gave to idle workers runs once', async (t, file) => {
  const { app, ran, clock, enqueueAll, gate } = await idleWorkers(file, { fullMode: 'reject' })
  gate.resolve()
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const all = enqueueAll(11)
  await turns(20)
  other.exec('COMMIT')
  await clock.advance(20)
  t.same(await all, eleven)
  await app.jobs.idle()
  t.same(ran, zeroTo(10))
})

test('a payload that cannot be stored fails alone', async (t, file) => {
  const { app } = await paused(file, { maxPayloadBytes: 100 })
  const results = await Promise.allSettled([1n, 'x'.repeat(200), '\0', 'fine'].map((payload) => app.jobs.enqueue('work', payload)))
  t.match(results.map((result) => result.status === 'rejected' ? result.reason.code : result.status),
    ['FST_JOBS_INVALID_PAYLOAD', 'FST_JOBS_PAYLOAD_TOO_LARGE', 'FST_JOBS_INVALID_PAYLOAD', 'fulfilled'])
})
