import { Cron } from 'croner'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { memory, type BackgroundJobsOptions, type ScheduleOptions, type ScheduleRule } from '../../lib/index.ts'
import { buildApp, deferred, logTo, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { parseExposition } from '../helpers/prometheus.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

interface Run { readonly at: number, readonly ranAt: number }

interface Scheduled {
  readonly app: FastifyInstance
  readonly clock: ManualClock
  readonly runs: Run[]
  readonly lines: any[]
  /** Minutes since the start, of every tick that ran. */
  minutes (): number[]
}

/** A ready app with one schedule, 'tick', whose handler notes when it ran. */
async function scheduled (t: Test, rule: ScheduleRule, options: ScheduleOptions = {}, settings: BackgroundJobsOptions = {}, handler?: () => unknown): Promise<Scheduled> {
  const clock = new ManualClock()
  const runs: Run[] = []
  const lines: any[] = []
  const app = await buildApp(t, { clock, ...settings }, logTo(lines, 'warn'))
  app.jobs.define('work', async (_payload, { job }) => {
    runs.push({ at: job.schedule!.at, ranAt: clock.now() })
    await handler?.()
  })
  app.jobs.schedule('tick', rule, 'work', options)
  await app.ready()
  const start = clock.now()
  return { app, clock, runs, lines, minutes: () => runs.map(({ at }) => (at - start) / MINUTE) }
}

async function metric (app: FastifyInstance, name: string): Promise<number | undefined> {
  return parseExposition((await app.inject('/metrics')).body).value(`jobs_schedule_${name}`, { schedule: 'tick' })
}

t.test('an hour of ticks a second apart has no error, whatever a run takes', async (t) => {
  let took = 0
  const { app, clock, runs } = await scheduled(t, { every: SECOND }, { overlap: 'allow' }, {}, () => new Promise<void>((resolve) => {
    // A run takes up to some seconds: runs overlap, and end at odd times.
    clock.setTimeout(resolve, (took = (took * 7 + 331) % 3000))
  }))
  const start = clock.now()
  await clock.advance(HOUR)
  t.equal(runs.length, 3600)
  t.same(runs.filter(({ at, ranAt }, index) => at !== start + (index + 1) * SECOND || ranAt !== at), [])
  const closed = app.close()
  await clock.advance(3 * SECOND)
  await closed
})

t.test('timers that fire late do not move the ticks after them', async (t) => {
  const { clock, runs } = await scheduled(t, { every: SECOND })
  const start = clock.now()
  for (let n = 0; n < 50; n++) await clock.sleep(1000 + (n * 37) % 900)
  await clock.advance(SECOND)
  t.equal(runs.every(({ at }) => (at - start) % SECOND === 0), true)
  t.equal(runs.every(({ at, ranAt }) => ranAt - at < SECOND), true)
})

t.test('a cron schedule ticks in its time zone', async (t) => {
  const { clock, runs } = await scheduled(t, { cron: '30 2 * * *', timezone: 'Europe/Berlin' })
  await clock.advance(3 * DAY)
  t.same(runs.map(({ ranAt }) => new Date(ranAt).toISOString()), ['2026-01-01T01:30:00.000Z', '2026-01-02T01:30:00.000Z', '2026-01-03T01:30:00.000Z'])
})

t.test('a tick waits for no slot: the job knows when it was due', async (t) => {
  const { app, clock, runs } = await scheduled(t, { every: MINUTE })
  const start = clock.now()
  app.jobs.pause()
  await clock.advance(MINUTE + 5 * SECOND)
  app.jobs.resume()
  await turns()
  t.same(runs, [{ at: start + MINUTE, ranAt: start + MINUTE + 5 * SECOND }])
})

t.test("overlap 'skip' leaves out ticks while a run is unfinished", async (t) => {
  const gates = [deferred(), deferred()]
  let run = 0
  const { app, clock, minutes } = await scheduled(t, { every: MINUTE }, {}, {}, () => gates[run++]?.promise)
  await clock.advance(3 * MINUTE)
  t.same(minutes(), [1])
  t.equal(await metric(app, 'skipped_total'), 2)
  gates[0]!.resolve()
  await clock.advance(2 * MINUTE)
  t.same(minutes(), [1, 4], 'a tick later the next one runs, and holds back the one after it')
  gates[1]!.resolve()
  await clock.advance(MINUTE)
  t.same(minutes(), [1, 4, 6])
  t.equal(await metric(app, 'ticks_total'), 3)
  t.equal(await metric(app, 'skipped_total'), 3)
  t.equal(await metric(app, 'missed_total'), 0)
})

t.test('a run that waits for its retry is unfinished, too', async (t) => {
  let attempts = 0
  const { clock, minutes } = await scheduled(t, { every: MINUTE }, {}, { retry: { backoff: () => 150 * SECOND } }, () => {
    if (attempts++ === 0) throw new Error('at first')
  })
  await clock.advance(5 * MINUTE)
  t.same(minutes(), [1, 1, 4, 5], 'tick 1 is retried at 3:30, ticks 2 and 3 are left out')
})

t.test('a tick asks about the run before, and no more about those that have finished', async (t) => {
  const backend = memory()
  const { find } = backend
  let questions = 0
  const asked = Object.assign(backend, { find: (id: string) => { questions++; return find!.call(backend, id) } })
  const { clock } = await scheduled(t, { every: MINUTE }, {}, { backend: asked })
  await clock.advance(20 * MINUTE)
  t.equal(questions, 19)
})

t.test("overlap 'allow' enqueues every tick", async (t) => {
  const gate = deferred()
  t.teardown(() => gate.resolve())
  const { clock, minutes } = await scheduled(t, { every: MINUTE }, { overlap: 'allow' }, {}, () => gate.promise)
  await clock.advance(3 * MINUTE)
  t.same(minutes(), [1, 2, 3])
  gate.resolve()
})

t.test('a job that somebody runs by hand holds the next ticks back as well, and forgets no earlier run', async (t) => {
  const gates = [deferred(), deferred()]
  let run = 0
  const { app, clock, runs } = await scheduled(t, { every: MINUTE }, {}, {}, () => gates[run++]?.promise)
  await clock.advance(MINUTE)
  const { id, status } = await app.jobs.schedules.run('tick')
  t.equal(status, 'enqueued')
  await turns()
  t.equal(runs.length, 2, 'it runs although the tick before is unfinished')
  t.match(await app.jobs.get(id), { state: 'active' })
  t.match(app.jobs.schedules.list(), [{ lastJobId: id }])
  gates[1]!.resolve()
  await clock.advance(MINUTE)
  t.equal(runs.length, 2, 'the first run is unfinished')
  gates[0]!.resolve()
  await clock.advance(MINUTE)
  t.equal(runs.length, 3)
})

t.test('a process that slept makes up for nothing by default', async (t) => {
  const { app, clock, minutes, lines } = await scheduled(t, { every: 10 * MINUTE })
  await clock.advance(10 * MINUTE)
  await clock.sleep(35 * MINUTE)
  t.same(minutes(), [10], 'the tick of minute 40 is five minutes late')
  t.equal(await metric(app, 'missed_total'), 3)
  t.match(lines, [{ schedule: 'tick', missed: 3 }])
  await clock.advance(5 * MINUTE)
  t.same(minutes(), [10, 50])
})

t.test("missed 'runOnce' runs one job for all that a process missed while it slept", async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: 10 * MINUTE }, { missed: 'runOnce' })
  await clock.advance(10 * MINUTE)
  await clock.sleep(35 * MINUTE)
  t.same(minutes(), [10, 40])
  t.equal(await metric(app, 'missed_total'), 2)
  await clock.advance(5 * MINUTE)
  t.same(minutes(), [10, 40, 50])
})

