import type { FastifyInstance } from 'fastify'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { buildApp, deferred, turns, type Deferred } from '../../helpers/app.ts'
import { ManualClock, SkewedClock } from '../../helpers/clock.ts'
import { parseExposition } from '../../helpers/prometheus.ts'
import { test, type SqliteFile } from '../../helpers/sqlite.ts'

const LEASE = 3000

interface Process {
  app: FastifyInstance
  clock: SkewedClock
  /** What began here. */
  ran: unknown[]
  signals: AbortSignal[]
  gate: Deferred
}

/** A process, with a clock that can be stopped as a process can. */
async function processOf (file: SqliteFile, time: ManualClock, settings: object = {}): Promise<Process> {
  const clock = new SkewedClock(time, 0)
  const app = await file.app({ queues: { default: { concurrency: 5, ...settings } }, clock, backend: { lease: LEASE } })
  const one: Process = { app, clock, ran: [], signals: [], gate: deferred() }
  app.jobs.define('work', async (payload) => { one.ran.push(payload) })
  app.jobs.define('held', { attempts: 3 }, async (payload, { signal, job }) => {
    one.ran.push(`${payload} ${job.attempt}`)
    one.signals.push(signal)
    await one.gate.promise
  })
  await app.ready()
  return one
}

test('a living process keeps its jobs, however long they run', async (t, file) => {
  const time = new ManualClock()
  const [one, two] = [await processOf(file, time), await processOf(file, time)]
  two.app.jobs.pause()
  await one.app.jobs.enqueue('held', 'a')
  await time.advance(10 * LEASE)
  two.app.jobs.resume()
  await time.advance(LEASE)
  t.same([one.ran, two.ran], [['a 1'], []])
  t.equal(one.signals[0]!.aborted, false)
  one.gate.resolve()
  await one.app.jobs.idle()
})

test('every heartbeat renews the lease, though timers drop fractions', async (t, file) => {
  const clock = new class extends ManualClock {
    override setTimeout (callback: () => void, delay: number) { return super.setTimeout(callback, Math.trunc(delay)) }
  }()
  const app = await file.app({ clock, backend: { lease: 1000, pollInterval: 60_000 } })
  await app.ready()
  await turns(20)
  for (let n = 0; n < 3; n++) {
    await clock.advance(333)
    t.match(file.rows('workers'), [{ lease_until: clock.now() + 1000 }])
  }
})

test('the jobs of a process that is stopped are another’s after its lease, and what it says then changes nothing', async (t, file) => {
  const time = new ManualClock()
  const [one, two] = [await processOf(file, time), await processOf(file, time)]
  two.app.jobs.pause()
  const { id } = await one.app.jobs.enqueue('held', 'a')
  await turns(20)
  two.app.jobs.resume()
  one.clock.stop()
  await time.advance(LEASE - 500)
  t.same(two.ran, [])
  await time.advance(1500)
  t.same(two.ran, ['a 1'], 'the attempt has not counted')
  t.match(file.rows('jobs'), [{ stalls: 1, place: 2 }])

  one.clock.continue()
  await time.advance(10)
  t.equal(one.signals[0]!.aborted, true)
  t.match(one.signals[0]!.reason, { code: 'FST_JOBS_LEASE_LOST' })
  one.gate.resolve()
  await turns(20)
  t.match(await two.app.jobs.get(id), { state: 'active', attempt: 1 })
  two.gate.resolve()
  await two.app.jobs.idle()
  t.match(await two.app.jobs.get(id), { state: 'succeeded', attempt: 1 })
  t.match(file.rows('queues'), [{ active: 0, fresh: 0, returned: 0, finished: 1 }])
})

test('a loss is counted once, where the job is next delivered', async (t, file) => {
  const time = new ManualClock()
  const [one, two, three] = [await processOf(file, time), await processOf(file, time), await processOf(file, time)]
  for (const { app } of [two, three]) app.jobs.pause()
  const stalled = async ({ app }: Process): Promise<number | undefined> =>
    parseExposition(await app.jobs.metrics!.registry.metrics()).value('jobs_stalled_total', { job_name: 'held' })
  await one.app.jobs.enqueue('held', 'a')
  await turns(20)
  one.clock.stop()
  two.app.jobs.resume()
  await time.advance(LEASE + 1000)
  t.same(two.ran, ['a 1'])
  t.equal(await stalled(two), 1)
  two.clock.stop()
  three.app.jobs.resume()
  await time.advance(LEASE + 1000)
  t.same(three.ran, ['a 1'])
  t.equal(await stalled(three), 1, 'the loss before was counted there')
  three.gate.reject(new Error('tried again'))
  await time.advance(10_000)
  t.same(three.ran, ['a 1', 'a 2', 'a 3'])
  t.equal(await stalled(three), 1, 'a retry is no loss')
  for (const { gate } of [one, two]) gate.resolve()
})

