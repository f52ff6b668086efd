import { once } from 'node:events'
import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery, Outcome } from '../../../lib/backends/index.ts'
import { memory, NonRetryableError, type BackgroundJobsOptions, type EnqueuedJob } from '../../../lib/index.ts'
import { buildApp, deferred, turns } from '../../helpers/app.ts'
import { gc } from '../../helpers/gc.ts'
import { ManualClock } from '../../helpers/clock.ts'

const FULL = { code: 'FST_JOBS_QUEUE_FULL', statusCode: 503, headers: { 'retry-after': '5' } }
type QueueOptions = NonNullable<BackgroundJobsOptions['queues']>[string]

/** A paused app with one job 'work' that notes its payload, or fails for good when the payload is 'bad'. */
async function pausedApp (t: Test, settings: QueueOptions, logger: object | false = false) {
  const clock = new ManualClock()
  const app = await buildApp(t, { queues: { default: settings }, clock }, { logger } as object)
  const seen: unknown[] = []
  const dropped: unknown[] = []
  const work = async (payload: unknown) => {
    seen.push(payload)
    if (payload === 'bad') throw new NonRetryableError('bad')
  }
  app.jobs.define('work', work)
  app.jobs.define('other', work)
  app.jobs.define('fails', async () => { throw new NonRetryableError('no') })
  app.jobs.addHook('onDrop', ({ id, payload }) => { dropped.push([id, payload]) })
  app.jobs.pause()
  await app.ready()
  const add = (payload: unknown, options?: object): Promise<EnqueuedJob> => app.jobs.enqueue('work', payload, options)
  const depth = async () => (await app.jobs.status()).queueDepth
  const state = async (id: string) => (await app.jobs.get(id))?.state
  const run = async () => { app.jobs.resume(); await turns(20); app.jobs.pause() }
  return { app, clock, seen, dropped, add, depth, state, run }
}

t.test('depth never exceeds the capacity, in every full mode', async (t) => {
  for (const fullMode of ['wait', 'dropOldest', 'dropNewest', 'dropWrite', 'reject'] as const) {
    const { app, add, depth } = await pausedApp(t, { capacity: 3, fullMode })
    for (let n = 0; n < 10; n++) {
      add(n).catch(() => {})
      await turns(2)
      t.ok(await depth() <= 3, `${fullMode}, ${n + 1} enqueued`)
    }
    t.equal(await depth(), 3)
    await app.close()
  }
})

t.test("full mode 'reject' fails at once with a 503 and Retry-After, and tells how to help", async (t) => {
  const { app, add, seen, run } = await pausedApp(t, { capacity: 1, fullMode: 'reject' })
  await add(1)
  await t.rejects(add(2), { ...FULL, message: /Queue 'default' is full \(capacity 1\)/ })
  await t.rejects(app.jobs.enqueueMany([{ job: 'work', payload: 3 }]), FULL)
  await run()
  t.same(seen, [1])
})

t.test("full mode 'dropOldest' loses the job that waited longest and tells onDrop once", async (t) => {
  const { add, dropped, seen, run, state } = await pausedApp(t, { capacity: 2, fullMode: 'dropOldest' })
  const [a] = [await add('a'), await add('b')]
  t.match(await add('c'), { status: 'enqueued' })
  await turns()
  t.same(dropped, [[a.id, 'a']])
  t.equal(await state(a.id), 'dropped')
  await run()
  t.same(seen, ['b', 'c'])
  t.equal(dropped.length, 1)
})

t.test("full mode 'dropWrite' loses the job that comes and says so", async (t) => {
  const { add, dropped, seen, run, state } = await pausedApp(t, { capacity: 2, fullMode: 'dropWrite' })
  await add('a')
  await add('b')
  const c = await add('c')
  t.equal(c.status, 'dropped')
  await turns()
  t.same(dropped, [[c.id, 'c']])
  t.equal(await state(c.id), 'dropped')
  await run()
  t.same(seen, ['a', 'b'])
})