t.test('a tick that is up to a minute late has not been missed', async (t) => {
  const { clock, minutes } = await scheduled(t, { every: 10 * MINUTE })
  await clock.sleep(11 * MINUTE)
  t.same(minutes(), [10])
  await clock.advance(8 * MINUTE)
  await clock.sleep(2 * MINUTE + 1)
  t.same(minutes(), [10], 'a minute and a millisecond is too late')
})

for (const rule of [{ every: MINUTE }, { every: 10 * SECOND }, { cron: '* * * * *' }, { every: HOUR }, { cron: '0 * * * *' }] as ScheduleRule[]) {
  const interval = rule.every ?? (rule.cron === '0 * * * *' ? HOUR : MINUTE)
  for (const missed of ['skip', 'runOnce'] as const) {
    t.test(`a clock set by -1 h or +1 d: no burst and no silent hour with ${JSON.stringify(rule)}, missed '${missed}'`, async (t) => {
      for (const jump of [-HOUR, DAY, -HOUR - 7 * SECOND, DAY + 61 * SECOND, -DAY]) {
        const real: number[] = []
        const { clock } = await scheduled(t, rule, { missed }, {}, () => { real.push(clock.monotonic()) })
        await clock.advance(2.25 * HOUR)
        const before = real.length
        clock.jump(jump)
        const jumpedAt = clock.monotonic()
        await clock.advance(3 * HOUR)
        t.equal(before, Math.floor(2.25 * HOUR / interval))
        const gaps = real.slice(1).map((time, index) => time - real[index]!)
        t.ok(Math.max(...gaps) <= interval + 11 * SECOND, `${jump}: the longest pause was ${Math.max(...gaps)} ms`)
        const extra = real.filter((time) => time > jumpedAt && time < jumpedAt + Math.min(interval, MINUTE)).length
        t.ok(extra <= Math.max(1, MINUTE / interval) + 1, `${jump}: ${extra} runs right after it`)
        t.ok(Math.abs(real.length - before - 3 * HOUR / interval) <= 2, `${jump}: ${real.length - before} runs in the three hours after it`)
      }
    })
  }
}

