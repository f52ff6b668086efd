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

t.test('when many tick at once, the event loop has its turn between 50 and the next 50', async (t) => {
  const SCHEDULES = 120
  const nextRuns = () => app.jobs.schedules.list().map(({ nextRun }) => nextRun!)
  let checked: number[] = []
  class WatchedClock extends ManualClock {
    override setTimeout (callback: () => void, delay: number): unknown {
      return super.setTimeout(() => {
        const before = nextRuns()
        callback()
        const after = nextRuns()
        checked.push(after.filter((next, index) => next !== before[index]).length)
      }, delay)
    }
  }
  const clock = new WatchedClock()
  const app = await buildApp(t, { clock, queues: { default: { capacity: 1000 } } })
  let runs = 0
  for (let n = 0; n < SCHEDULES; n++) app.jobs.schedule(`every-${n}`, { every: 1000 }, async () => { runs++ })
  await app.ready()
  // After its first job a queue has a timer, too.
  const pending = clock.pending + 1
  for (let round = 1; round <= 3; round++) {
    checked = []
    await clock.advance(1000)
    t.same(checked.filter((count) => count > 0), [50, 50, 20], `round ${round}`)
    t.equal(runs, SCHEDULES * round)
    t.equal(clock.pending, pending)
    t.strictSame(new Set(nextRuns()), new Set([clock.epoch + 1000 * (round + 1)]))
  }
})

t.test('an app that closes between two turns has no timer left', async (t) => {
  let closed: Promise<void> | undefined
  class ClosingClock extends ManualClock {
    override setTimeout (callback: () => void, delay: number): unknown {
      return super.setTimeout(() => {
        callback()
        if (this.now() > this.epoch) closed ??= app.close()
      }, delay)
    }
  }
  const clock = new ClosingClock()
  const app = await buildApp(t, { clock, queues: { default: { capacity: 1000 } } })
  for (let n = 0; n < 120; n++) app.jobs.schedule(`every-${n}`, { every: 1000 }, async () => {})
  await app.ready()
  await clock.advance(1000)
  await closed
  t.equal(clock.pending, 0)
  t.match(app.jobs.schedules.list()[119], { lastRun: undefined, nextRun: undefined })
})