t.test('a batch into a full queue that drops is dropped job by job', async (t) => {
  const { app, dropped, seen, run } = await pausedApp(t, { capacity: 2, fullMode: 'dropWrite' })
  const results = await app.jobs.enqueueMany([1, 2, 3].map((payload) => ({ job: 'work', payload })))
  t.same(results.map(({ status }) => status), ['enqueued', 'enqueued', 'dropped'])
  await turns()
  t.same(dropped, [[results[2]!.id, 3]])
  await run()
  t.same(seen, [1, 2])
})

t.test('where only delayed jobs hold the room, a drop mode loses the job that comes', async (t) => {
  for (const fullMode of ['dropOldest', 'dropNewest'] as const) {
    const { app, add, dropped } = await pausedApp(t, { capacity: 2, fullMode })
    await add('a', { delay: 1000 })
    await add('b', { delay: 1000 })
    const c = await add('c')
    t.equal(c.status, 'dropped', fullMode)
    await turns()
    t.same(dropped, [[c.id, 'c']])
    t.match((await app.jobs.status()).queues.default, { delayed: 2, queueDepth: 0 })
  }
})

t.test('the lowest priority is dropped first', async (t) => {
  const { add, dropped } = await pausedApp(t, { capacity: 3, fullMode: 'dropOldest' })
  await add('normal')
  const low = await add('low', { priority: -5 })
  await add('high', { priority: 5 })
  await add('more')
  await turns()
  t.same(dropped, [[low.id, 'low']])
})

t.test('a duplicate is answered in a full queue of any mode, and drops nothing', async (t) => {
  for (const fullMode of ['wait', 'dropOldest', 'dropNewest', 'dropWrite', 'reject'] as const) {
    const { app, add, dropped } = await pausedApp(t, { capacity: 2, fullMode })
    await add(1, { id: `one-${fullMode}` })
    await add(2)
    t.match(await add(3, { id: `one-${fullMode}` }), { status: 'duplicate', id: `one-${fullMode}` })
    if (fullMode.startsWith('drop')) {
      const batch = await app.jobs.enqueueMany([{ job: 'work', payload: 4, id: `one-${fullMode}` }, { job: 'work', payload: 5 }])
      t.equal(batch[0]!.status, 'duplicate')
      await turns()
      t.equal(dropped.length, 1)
    } else {
      await turns()
      t.same(dropped, [])
    }
  }
})

t.test('a delayed job runs when it falls due, not before', async (t) => {
  const { app, clock, seen } = await pausedApp(t, { concurrency: 1 })
  app.jobs.resume()
  await app.jobs.enqueue('work', 'delay', { delay: 1000 })
  await app.jobs.enqueue('work', 'date', { runAt: new Date(clock.now() + 2000) })
  const last = await app.jobs.enqueue('work', 'number', { runAt: clock.now() + 3000 })
  await app.jobs.enqueue('work', 'past', { runAt: clock.now() - 1 })
  t.match(await app.jobs.get(last.id), { state: 'delayed', runAt: clock.now() + 3000 })
  await clock.advance(999)
  t.same(seen, ['past'])
  await clock.advance(1)
  t.same(seen, ['past', 'delay'])
  await clock.advance(1000)
  t.same(seen, ['past', 'delay', 'date'])
  await clock.advance(1000)
  t.same(seen, ['past', 'delay', 'date', 'number'])
  t.match(await app.jobs.get(last.id), { state: 'succeeded', runAt: undefined })
})

t.test('a delay may exceed 2^31 ms', async (t) => {
  const { app, clock, seen } = await pausedApp(t, {})
  app.jobs.resume()
  await app.jobs.enqueue('work', 'far', { delay: 2 ** 33 })
  await clock.sleep(2 ** 33 - 1)
  t.same(seen, [])
  await clock.advance(1)
  t.same(seen, ['far'])
})

t.test('delayed jobs hold room', async (t) => {
  const { clock, add, depth } = await pausedApp(t, { capacity: 2, fullMode: 'reject' })
  await add(1, { delay: 1000 })
  await add(2)
  await t.rejects(add(3), FULL)
  await clock.advance(1000)
  t.equal(await depth(), 2)
  await t.rejects(add(3), FULL)
})

