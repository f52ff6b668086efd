import t from 'tap'
import { buildApp } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

t.test('schedules are listed in the order in which they were registered', async (t) => {
  const app = await buildApp(t)
  for (const name of ['c', 'a', 'b']) app.jobs.schedule(name, { every: 1000 }, async () => {})
  t.same(app.jobs.schedules.list().map(({ name }) => name), ['c', 'a', 'b'])
})

t.test('a name that is none is named, with those that are', async (t) => {
  const app = await buildApp(t)
  app.jobs.schedule('a', { every: 1000 }, async () => {})
  app.jobs.schedule('b', { every: 1000 }, async () => {})
  const error = { code: 'FST_JOBS_INVALID_OPTIONS', message: /schedule 'x': there is none of that name; the schedules are: a, b/ }
  t.throws(() => app.jobs.schedules.pause('x'), error)
  t.throws(() => app.jobs.schedules.resume('x'), error)
  await t.rejects(app.jobs.schedules.run('x'), error)
  t.throws(() => app.jobs.schedules.pause(5 as never), { message: /schedule 'number'/ })
})

t.test('an app without schedules has no timer for them', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  await app.ready()
  t.equal(clock.pending, 0)
})

t.test('any number of schedules share one timer', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  let runs = 0
  for (let n = 0; n < 100; n++) app.jobs.schedule(`every-${n}`, { every: 1000 + n }, async () => { runs++ })
  await app.ready()
  t.equal(clock.pending, 1)
  await clock.advance(1099)
  t.equal(runs, 100)
})

t.test('a schedule may be paused before the start', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  let runs = 0
  app.jobs.schedule('a', { every: 1000 }, async () => { runs++ })
  app.jobs.schedules.pause('a')
  await app.ready()
  await clock.advance(1500)
  t.equal(runs, 0)
  app.jobs.schedules.resume('a')
  await clock.advance(500)
  t.equal(runs, 1)
})

t.test('a schedule that was paused before the start is not run immediately', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  let runs = 0
  app.jobs.schedule('a', { every: 1000 }, async () => { runs++ }, { immediate: true })
  app.jobs.schedules.pause('a')
  await app.ready()
  await clock.advance(1500)
  t.equal(runs, 0)
})

t.test('a job may be run by hand before the first tick, and before the start', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  let runs = 0
  app.jobs.schedule('a', { every: 1000 }, async () => { runs++ })
  await app.jobs.schedules.run('a')
  await app.ready()
  await app.jobs.schedules.run('a')
  await app.jobs.idle()
  t.equal(runs, 2)
})