t.test('a clock that is set back by up to a minute repeats no tick', async (t) => {
  const { clock, minutes } = await scheduled(t, { every: MINUTE })
  await clock.advance(5 * MINUTE + SECOND)
  clock.jump(-MINUTE)
  await clock.advance(2 * MINUTE)
  t.same(minutes(), [1, 2, 3, 4, 5, 6])
})

t.test('jitter delays each job by a part of it', async (t) => {
  const { clock, runs } = await scheduled(t, { every: MINUTE }, { jitter: 10 * SECOND })
  await clock.advance(20 * MINUTE + 10 * SECOND)
  const delays = runs.map(({ at, ranAt }) => ranAt - at)
  t.equal(runs.length, 20)
  t.ok(delays.every((delay) => delay >= 0 && delay <= 10 * SECOND), String(delays))
  t.ok(new Set(delays).size > 5, 'at random')
})

t.test('startAt is the first tick, and the start that every counts from; endAt the last', async (t) => {
  const epoch = new ManualClock().now()
  const { app, clock, minutes } = await scheduled(t, { every: MINUTE }, { startAt: new Date(epoch + 2.5 * MINUTE), endAt: epoch + 4.5 * MINUTE })
  t.equal(app.jobs.schedules.list()[0]!.nextRun, epoch + 2.5 * MINUTE)
  await clock.advance(HOUR)
  t.same(minutes(), [2.5, 3.5, 4.5])
  t.equal(app.jobs.schedules.list()[0]!.nextRun, undefined)
})

t.test('a startAt in the past is where every counts from', async (t) => {
  const { clock, minutes } = await scheduled(t, { every: MINUTE }, { startAt: new ManualClock().now() - 10.25 * MINUTE })
  await clock.advance(3 * MINUTE)
  t.same(minutes(), [0.75, 1.75, 2.75])
})

t.test('immediate runs a job when the app starts, beside the ticks', async (t) => {
  const { clock, minutes } = await scheduled(t, { every: MINUTE }, { immediate: true })
  await clock.advance(2 * MINUTE)
  t.same(minutes(), [0, 1, 2])
})

t.test('immediate stands for the latest tick of a cron pattern', async (t) => {
  const { runs } = await scheduled(t, { cron: '0 2 * * *' }, { immediate: true })
  await turns()
  t.same(runs.map(({ at }) => new Date(at).toISOString()), ['2025-12-31T02:00:00.000Z'])
})

t.test('immediate stands for startAt where no tick has been yet', async (t) => {
  const now = new ManualClock().now()
  const { runs } = await scheduled(t, { cron: '0 2 * * *' }, { immediate: true, startAt: now - MINUTE })
  await turns()
  t.same(runs, [{ at: now - MINUTE, ranAt: now }])
})

t.test('immediate keeps to startAt and endAt', async (t) => {
  const now = new ManualClock().now()
  for (const options of [{ startAt: now + MINUTE }, { endAt: now - MINUTE }]) {
    const { runs } = await scheduled(t, { every: HOUR }, { immediate: true, ...options })
    await turns()
    t.same(runs, [])
  }
})