t.test('cancelling a waiting or a delayed job frees room for a producer that waits', async (t) => {
  const { app, clock, add, state } = await pausedApp(t, { capacity: 2 })
  const [waiting, delayed] = [await add(1), await add(2, { delay: 1000 })]
  const [third, fourth] = [add(3), add(4)]
  t.equal(await app.jobs.cancel(waiting.id), true)
  t.match(await third, { status: 'enqueued' })
  t.equal(await app.jobs.cancel(delayed.id), true)
  t.match(await fourth, { status: 'enqueued' })
  t.same([await state(waiting.id), await state(delayed.id)], ['cancelled', 'cancelled'])
  t.equal(await app.jobs.cancel(waiting.id), false)
  t.equal(await app.jobs.cancel('no such job'), false)
  t.equal(clock.pending, 0)
})

t.test('a retry holds room but is never refused, and depth stays within the capacity', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { queues: { default: { capacity: 2, concurrency: 1, fullMode: 'reject' } }, clock, retry: { attempts: 2, backoff: { type: 'fixed', delay: 1000, jitter: 0 } } })
  const seen: unknown[] = []
  const gate = deferred()
  app.jobs.define('flaky', async (payload, { job }) => {
    seen.push([payload, job.attempt])
    if (payload !== 'retried' || job.attempt === 2) return
    await gate.promise
    throw new Error('once')
  })
  await app.ready()
  const retried = await app.jobs.enqueue('flaky', 'retried')
  await turns()
  for (const payload of ['a', 'b']) await app.jobs.enqueue('flaky', payload)
  app.jobs.pause()
  gate.resolve()
  await turns()
  t.match((await app.jobs.status()).queues.default, { queueDepth: 2, delayed: 1, inFlight: 0 })
  t.match(await app.jobs.get(retried.id), { state: 'delayed', attempt: 1, error: { message: 'once' } })
  await t.rejects(app.jobs.enqueue('flaky', 'c'), FULL)
  await clock.advance(1000)
  t.match((await app.jobs.status()).queues.default, { queueDepth: 2, delayed: 1 })
  t.equal(await app.jobs.cancel(retried.id), true, 'a due retry can be cancelled')
  t.equal((await app.jobs.status()).queues.default!.delayed, 0)
  app.jobs.resume()
  await turns(20)
  t.same(seen, [['retried', 1], ['a', 1], ['b', 1]])
})

t.test('a unique key stays taken for uniqueFor after its job has ended, even when history has forgotten the job', async (t) => {
  const { clock, add, run, state } = await pausedApp(t, { history: 0 })
  const first = await add(1, { uniqueKey: 'k', uniqueFor: 1000 })
  await run()
  t.equal(await state(first.id), undefined)
  await clock.advance(999)
  t.match(await add(2, { uniqueKey: 'k' }), { id: first.id, status: 'duplicate' })
  await clock.advance(1)
  t.match(await add(2, { uniqueKey: 'k' }), { status: 'enqueued' })
})

t.test('nothing grows with the jobs that are done', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 20_000, history: 10 } } })
  app.jobs.define('noop', async () => {})
  await app.ready()
  const ids: string[] = []
  for (let n = 0; n < 20_000; n++) ids.push((await app.jobs.enqueue('noop', n)).id)
  await app.jobs.idle()
  const known = []
  for (const id of ids) if (await app.jobs.get(id) !== undefined) known.push(id)
  t.same(known, ids.slice(-10))
})

t.test('dead letters are bounded: the oldest is forgotten with a log line', async (t) => {
  const lines: { msg: string, jobId?: string }[] = []
  const stream = { write: (line: string) => { lines.push(JSON.parse(line)) } }
  const { app, add, run, state } = await pausedApp(t, { deadLetters: 2, concurrency: 1 }, { level: 'warn', stream })
  const jobs = [await add('bad'), await add('bad'), await add('bad')]
  await run()
  t.same((await app.jobs.deadLetters.list()).map(({ id }) => id), jobs.slice(1).map(({ id }) => id))
  t.equal(await state(jobs[0]!.id), undefined)
  t.match(lines.filter(({ msg }) => /forgotten/.test(msg)), [{ jobId: jobs[0]!.id, jobName: 'work', queue: 'default' }])
})

