import t from 'tap'
import { buildApp, deferred, turns } from '../../helpers/app.ts'

for (const concurrency of [1, 3, 10]) {
  t.test(`no more than ${concurrency} of a queue's jobs run at once, and as many do`, async (t) => {
    const app = await buildApp(t, { queues: { default: { concurrency } } })
    let running = 0
    let most = 0
    app.jobs.define('work', async (turnsToTake: number) => {
      most = Math.max(most, ++running)
      await turns(turnsToTake)
      running--
    })
    await app.ready()
    for (let n = 0; n < 50; n++) await app.jobs.enqueue('work', n % 4)
    await app.jobs.idle()
    t.equal(most, concurrency)
    t.equal(running, 0)
  })
}

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

t.test('a paused queue takes nothing, what runs goes on, and resume goes on where it stopped', async (t) => {
  const app = await buildApp(t, { queues: { default: { concurrency: 1 } } })
  const gate = deferred()
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { await gate.promise; seen.push(payload) })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await app.jobs.enqueue('work', 2)
  await turns()
  app.jobs.pause()
  gate.resolve()
  await turns()
  t.same(seen, [1])
  app.jobs.resume()
  await app.jobs.idle()
  t.same(seen, [1, 2])
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