test('who lost its lease goes on under another name', async (t, file) => {
  const time = new ManualClock()
  const [one, two] = [await processOf(file, time), await processOf(file, time)]
  two.app.jobs.pause()
  await one.app.jobs.enqueue('held', 'a')
  await turns(20)
  const [before] = file.rows('jobs')
  one.clock.stop()
  await time.advance(LEASE + 1000)
  t.match(file.rows('queues'), [{ returned: 1, active: 0 }])
  one.clock.continue()
  one.gate.resolve()
  await time.advance(1000)
  t.same(one.ran, ['a 1', 'a 1'])
  await one.app.jobs.idle()
  t.match(file.rows('jobs'), [{ ended_as: 'succeeded', stalls: 1 }])
  t.notSame(file.rows('workers').map(({ worker }) => worker), [before.position])
})

test('an outcome that comes before the loss is noticed is not accepted', async (t, file) => {
  const time = new ManualClock()
  const [one, two] = [await processOf(file, time), await processOf(file, time)]
  two.app.jobs.pause()
  await one.app.jobs.enqueue('held', 'a')
  await turns(20)
  one.clock.stop()
  await time.advance(LEASE + 1000)
  one.app.jobs.pause()
  one.gate.resolve()
  await turns(20)
  t.match(file.rows('jobs'), [{ place: 0, stalls: 1, started: 0 }])
  t.match(file.rows('queues'), [{ returned: 1, active: 0, finished: 0 }])
})

test('progress of a job that is lost is not stored', async (t, file) => {
  const time = new ManualClock()
  const gate = deferred()
  const app = await file.app({ clock: time, backend: { lease: LEASE } })
  app.jobs.define('reporting', async (_payload, { progress }) => {
    await gate.promise
    progress(1)
    await new Promise((resolve) => setImmediate(resolve))
  })
  await app.ready()
  await app.jobs.enqueue('reporting', null)
  await turns(20)
  app.jobs.pause()
  file.connect().exec('UPDATE fastify_jobs_jobs SET position = 7; DELETE FROM fastify_jobs_workers')
  gate.resolve()
  await turns(20)
  t.match(file.rows('jobs'), [{ progress: null, place: 2, position: 7 }])
})

test('nothing changes a job that somebody else holds, whatever became of it here', async (t, file) => {
  const time = new ManualClock()
  const app = await file.app({ clock: time, backend: { lease: LEASE }, shutdown: { mode: 'stop' } })
  const gate = deferred()
  for (const [name, attempts] of [['succeeding', 1], ['dying', 1], ['retrying', 2]] as const) {
    app.jobs.define(name, { attempts }, async () => {
      await gate.promise
      if (name !== 'succeeding') throw new Error('no')
    })
  }
  app.jobs.define('stopping', async (_payload, { signal }) => { await new Promise((_resolve, reject) => signal.addEventListener('abort', reject)) })
  await app.ready()
  await app.jobs.enqueueMany(['succeeding', 'dying', 'retrying', 'stopping'].map((job) => ({ job, payload: null })))
  await turns(20)
  file.connect().exec('UPDATE fastify_jobs_jobs SET position = 7')
  gate.resolve()
  await turns(20)
  await app.close()
  t.match(file.rows('jobs'), Array(4).fill({ place: 2, position: 7, attempt: 1 }))
  t.match(file.rows('queues'), [{ active: 4, finished: 0, dead: 0, delayed: 0, returned: 0 }])
})

test('a lease that ran out is as good as before if nobody took notice', async (t, file) => {
  const time = new ManualClock()
  const one = await processOf(file, time)
  await one.app.jobs.enqueue('held', 'a')
  await turns(20)
  one.clock.stop()
  await time.advance(5 * LEASE)
  one.clock.continue()
  await turns(20)
  one.gate.resolve()
  await one.app.jobs.idle()
  t.same(one.ran, ['a 1'])
  t.match(file.rows('jobs'), [{ ended_as: 'succeeded', stalls: 0 }])
})

test('a job whose process dies again and again becomes a dead letter', async (t, file) => {
  const time = new ManualClock()
  const one = await processOf(file, time)
  one.app.jobs.pause()
  const { id } = await one.app.jobs.enqueue('held', 'a')
  file.connect().exec('UPDATE fastify_jobs_jobs SET stalls = 1000')
  one.app.jobs.resume()
  await turns(20)
  t.match(await one.app.jobs.get(id), { state: 'dead', error: { code: 'FST_JOBS_STALLED' } })
  t.same(one.ran, [])
  t.equal(await one.app.jobs.deadLetters.retry(id), true)
  await turns(20)
  t.same(one.ran, ['a 1'], 'whoever looked at it gives it another chance')
  one.gate.resolve()
})

test('a wall clock that is set forward takes no jobs away from the living', async (t, file) => {
  const time = new ManualClock()
  const [one, two] = [await processOf(file, time), await processOf(file, time)]
  await one.app.jobs.enqueue('held', 'a')
  await time.advance(1000)
  time.jump(60 * 60 * 1000)
  await time.advance(3 * LEASE)
  t.same([one.ran, two.ran], [['a 1'], []])
  t.equal(one.signals[0]!.aborted, false)
  one.gate.resolve()
  await one.app.jobs.idle()
})