t.test('a dead letter is retried into a full queue, without depth exceeding the capacity', async (t) => {
  const { app, add, run, depth, seen } = await pausedApp(t, { capacity: 1, concurrency: 1, fullMode: 'reject' })
  const dead = await add('bad')
  await run()
  await add('waiting')
  t.equal(await app.jobs.deadLetters.retry(dead.id), true)
  t.equal(await depth(), 1)
  t.equal((await app.jobs.status()).queues.default!.delayed, 1)
  await run()
  t.same(seen, ['bad', 'bad', 'waiting'])
})

t.test('a dead letter that is retried within uniqueFor gets the whole window again', async (t) => {
  const { app, clock, add, run } = await pausedApp(t, {})
  const dead = await add('bad', { uniqueKey: 'k', uniqueFor: 1000 })
  await run()
  await clock.advance(500)
  t.equal(await app.jobs.deadLetters.retry(dead.id), true)
  await run()
  await clock.advance(999)
  t.match(await add('again', { uniqueKey: 'k' }), { id: dead.id, status: 'duplicate' })
  await clock.advance(1)
  t.equal((await add('again', { uniqueKey: 'k' })).status, 'enqueued')
})

t.test('an attempt that shutdown cuts off is released', async (t) => {
  const backend = memory()
  const app = await buildApp(t, { backend, shutdown: { mode: 'stop' } })
  app.jobs.define('long', async (_payload, { signal }) => { await sleep(60_000, undefined, { signal }) })
  await app.ready()
  const job = await app.jobs.enqueue('long', 1)
  await turns()
  await app.close()
  t.match(backend.find!(job.id), { state: 'waiting', attempt: 0 })
})

t.test('an id whose job was dropped or cancelled is free again, and so is its unique key', async (t) => {
  const { app, add, run, seen, state } = await pausedApp(t, { capacity: 1, fullMode: 'dropWrite' })
  await add('first')
  const options = { id: 'order-1', uniqueKey: 'order', uniqueFor: 60_000 }
  t.equal((await add('dropped', options)).status, 'dropped')
  t.equal((await add('dropped again', options)).status, 'dropped')
  await run()
  t.equal((await add('taken', options)).status, 'enqueued')
  t.equal(await app.jobs.cancel('order-1'), true)
  t.equal(await state('order-1'), 'cancelled')
  t.equal((await add('taken again', options)).status, 'enqueued')
  await run()
  t.same(seen, ['first', 'taken again'])
  t.equal((await add('too late', options)).status, 'duplicate')
})

t.test('an id is one for all queues of a backend', async (t) => {
  const app = await buildApp(t, { queues: { a: {}, b: {} } })
  app.jobs.define('in-a', { queue: 'a' }, async () => {})
  app.jobs.define('in-b', { queue: 'b' }, async () => {})
  await app.ready()
  app.jobs.pause()
  await app.jobs.enqueue('in-a', 1, { id: 'one' })
  t.equal((await app.jobs.enqueue('in-b', 1, { id: 'one' })).status, 'duplicate')
  await app.jobs.cancel('one')
  t.equal((await app.jobs.enqueue('in-b', 1, { id: 'one' })).status, 'enqueued')
  t.match(await app.jobs.get('one'), { queue: 'b' })
})

t.test('a removed or forgotten dead letter lets its payload go, and a removed one its key', async (t) => {
  const { app, add, run } = await pausedApp(t, { deadLetters: 1 })
  const keyed = { uniqueFor: 3_600_000 }
  const removed = await add('bad', { ...keyed, uniqueKey: 'removed' })
  await run()
  t.equal((await add('next', { uniqueKey: 'removed' })).status, 'duplicate')
  t.equal(await app.jobs.deadLetters.remove(removed.id), true)
  t.equal((await add('next', { uniqueKey: 'removed' })).status, 'enqueued')
  await run()

  let payload: object | undefined = { toString: () => 'large' }
  const gone = new WeakRef(payload)
  await app.jobs.enqueue('fails', payload, { ...keyed, uniqueKey: 'forgotten' })
  payload = undefined
  await add('bad')
  await run()
  await turns()
  gc()
  t.equal(gone.deref(), undefined)
  t.equal((await app.jobs.enqueue('fails', {}, { uniqueKey: 'forgotten' })).status, 'duplicate', 'its key is taken for longer')
})

