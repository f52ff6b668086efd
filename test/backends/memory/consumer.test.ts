import t from 'tap'
import { buildApp, deferred, now, turns } from '../../helpers/app.ts'

t.test('a long backlog of handlers that only await promises does not starve the event loop', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 10_000, concurrency: 2 } } })
  let done = 0
  app.jobs.define('quick', async () => { await undefined; done++ })
  for (let n = 0; n < 10_000; n++) await app.jobs.enqueue('quick', n)
  await app.ready()
  const seen: number[] = []
  for (let finished = 0; finished < 10_000; finished = done) {
    await turns(1)
    seen.push(done)
  }
  t.ok(seen.length > 30, `the event loop turned ${seen.length} times`)
})

t.test('a handler begins after the turn of the event loop that enqueued its job', async (t) => {
  const app = await buildApp(t)
  let began = false
  app.jobs.define('work', () => { began = true })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  for (let n = 0; n < 100; n++) await undefined
  t.equal(began, false)
  await app.jobs.idle()
  t.equal(began, true)
})

t.test('a pause between a wake-up and its turn of the event loop takes nothing', async (t) => {
  const app = await buildApp(t)
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  app.jobs.pause()
  await turns()
  t.same(seen, [])
})

t.test('resume while the app stops takes no new job', async (t) => {
  const app = await buildApp(t, { queues: { default: { concurrency: 1 } } })
  const gate = deferred()
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload); await gate.promise })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await app.jobs.enqueue('work', 2)
  await turns()
  const closing = app.close()
  await turns()
  app.jobs.resume()
  gate.resolve()
  await closing
  t.same(seen, [1])
})

for (const [fullMode, refused] of [['reject', 'FST_JOBS_QUEUE_FULL'], ['dropWrite', 'dropped'], ['wait', 'pending']] as const) {
  t.test(`full, '${fullMode}': a job that an idle slot can take at once takes no room`, async (t) => {
    const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 10, fullMode } } })
    const gate = deferred()
    const begun: number[] = []
    app.jobs.define('work', async (payload: number) => {
      begun.push(payload)
      await gate.promise
    })
    await app.ready()
    const enqueued = Array.from({ length: 12 }, (_, n) => app.jobs.enqueue('work', n).then(({ status }) => status, ({ code }) => code))
    t.same(begun, [], 'none begins inside of the call that enqueued it')
    const answers = await Promise.all(enqueued.map(now))
    t.same(answers, [...Array(11).fill('enqueued'), refused])
    t.same(begun, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    t.match(await app.jobs.status(), { queueDepth: 1, inFlight: 10 })
    gate.resolve()
    await app.jobs.idle()
    t.same(begun.slice(10), fullMode === 'wait' ? [10, 11] : [10])
  })
}

t.test('what an idle slot has taken goes back in its order when the queue is paused before it begins; depth does not exceed the capacity', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 3, fullMode: 'reject' } } })
  const begun: unknown[] = []
  app.jobs.define('work', async (payload, { job: { attempt } }) => { begun.push([payload, attempt]) })
  await app.ready()
  const enqueued = [1, 2, 3].map((payload) => app.jobs.enqueue('work', payload))
  app.jobs.pause()
  await Promise.all(enqueued)
  await turns()
  t.same(begun, [])
  t.match(await app.jobs.status(), { queueDepth: 1, inFlight: 0, queues: { default: { delayed: 2 } } })
  app.jobs.resume()
  await app.jobs.idle()
  t.same(begun, [[1, 1], [2, 1], [3, 1]])
})

t.test('a queue whose slots are taken, or that nobody works on, is full at its capacity', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 1, fullMode: 'reject' } } })
  const gate = deferred()
  app.jobs.define('work', () => gate.promise)
  await app.jobs.enqueue('work', 'before ready')
  await t.rejects(app.jobs.enqueue('work', 'too many'), { code: 'FST_JOBS_QUEUE_FULL' })
  await app.ready()
  await turns()
  await app.jobs.enqueue('work', 'waits')
  await t.rejects(app.jobs.enqueue('work', 'too many'), { code: 'FST_JOBS_QUEUE_FULL' })
  gate.resolve()
})

for (const fullMode of ['dropWrite', 'dropOldest', 'dropNewest'] as const) {
  t.test(`'${fullMode}': jobs that are enqueued together find the room that they would find one after the other`, async (t) => {
    const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 3, fullMode } } })
    const seen: unknown[] = []
    app.jobs.define('work', async (payload) => { seen.push(payload) })
    await app.ready()
    const enqueued = await app.jobs.enqueueMany([1, 2, 3, 4].map((payload) => ({ job: 'work', payload })))
    t.same(enqueued.map(({ status }) => status), Array(4).fill('enqueued'))
    await app.jobs.idle()
    t.same(seen, [1, 2, 3, 4])
  })
}

t.test('a job that an idle slot has taken, and that has not begun, can be cancelled, which frees the slot', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 2, fullMode: 'reject' } } })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  await app.ready()
  const enqueued = [1, 2, 3].map((payload) => app.jobs.enqueue('work', payload, { id: `${payload}` }))
  await t.rejects(app.jobs.enqueue('work', 4), { code: 'FST_JOBS_QUEUE_FULL' })
  t.same(await Promise.all(['1', '2'].map((id) => app.jobs.cancel(id))), [true, true])
  t.match(await app.jobs.get('1'), { state: 'cancelled', attempt: 0 })
  await Promise.all(enqueued)
  await app.jobs.idle()
  t.same(seen, [3])
  t.equal(await app.jobs.cancel('3'), false)
  const more = [5, 6, 7].map((payload) => app.jobs.enqueue('work', payload))
  await Promise.all(more)
  await app.jobs.idle()
  t.same(seen, [3, 5, 6, 7])
})