t.test('a tick that finds the queue full is tried again until the next one comes', async (t) => {
  const { app, clock, minutes, lines } = await scheduled(t, { every: 5 * MINUTE }, {}, { queues: { default: { capacity: 1, fullMode: 'reject' } } })
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(5 * MINUTE)
  t.match(lines, [{ schedule: 'tick', msg: 'a tick could not be enqueued, it is tried again', err: { code: 'FST_JOBS_QUEUE_FULL' } }])
  await clock.advance(4 * SECOND)
  t.equal(await metric(app, 'failed_total'), 1, 'not at once')
  await clock.advance(6 * SECOND)
  t.equal(await metric(app, 'failed_total'), 3)
  app.jobs.resume()
  await clock.advance(10 * SECOND)
  t.same(minutes(), [5], 'it ran as soon as there was room')
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(8 * MINUTE)
  app.jobs.resume()
  await clock.advance(10 * SECOND)
  t.same(minutes(), [5, 10], 'however late')
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(7 * MINUTE)
  app.jobs.resume()
  await clock.advance(10 * SECOND)
  t.same(minutes(), [5, 10, 20], 'the one of minute 15 has been overtaken')
  t.equal(await metric(app, 'missed_total'), 1)
})

t.test('a tick that cannot be enqueued is logged once for each reason, and counted at every try', async (t) => {
  const backend = memory()
  let reason = 'down'
  const broken = Object.assign(backend, { offer: () => undefined, enqueue: async () => { throw new Error(reason) } })
  const { app, clock, lines } = await scheduled(t, { every: 5 * MINUTE }, {}, { backend: broken })
  const logged = (): string[] => lines.filter(({ err }) => err !== undefined).map(({ err }) => err.message)
  await clock.advance(6 * MINUTE)
  reason = 'full'
  await clock.advance(MINUTE)
  t.same(logged(), ['down', 'full'])
  t.equal(await metric(app, 'failed_total'), 25)
  await clock.advance(4 * MINUTE)
  t.same(logged(), ['down', 'full', 'full'], 'the next tick is another one')
})

t.test("with missed 'runOnce' a tick that finds the queue full is tried until it is enqueued", async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: 30 * MINUTE }, { missed: 'runOnce' }, { queues: { default: { capacity: 1, fullMode: 'reject' } } })
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(50 * MINUTE)
  app.jobs.resume()
  await clock.advance(15 * SECOND)
  t.same(minutes(), [30])
  t.equal(await metric(app, 'missed_total'), 0)
})

t.test('a tick that waits for a retry is not forgotten when the clock is set back', async (t) => {
  const { app, clock, runs } = await scheduled(t, { every: 5 * MINUTE }, {}, { queues: { default: { capacity: 1, fullMode: 'reject' } } })
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(5 * MINUTE)
  clock.jump(-HOUR)
  app.jobs.resume()
  await clock.advance(5 * MINUTE + 10 * SECOND)
  t.equal(runs.length, 1)
})

t.test('an immediate run that finds the queue full is tried again', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { capacity: 1, fullMode: 'reject' } } })
  let runs = 0
  app.jobs.schedule('tick', { every: HOUR }, async () => { runs++ }, { immediate: true })
  app.jobs.schedule('nightly', { cron: '0 2 * * *' }, async () => { runs++ }, { immediate: true })
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  app.jobs.pause()
  await app.ready()
  await turns()
  app.jobs.resume()
  await clock.advance(10 * SECOND)
  t.equal(runs, 2)
})

t.test('ticks that come while an enqueue waits for room are missed, not piled up', async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: MINUTE }, { overlap: 'allow' }, { queues: { default: { capacity: 1, concurrency: 1 } } })
  app.jobs.pause()
  await clock.advance(5 * MINUTE)
  app.jobs.resume()
  await turns()
  await clock.advance(MINUTE)
  t.same(minutes(), [1, 2, 5, 6], 'tick 2 waited for room; 5 was still in time then')
  t.equal(await metric(app, 'missed_total'), 2)
})

t.test('while it is paused no tick comes, and none is made up for', async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: MINUTE }, { missed: 'runOnce' })
  await clock.advance(MINUTE)
  app.jobs.schedules.pause('tick')
  t.match(app.jobs.schedules.list(), [{ name: 'tick', paused: true, nextRun: undefined }])
  await clock.advance(3.5 * MINUTE)
  app.jobs.schedules.resume('tick')
  app.jobs.schedules.resume('tick')
  t.match(app.jobs.schedules.list(), [{ paused: false, nextRun: clock.now() + 0.5 * MINUTE }])
  await clock.advance(MINUTE)
  t.same(minutes(), [1, 5])
  t.equal(await metric(app, 'missed_total'), 0)
})