t.test('delays and retries follow jumps of the wall clock, and so does the time that a unique key stays taken', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, retry: { backoff: () => 3_600_000 } })
  const seen: string[] = []
  app.jobs.define('work', async (payload: string, { job: { attempt } }) => {
    seen.push(`${payload} ${attempt}`)
    if (payload === 'fails' && attempt === 1) throw new Error('no')
  })
  await app.ready()
  await app.jobs.enqueue('work', 'fails')
  await app.jobs.enqueue('work', 'delayed', { delay: 3_600_000 })
  await app.jobs.enqueue('work', 'at a time', { runAt: clock.now() + 3_600_000 })
  await app.jobs.enqueue('work', 'keyed', { uniqueKey: 'key', uniqueFor: 3_600_000 })
  await clock.advance(0)
  t.same(seen, ['fails 1', 'keyed 1'])
  t.equal((await app.jobs.enqueue('work', 'keyed', { uniqueKey: 'key' })).status, 'duplicate')
  // The machine slept.
  clock.jump(3_600_000)
  await clock.advance(10_000)
  t.same(seen.slice(2).sort(), ['at a time 1', 'delayed 1', 'fails 2'])
  t.equal((await app.jobs.enqueue('work', 'keyed', { uniqueKey: 'key' })).status, 'enqueued')

  await app.jobs.enqueue('work', 'set back', { delay: 1000 })
  clock.jump(-3_600_000)
  await clock.advance(3_600_999)
  t.notOk(seen.includes('set back 1'))
  await clock.advance(1)
  t.ok(seen.includes('set back 1'))
})

t.test('a timeout of an attempt, and an enqueue that waits for room, do not follow jumps of the wall clock', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { capacity: 1, concurrency: 1, enqueueTimeout: 900 } }, shutdown: { mode: 'stop' } })
  app.jobs.define('work', { timeout: 1000, attempts: 1 }, (_payload, { signal }) => once(signal, 'abort'))
  await app.ready()
  const { id } = await app.jobs.enqueue('work', 1)
  await clock.advance(0)
  await app.jobs.enqueue('work', 2)
  const waiting = app.jobs.enqueue('work', 3).catch(({ code }) => code)
  clock.jump(3_600_000)
  await clock.advance(900)
  t.equal(await waiting, 'FST_JOBS_QUEUE_FULL')
  await clock.advance(99)
  t.match(await app.jobs.get(id), { state: 'active' })
  await clock.advance(1)
  t.match(await app.jobs.get(id), { error: { code: 'FST_JOBS_TIMEOUT' } })
})

t.test('a retry of a job that was handed back with a delay falls due at its own time', async (t) => {
  const clock = new ManualClock()
  const backend = memory()
  await backend.open({ queues: [{ name: 'q', capacity: 10, concurrency: 1, history: 10, deadLetters: 10, fullMode: 'reject', enqueueTimeout: 1, maxPayloadBytes: 1000 } as never], clock, log: {} as never, stopping: new AbortController().signal } as never)
  const start = clock.now()
  await backend.enqueue('q', [{ id: 'a', name: 'work', payload: null, attempt: 1, enqueuedAt: start, correlationId: undefined, options: undefined }], {})
  const outcomes: Outcome[] = [
    { type: 'released', runAt: start + 1000 },
    { type: 'retry', runAt: start + 5000, error: { name: 'Error', message: 'again' } },
    { type: 'released', runAt: start + 9000 },
    { type: 'succeeded' }
  ]
  const due: unknown[] = []
  const deliver = (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): void => {
    due.push(delivery.dueAt! - start)
    settle(delivery, outcomes.shift()!)
  }
  backend.consume('q', { concurrency: 1 }, deliver as never)
  await clock.advance(10_000)
  t.same(due, [0, 0, 5000, 5000])
  await backend.close()
})