test('after the wall clock was set back, a lease is no longer than it should be', async (t, file) => {
  const time = new ManualClock()
  const [one] = [await processOf(file, time), await processOf(file, time)]
  await one!.app.jobs.enqueue('held', 'a')
  await time.advance(1000)
  time.jump(-60 * 60 * 1000)
  await time.advance(LEASE)
  for (const { lease_until: until } of file.rows('workers')) t.ok(until <= time.now() + LEASE, 'renewed by the new time')
  one!.gate.resolve()
})

test('a wall clock that was set back leaves no jobs with the dead', async (t, file) => {
  const time = new ManualClock()
  const [one, two, three] = [await processOf(file, time), await processOf(file, time), await processOf(file, time)]
  for (const { app } of [two, three]) app.jobs.pause()
  await one.app.jobs.enqueue('held', 'a')
  await time.advance(1000)
  one.clock.stop()
  time.jump(-60 * 60 * 1000)
  await time.advance(1000)
  t.same([...two.ran, ...three.ran], [])
  for (const { app } of [two, three]) app.jobs.resume()
  await time.advance(2 * LEASE)
  t.same([...two.ran, ...three.ran], ['a 1'])
  one.clock.continue()
  for (const { gate } of [one, two, three]) gate.resolve()
})

test('what a process still holds when it closes is anybody’s at once', async (t, file) => {
  const time = new ManualClock()
  const one = await file.app({ shutdown: { timeout: 100 } })
  const never = deferred()
  one.jobs.define('stubborn', async () => { await never.promise })
  await one.ready()
  const { id } = await one.jobs.enqueue('stubborn', 1)
  await turns(20)
  await one.close()
  t.match(file.rows('jobs'), [{ id, place: 0, stalls: 0 }])
  t.same(file.rows('workers'), [])
  never.resolve()
  t.ok(time)
})

test('a backend that is closed while its consumer wants more takes nothing with it', async (t, file) => {
  const backend = sqlite({ path: file.path })
  const app = await buildApp(t, { backend, queues: { default: { concurrency: 1 } }, shutdown: { timeout: 100 } })
  const never = deferred()
  app.jobs.define('stubborn', async () => { await never.promise })
  await app.ready()
  await app.jobs.enqueueMany([1, 2, 3].map((payload) => ({ job: 'stubborn', payload })))
  await turns(20)
  await backend.close()
  t.match(file.rows('queues'), [{ active: 0, fresh: 2, returned: 1 }])
  t.same(file.rows('jobs').map(({ place }) => place), [0, 0, 0])
  never.resolve()
})

test('jobs of queues that nobody has here are reaped, too', async (t, file) => {
  const time = new ManualClock()
  const one = await file.app({ queues: { other: {}, default: {} }, clock: time, backend: { lease: LEASE } })
  await one.ready()
  file.connect().exec(`
    INSERT INTO fastify_jobs_queues (name, active) VALUES ('foreign', 1);
    INSERT INTO fastify_jobs_workers VALUES (5, 1);
    INSERT INTO fastify_jobs_jobs (queue, place, line, position, id, name, payload, attempt, enqueued_at, rank, started)
      SELECT queue, 2, 0, 5, 'x', 'work', '1', 1, 1, 1, 1 FROM fastify_jobs_queues WHERE name = 'foreign'`)
  await time.advance(500)
  t.match(file.rows('jobs'), [{ place: 0, line: 0, rank: 0, stalls: 1, started: 0 }])
  t.match(file.rows('queues').find(({ name }) => name === 'foreign'), { active: 0, returned: 1 })
  t.equal(await one.jobs.get('x'), undefined, 'it is another app’s')
  t.equal(await one.jobs.cancel('x'), false)
})

for (const first of ['one', 'two']) {
  test(`a lock that outlasts the lease takes no jobs away from the living: ${first} meets it first`, async (t, file) => {
    const time = new ManualClock()
    const one = await processOf(file, time)
    const two = await processOf(file, time)
    const { id } = await one.app.jobs.enqueue('held', 'a')
    await time.advance(1000)
    const holder = one.ran.length === 1 ? one : two
    const other = file.connect()
    other.exec('BEGIN IMMEDIATE')
    const [early, late] = first === 'one' ? [one, two] : [two, one]
    const pending = [early.app.jobs.enqueue('work', 1)]
    await time.advance(7)
    pending.push(late.app.jobs.enqueue('work', 2))
    for (const enqueue of pending) enqueue.catch(() => {})
    await time.advance(LEASE * 2 + 1)
    other.exec('COMMIT')
    await time.advance(LEASE / 2)
    t.same([...one.ran, ...two.ran].filter((payload) => payload === 'a 1'), ['a 1'])
    t.equal(holder.signals[0]!.aborted, false)
    holder.gate.resolve()
    await time.advance(100)
    t.match(await one.app.jobs.get(id), { state: 'succeeded' })
  })
}