t.test('to resume a schedule that was not paused changes nothing', async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: MINUTE })
  await clock.advance(0.5 * MINUTE)
  app.jobs.schedules.resume('tick')
  await clock.advance(0.5 * MINUTE)
  t.same(minutes(), [1])
})

t.test('every job gets a copy of the payload', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const seen: unknown[] = []
  const payload = { list: [1] }
  app.jobs.define('work', async (given: any) => { seen.push(structuredClone(given)); given.list.push(2) })
  app.jobs.schedule('tick', { every: MINUTE }, 'work', { payload })
  await app.ready()
  payload.list.push(3)
  await clock.advance(2 * MINUTE)
  t.same(seen, [{ list: [1] }, { list: [1] }])
})

t.test('a tick that a full queue drops has failed, and is no run', async (t) => {
  const { app, clock } = await scheduled(t, { every: MINUTE }, {}, { queues: { default: { capacity: 1, fullMode: 'dropWrite' } } })
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(MINUTE)
  t.match(await app.jobs.schedules.run('tick'), { status: 'dropped' })
  t.match(app.jobs.schedules.list(), [{ lastRun: undefined, lastJobId: undefined }])
  t.equal(await metric(app, 'failed_total'), 1)
  t.equal(await metric(app, 'ticks_total'), 0)
})

t.test('a run that waits in a paused queue is unfinished, too', async (t) => {
  const { app, clock } = await scheduled(t, { every: MINUTE })
  app.jobs.pause()
  await clock.advance(3 * MINUTE)
  t.equal(await metric(app, 'ticks_total'), 1)
  t.equal(await metric(app, 'skipped_total'), 2)
})

t.test('a clock that was set back by more than a minute runs ticks again, those and no others as new jobs', async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: MINUTE })
  await clock.advance(10 * MINUTE)
  clock.jump(-3 * MINUTE)
  await clock.advance(5 * MINUTE)
  t.same(minutes().slice(-5), [8, 9, 10, 11, 12])
  t.same(await Promise.all(['10', '11'].map(async (minute) => (await app.jobs.get(`tick@2026-01-01T00:${minute}:00.000Z.rymgyy~1`)) !== undefined)), [true, false])
})

t.test('a clock that is set to just before a tick does not make it late', async (t) => {
  const { clock, runs } = await scheduled(t, { every: HOUR })
  await clock.advance(30 * MINUTE)
  clock.jump(DAY + 29 * MINUTE + 55 * SECOND)
  await clock.advance(10 * SECOND)
  t.equal(runs.length, 1)
  t.ok(runs[0]!.ranAt - runs[0]!.at <= 5 * SECOND)
})

t.test('a tick whose enqueue fails after the clock was set back comes again, and once', async (t) => {
  const backend = memory()
  const failing = deferred()
  const { offer } = backend
  const broken = Object.assign(backend, { offer: () => undefined, enqueue: async () => failing.promise as never })
  const { clock, minutes } = await scheduled(t, { every: 5 * MINUTE }, {}, { backend: broken })
  await clock.advance(5 * MINUTE)
  clock.jump(-HOUR)
  failing.reject(new Error('connection lost'))
  broken.offer = offer as never
  await clock.advance(5 * MINUTE + 10 * SECOND)
  t.same(minutes(), [-50])
})

t.test('an enqueue that fails after a pause does not make its ticks come', async (t) => {
  const backend = memory()
  const failing = deferred()
  const broken = Object.assign(backend, { offer: () => undefined, enqueue: async () => failing.promise as never })
  const { app, clock, runs } = await scheduled(t, { every: MINUTE }, { missed: 'runOnce' }, { backend: broken })
  await clock.advance(MINUTE)
  app.jobs.schedules.pause('tick')
  await clock.advance(20 * MINUTE)
  app.jobs.schedules.resume('tick')
  failing.reject(new Error('connection lost'))
  await clock.advance(30 * SECOND)
  t.equal(runs.length, 0)
  t.equal(await metric(app, 'missed_total'), 0)
})

