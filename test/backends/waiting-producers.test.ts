import t from 'tap'
import { getEventListeners } from 'node:events'
import { buildApp, deferred, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

const FULL = { code: 'FST_JOBS_QUEUE_FULL', statusCode: 503, headers: { 'retry-after': '5' } }

async function pausedApp (t: Parameters<typeof buildApp>[0], settings: object, clock = new ManualClock()) {
  const app = await buildApp(t, { queues: { default: settings }, clock })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  app.jobs.pause()
  await app.ready()
  const batch = (...payloads: unknown[]) => app.jobs.enqueueMany(payloads.map((payload) => ({ job: 'work', payload })))
  const depth = async () => (await app.jobs.status()).queueDepth
  return { app, clock, seen, batch, depth }
}

/** Notes what has settled, in order. */
function noted (log: unknown[], label: unknown, promise: Promise<unknown>): void {
  promise.then(() => log.push(label), (error) => log.push([label, error]))
}

t.test('producers that wait are admitted first come, first served', async (t) => {
  const { app, seen } = await pausedApp(t, { capacity: 1, concurrency: 1 })
  const admitted: unknown[] = []
  for (let n = 0; n < 5; n++) noted(admitted, n, app.jobs.enqueue('work', n))
  await turns()
  t.same(admitted, [0])
  app.jobs.resume()
  await turns(20)
  t.same(admitted, [0, 1, 2, 3, 4])
  t.same(seen, [0, 1, 2, 3, 4])
})

t.test('a small enqueue never overtakes a batch that waits, though there is room for it', async (t) => {
  const { app, seen, batch, depth } = await pausedApp(t, { capacity: 3, concurrency: 1 })
  const admitted: unknown[] = []
  await batch('a', 'b')
  noted(admitted, 'batch', batch('c', 'd'))
  noted(admitted, 'single', app.jobs.enqueue('work', 'e'))
  await turns()
  t.same(admitted, [])
  t.equal(await depth(), 2)
  app.jobs.resume()
  await turns(20)
  t.same(admitted, ['batch', 'single'])
  t.same(seen, ['a', 'b', 'c', 'd', 'e'])
})

t.test('a batch that does not fit waits as a whole until it does', async (t) => {
  const { app, batch, depth } = await pausedApp(t, { capacity: 4 })
  const jobs = await batch(1, 2, 3)
  const admitted: unknown[] = []
  noted(admitted, 'batch', batch(4, 5, 6))
  await app.jobs.cancel(jobs[0]!.id)
  await turns()
  t.same([admitted, await depth()], [[], 2])
  await app.jobs.cancel(jobs[1]!.id)
  await turns()
  t.same([admitted, await depth()], [['batch'], 4])
})

t.test('a batch larger than the capacity can never be admitted and fails at once', async (t) => {
  const { batch, depth } = await pausedApp(t, { capacity: 2 })
  await t.rejects(batch(1, 2, 3), { ...FULL, message: /3 jobs at once/ })
  t.equal(await depth(), 0)
})

t.test('an enqueue that waits longer than enqueueTimeout fails with FST_JOBS_QUEUE_FULL', async (t) => {
  const { app, clock, depth } = await pausedApp(t, { capacity: 1, enqueueTimeout: 500 })
  await app.jobs.enqueue('work', 1)
  const failed: unknown[] = []
  app.jobs.enqueue('work', 2).catch((error) => failed.push(error))
  await clock.advance(499)
  t.same(failed, [])
  await clock.advance(1)
  t.match(failed, [{ ...FULL, message: /no room came within 500 ms/ }])
  t.equal(await depth(), 1)
  t.equal(clock.pending, 0)
})

t.test('an enqueue that is admitted in time does not time out later', async (t) => {
  const { app, clock } = await pausedApp(t, { capacity: 1, enqueueTimeout: 500 })
  const first = await app.jobs.enqueue('work', 1)
  const second = app.jobs.enqueue('work', 2)
  await app.jobs.cancel(first.id)
  t.match(await second, { status: 'enqueued' })
  t.equal(clock.pending, 0)
})

t.test('the signal of a waiting enqueue gives up with its reason and leaves no listener', async (t) => {
  const { app, depth } = await pausedApp(t, { capacity: 1 })
  await app.jobs.enqueue('work', 1)
  const controller = new AbortController()
  const before = getEventListeners(controller.signal, 'abort').length
  const reason = new Error('the client went away')
  const waiting = app.jobs.enqueue('work', 2, { signal: controller.signal })
  await turns()
  t.equal(getEventListeners(controller.signal, 'abort').length, before + 1)
  controller.abort(reason)
  t.equal(await waiting.catch((error) => error), reason)
  t.equal(getEventListeners(controller.signal, 'abort').length, before)
  t.equal(await depth(), 1)
})

t.test('an admitted enqueue leaves no listener on its signal', async (t) => {
  const { app } = await pausedApp(t, { capacity: 1 })
  const { signal } = new AbortController()
  const first = await app.jobs.enqueue('work', 1, { signal })
  const waiting = Array.from({ length: 1 }, () => app.jobs.enqueue('work', 2, { signal }))
  await turns()
  await app.jobs.cancel(first.id)
  await Promise.all(waiting)
  t.equal(getEventListeners(signal, 'abort').length, 0)
})

t.test('a signal that is aborted already enqueues nothing, whether there is room or not', async (t) => {
  const { app, batch, depth } = await pausedApp(t, { capacity: 1 })
  const reason = { why: 'too late' }
  const signal = AbortSignal.abort(reason)
  t.equal(await app.jobs.enqueue('work', 1, { signal }).catch((error) => error), reason)
  t.equal(await depth(), 0)
  await batch(1)
  t.equal(await app.jobs.enqueue('work', 2, { signal }).catch((error) => error), reason)
  t.equal(await app.jobs.enqueueMany([{ job: 'work', payload: 1 }], { signal }).catch((error) => error), reason)
  t.equal(getEventListeners(signal, 'abort').length, 0)
})

t.test('when a batch gives up, those behind it take the room that it could not use', async (t) => {
  const { app, clock, batch, depth } = await pausedApp(t, { capacity: 3, enqueueTimeout: 100 })
  await batch('a', 'b')
  const controller = new AbortController()
  const aborted = app.jobs.enqueueMany(['c', 'd'].map((payload) => ({ job: 'work', payload })), { signal: controller.signal })
  const behind = app.jobs.enqueue('work', 'e')
  controller.abort(new Error('gone'))
  await t.rejects(aborted, { message: 'gone' })
  t.match(await behind, { status: 'enqueued' })
  t.equal(await depth(), 3)
  t.equal(clock.pending, 0)
})

t.test('when a batch times out, those behind it take the room that it could not use', async (t) => {
  const { app, clock, batch, depth } = await pausedApp(t, { capacity: 3, enqueueTimeout: 100 })
  await batch('a', 'b')
  const timedOut = t.rejects(batch('c', 'd'), FULL)
  await clock.advance(50)
  const behind = app.jobs.enqueue('work', 'e')
  await clock.advance(50)
  await timedOut
  t.match(await behind, { status: 'enqueued' })
  t.equal(await depth(), 3)
})

t.test('closing fails every waiting enqueue with FST_JOBS_STOPPING and admits none of them', async (t) => {
  const { app, batch, depth } = await pausedApp(t, { capacity: 3 })
  await batch('a', 'b')
  const failed = Promise.allSettled([batch('c', 'd'), app.jobs.enqueue('work', 'e'), app.jobs.enqueue('work', 'f')])
  await turns()
  const closing = app.close()
  for (const result of await failed) t.match(result, { status: 'rejected', reason: { code: 'FST_JOBS_STOPPING', statusCode: 503 } })
  t.ok(await depth() <= 2)
  await closing
})

t.test('with a slot running and the queue full, a producer gets the room of the next job that is taken', async (t) => {
  const gate = deferred()
  const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 1 } } })
  app.jobs.define('slow', async () => { await gate.promise })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  await app.jobs.enqueue('slow', 2)
  const admitted: unknown[] = []
  noted(admitted, 3, app.jobs.enqueue('slow', 3))
  await turns()
  t.same(admitted, [])
  gate.resolve()
  await app.jobs.idle()
  t.same(admitted, [3])
})

t.test('a producer whose job has become a duplicate needs no room', async (t) => {
  const { app, depth } = await pausedApp(t, { capacity: 2 })
  const first = await app.jobs.enqueue('work', 1)
  await app.jobs.enqueue('work', 2)
  const admitted: unknown[] = []
  const [a, b] = [app.jobs.enqueue('work', 3, { uniqueKey: 'k' }), app.jobs.enqueue('work', 4, { uniqueKey: 'k' })]
  noted(admitted, 'first of the key', a)
  noted(admitted, 'duplicate', b)
  await app.jobs.cancel(first.id)
  await turns()
  t.same(admitted, ['first of the key', 'duplicate'])
  t.match(await b, { id: (await a).id, status: 'duplicate' })
  t.equal(await depth(), 2)
})