t.test('a logger that throws stops no schedule', async (t) => {
  const { app, clock, minutes } = await scheduled(t, { every: 10 * MINUTE })
  const { warn } = app.log
  Object.getPrototypeOf(app.log).warn = app.log.warn = () => { throw new Error('disk full') }
  t.teardown(() => { app.log.warn = warn })
  await clock.sleep(25 * MINUTE)
  await clock.advance(10 * MINUTE)
  t.same(minutes(), [30])
})

t.test('priority is that of an enqueue', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { concurrency: 1 } } })
  const order: string[] = []
  app.jobs.schedule('low', { every: MINUTE }, async () => { order.push('low') }, { priority: -1 })
  app.jobs.schedule('high', { every: MINUTE }, async () => { order.push('high') }, { priority: 1 })
  await app.ready()
  app.jobs.pause()
  await clock.advance(MINUTE)
  app.jobs.resume()
  await turns()
  t.same(order, ['high', 'low'])
  app.jobs.pause()
  for (const name of ['low', 'high']) await app.jobs.schedules.run(name)
  app.jobs.resume()
  await turns()
  t.same(order, ['high', 'low', 'high', 'low'])
})

t.test('status and metrics tell the next and the last run, and the last success', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  app.jobs.define('work', { attempts: 1 }, async () => { if (clock.monotonic() > MINUTE) throw new Error('the second one fails') })
  app.jobs.schedule('tick', { every: MINUTE }, 'work')
  app.jobs.schedule('nightly', { cron: '0 2 * * *', timezone: 'America/New_York' }, 'work')
  const status = async () => (await app.inject('/jobs/status')).json().schedules
  t.match(await status(), { tick: { job: 'work', queue: 'default', every: 60_000, paused: false, nextRun: '2026-01-01T00:01:00.000Z', lastRun: undefined } })
  t.equal(await metric(app, 'last_success_timestamp_seconds'), undefined)
  await clock.advance(2 * MINUTE)
  t.strictSame(await status(), {
    tick: {
      job: 'work',
      queue: 'default',
      every: 60_000,
      paused: false,
      nextRun: '2026-01-01T00:03:00.000Z',
      lastRun: '2026-01-01T00:02:00.000Z',
      lastJobId: 'tick@2026-01-01T00:02:00.000Z.rymgyy',
      lastSuccess: '2026-01-01T00:01:00.000Z'
    },
    nightly: { job: 'work', queue: 'default', cron: '0 2 * * *', timezone: 'America/New_York', paused: false, nextRun: '2026-01-01T07:00:00.000Z' }
  })
  t.match((await app.inject('/jobs/tick@2026-01-01T00:02:00.000Z.rymgyy')).json(), { state: 'dead', error: 'the second one fails' })
  t.equal(await metric(app, 'last_success_timestamp_seconds'), Date.UTC(2026, 0, 1, 0, 1) / 1000)
  t.equal(await metric(app, 'ticks_total'), 2)
})

t.test('nothing ticks once the app stops, and no timer is left', async (t) => {
  const { app, clock, runs } = await scheduled(t, { every: MINUTE })
  await app.close()
  t.equal(clock.pending, 0)
  await clock.advance(HOUR)
  t.same(runs, [])
  await t.rejects(app.jobs.schedules.run('tick'), { code: 'FST_JOBS_STOPPING' })
})

t.test('a tick that waits for room when the app stops is no failure', async (t) => {
  const { app, clock, lines } = await scheduled(t, { every: MINUTE }, {}, { queues: { default: { capacity: 1, concurrency: 1 } } })
  app.jobs.pause()
  await app.jobs.enqueue(async () => {}, { name: 'other' })
  await clock.advance(MINUTE)
  await app.close()
  t.same(lines.filter(({ schedule }) => schedule !== undefined), [])
})

t.test('a backend that cannot be asked about the run before counts as a tick that could not be enqueued', async (t) => {
  const backend = memory()
  const { find } = backend
  let down = false
  const broken = Object.assign(backend, { find: (id: string) => { if (down) throw new Error('down'); return find!.call(backend, id) } })
  const { clock, minutes, lines } = await scheduled(t, { every: MINUTE }, {}, { backend: broken })
  await clock.advance(MINUTE)
  down = true
  await clock.advance(MINUTE)
  t.match(lines, [{ err: { message: 'down' } }])
  down = false
  await clock.advance(10 * SECOND)
  t.same(minutes(), [1, 2])
})

t.test('the interval is the time between the last tick and the next one, or between the next two', async (t) => {
  const { app, clock } = await scheduled(t, { every: MINUTE }, { startAt: Date.parse('2026-01-01T00:10:00Z') })
  const interval = (): Promise<number | undefined> => metric(app, 'interval_seconds')
  t.equal(await interval(), 60, 'before the first tick')
  await clock.advance(HOUR)
  t.equal(await interval(), 60)
  app.jobs.schedules.pause('tick')
  t.equal(await interval(), undefined, 'while it is paused none comes')
  app.jobs.schedules.resume('tick')
  t.equal(await interval(), 60)
})

t.test('a cron schedule has the interval that applies now', async (t) => {
  // From a Thursday on.
  const { app, clock } = await scheduled(t, { cron: '0 9 * * MON-FRI' })
  const found: unknown[] = []
  for (let day = 0; day < 6; day++) {
    found.push(await metric(app, 'interval_seconds'))
    await clock.advance(DAY)
  }
  t.same(found.map((seconds) => Number(seconds) * SECOND / DAY), [1, 1, 3, 3, 3, 1])
})

/** How often croner looked back for ticks since the call. */
function searches (t: Test): () => number {
  const { previousRuns } = Cron.prototype
  t.teardown(() => { Cron.prototype.previousRuns = previousRuns })
  let count = 0
  Cron.prototype.previousRuns = function (...given) {
    count++
    return previousRuns.apply(this, given)
  }
  return () => count
}

t.test('schedules of one cron pattern look for their interval once, before the first tick; the ticks tell it from then on', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  app.jobs.define('work', async () => {})
  for (const name of ['tick', 'second', 'third']) app.jobs.schedule(name, { cron: '0 9 * * MON-FRI' }, 'work')
  await app.ready()
  const searched = searches(t)
  const days = async (): Promise<number> => Number(await metric(app, 'interval_seconds')) * SECOND / DAY
  for (let scrape = 0; scrape < 3; scrape++) t.equal(await days(), 1)
  t.equal(searched(), 1)
  const found: number[] = []
  for (let day = 0; day < 6; day++) {
    await clock.advance(DAY)
    found.push(await days())
  }
  t.same(found, [1, 3, 3, 3, 1, 1], 'from a Thursday on')
  t.equal(searched(), 1)
})

t.test('a tick that cannot be enqueued leaves the interval as it was', async (t) => {
  const backend = memory()
  const { find } = backend
  let down = false
  const broken = Object.assign(backend, { find: (id: string) => { if (down) throw new Error('down'); return find!.call(backend, id) } })
  const { app, clock } = await scheduled(t, { cron: '0 9 * * MON-FRI' }, {}, { backend: broken })
  const days = async (): Promise<number> => Number(await metric(app, 'interval_seconds')) * SECOND / DAY
  await clock.advance(DAY)
  t.equal(await days(), 1, 'from Thursday to Friday')
  const searched = searches(t)
  down = true
  await clock.advance(9 * HOUR)
  t.equal(await metric(app, 'failed_total'), 1)
  t.equal(await days(), 1, 'the tick of Friday is due')
  t.equal(searched(), 0)
  down = false
  await clock.advance(MINUTE)
  t.equal(await days(), 3, 'it came')
})

t.test('where no tick comes any more, or never two, there is no interval', async (t) => {
  const at = Date.parse('2026-01-01T00:10:00Z')
  const { app, clock } = await scheduled(t, { every: HOUR }, { startAt: at, endAt: at })
  const interval = (): Promise<number | undefined> => metric(app, 'interval_seconds')
  t.equal(await interval(), undefined, 'one tick is to come')
  await clock.advance(HOUR)
  t.equal(await metric(app, 'ticks_total'), 1)
  t.equal(await interval(), undefined, 'none is to come')
})

t.test('before the start and after the stop there is no interval', async (t) => {
  const app = await buildApp(t, { clock: new ManualClock() })
  app.jobs.define('work', async () => {})
  app.jobs.schedule('tick', { every: MINUTE }, 'work')
  const { registry } = app.jobs.metrics!
  const interval = async (): Promise<number | undefined> => parseExposition(await registry.metrics()).value('jobs_schedule_interval_seconds')
  t.equal(await interval(), undefined)
  await app.ready()
  t.equal(await interval(), 60)
})
