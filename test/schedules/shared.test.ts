import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type ScheduleOptions, type ScheduleRule } from '../../lib/index.ts'
import { TickNames } from '../../lib/schedules/tick-names.ts'
import { deferred, logTo } from '../helpers/app.ts'
import { ManualClock, SkewedClock } from '../helpers/clock.ts'
import { parseExposition } from '../helpers/prometheus.ts'
import { sharedStore, type SharedBackend } from '../helpers/shared.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

interface Instance extends SharedBackend {
  readonly app: FastifyInstance
  readonly clock: SkewedClock
}

interface Cluster {
  readonly clock: ManualClock
  readonly instances: readonly Instance[]
  /** The ticks that ran, in the order in which they did. */
  readonly ran: number[]
  /** Starts one more instance. */
  join (skew: number): Promise<Instance>
}

interface Settings {
  handler? (tick: number): unknown
  /** Finished jobs that the store remembers by id. */
  history?: number
  /** When it begins. */
  epoch?: number
}

/** Several instances of one app on one store, each with a clock that is wrong by its skew. */
async function cluster (t: Test, skews: readonly number[], rule: ScheduleRule, options: ScheduleOptions = {}, { handler, history, epoch }: Settings = {}): Promise<Cluster> {
  const clock = new ManualClock()
  clock.epoch = epoch ?? clock.epoch
  const store = sharedStore(clock)
  const instances: Instance[] = []
  const ran: number[] = []
  const join = async (skew: number): Promise<Instance> => {
    const app = Fastify()
    const shared = store.connect()
    const skewed = new SkewedClock(clock, skew)
    t.teardown(() => app.close())
    await app.register(backgroundJobs, {
      backend: shared.backend, clock: skewed, queues: { default: { history } }, shutdown: { timeout: 0 }
    })
    app.jobs.define('work', async (_payload, { job }) => {
      ran.push(job.schedule!.at)
      await handler?.(job.schedule!.at)
    })
    app.jobs.schedule('tick', rule, 'work', options)
    await app.ready()
    const instance = { app, clock: skewed, ...shared }
    instances.push(instance)
    return instance
  }
  for (const skew of skews) await join(skew)
  return { clock, instances, ran, join }
}

/** Without the tick at the very start, which an instance sees whose clock is behind. */
function sorted (clock: ManualClock, ran: readonly number[]): number[] {
  return [...ran].sort((a, b) => a - b).filter((tick) => tick > clock.epoch)
}

function expected (clock: ManualClock, interval: number, count: number): number[] {
  return Array.from({ length: count }, (_, n) => clock.epoch + (n + 1) * interval)
}

const SKEWS = [0, -4.3 * SECOND, 2.1 * SECOND, 7.9 * SECOND, -0.4 * SECOND]

t.test('five instances whose clocks are seconds apart run each of 100 ticks once', async (t) => {
  for (const [rule, interval] of [[{ every: SECOND }, SECOND], [{ every: MINUTE }, MINUTE], [{ cron: '*/5 * * * * *' }, 5 * SECOND]] as const) {
    const { clock, ran, instances } = await cluster(t, SKEWS.map((skew) => Math.min(skew, interval - 1)), rule, {}, { history: 0 })
    await clock.advance(100 * interval)
    // Those whose clocks are ahead begin with later ticks than the first, and end later.
    for (const { clock } of instances) clock.stop()
    t.equal(new Set(ran).size, ran.length, 'none twice')
    const due = expected(clock, interval, 100)
    t.same(due.filter((tick) => !ran.includes(tick)), [], 'none left out')
  }
})

t.test('the instances agree on the ticks of { every }, whenever each was started', async (t) => {
  const { clock, ran, join } = await cluster(t, [0], { every: MINUTE })
  await clock.advance(17.3 * SECOND)
  await join(0)
  await clock.advance(31.9 * SECOND)
  await join(0)
  await clock.advance(10 * MINUTE)
  t.same(ran, expected(clock, MINUTE, 10))
})

t.test('an instance that is killed leaves no tick out and repeats none', async (t) => {
  const { clock, ran, instances } = await cluster(t, SKEWS, { every: MINUTE })
  await clock.advance(30 * MINUTE + 9 * SECOND)
  for (const victim of [3, 0]) {
    instances[victim]!.kill()
    instances[victim]!.clock.stop()
    await clock.advance(35 * MINUTE)
  }
  t.same(sorted(clock, ran), expected(clock, MINUTE, 100))
})

t.test('an instance that is killed while it enqueues a tick, before or after the store had it', async (t) => {
  const { clock, ran, instances } = await cluster(t, [3 * SECOND, 0, -2 * SECOND], { every: MINUTE })
  await clock.advance(10 * MINUTE)
  const [first] = instances as [Instance]
  const { enqueue } = first.backend
  first.backend.enqueue = async (...args) => {
    if (clock.now() > clock.epoch + 11 * MINUTE) await enqueue.apply(first.backend, args)
    first.kill()
    return new Promise(() => {})
  }
  await clock.advance(10 * MINUTE)
  t.same(sorted(clock, ran), expected(clock, MINUTE, 20))
})

for (const missed of ['skip', 'runOnce'] as const) {
  for (const [rule, interval] of [[{ every: SECOND }, SECOND], [{ every: MINUTE }, MINUTE], [{ every: HOUR }, HOUR], [{ cron: '0 */3 * * *' }, 3 * HOUR]] as const) {
    t.test(`an instance that was stopped and continued repeats no tick: ${JSON.stringify(rule)}, missed '${missed}'`, async (t) => {
      const { clock, ran, instances } = await cluster(t, [0, 0.3 * SECOND, 0.7 * SECOND], rule, { missed })
      await clock.advance(3 * interval)
      for (const pause of [0.4 * interval, 1.6 * interval, 5.5 * interval]) {
        instances[1]!.clock.stop()
        await clock.advance(pause)
        instances[1]!.clock.continue()
        await clock.advance(interval)
      }
      t.equal(new Set(ran).size, ran.length, 'none twice')
      t.ok(ran.length >= 12)
    })
  }
}

t.test('a job of a millisecond keeps its tick taken for late instances, up to a minute', async (t) => {
  const { clock, ran } = await cluster(t, [0, -58 * SECOND], { every: SECOND }, {}, { history: 0 })
  await clock.advance(3 * MINUTE)
  t.equal(new Set(ran).size, ran.length)
})

t.test('an instance whose clock was set back agrees with the others again once its clock has passed where it was', async (t) => {
  const { clock, ran, instances } = await cluster(t, [0, 5 * MINUTE], { every: MINUTE })
  await clock.advance(10 * MINUTE)
  instances[1]!.clock.skew = 0
  await clock.advance(6 * MINUTE)
  ran.length = 0
  await clock.advance(20 * MINUTE)
  t.equal(new Set(ran).size, 20)
  t.equal(ran.length, 20, 'none twice')
})

t.test('ticks that come again since the clock was set back are run again, although the last one is remembered', async (t) => {
  const { clock, ran } = await cluster(t, [0], { every: MINUTE })
  await clock.advance(10 * MINUTE)
  const before = [...ran]
  t.same(before, expected(clock, MINUTE, 10))
  clock.jump(-90 * SECOND)
  await clock.advance(3 * MINUTE)
  t.same(ran.slice(10), [...before.slice(-2), before.at(-1)! + MINUTE])
})

t.test('an instance that joins after the clock was set back repeats no tick', async (t) => {
  const { clock, ran, join } = await cluster(t, [0], { every: MINUTE })
  await clock.advance(10 * MINUTE)
  clock.jump(-5 * MINUTE)
  await clock.advance(10 * MINUTE)
  await join(0)
  ran.length = 0
  await clock.advance(20 * MINUTE)
  t.equal(new Set(ran).size, 20)
  t.equal(ran.length, 20, 'none twice')
})

t.test('a tick stays taken for an instance that is late in both ways: behind, and stopped for a while', async (t) => {
  const { clock, ran, instances } = await cluster(t, [0, -3 * SECOND], { every: MINUTE }, {}, { history: 0 })
  await clock.advance(3 * MINUTE)
  instances[1]!.clock.stop()
  await clock.advance(62 * SECOND)
  instances[1]!.clock.continue()
  await clock.advance(2 * MINUTE)
  t.equal(new Set(ran).size, ran.length, 'none twice')
})

for (const late of [5 * HOUR, 24 * HOUR]) {
  t.test(`a daily tick stays taken for an instance that was stopped for ${late / HOUR} h, with missed 'runOnce'`, async (t) => {
    const { clock, ran, instances } = await cluster(t, [0, -3 * SECOND], { cron: '0 2 * * *' }, { missed: 'runOnce' }, { history: 0 })
    await clock.advance(2 * HOUR)
    instances[1]!.clock.stop()
    await clock.advance(late)
    instances[1]!.clock.continue()
    await clock.advance(2 * HOUR)
    t.equal(new Set(ran).size, ran.length, 'none twice')
  })
}

t.test("overlap 'skip' sees the runs of other instances", async (t) => {
  let running = 0
  let most = 0
  const gates = [deferred(), deferred(), deferred()]
  const started: number[] = []
  const { clock, instances } = await cluster(t, [0, 3 * SECOND, 6 * SECOND], { every: MINUTE }, {}, {
    handler: async (tick) => {
      most = Math.max(most, ++running)
      started.push(tick)
      await gates[started.length - 1]?.promise
      running--
    }
  })
  await clock.advance(3.5 * MINUTE)
  t.same(started, [clock.epoch + MINUTE])
  gates[0]!.resolve()
  await clock.advance(4 * MINUTE)
  t.equal(started.length, 2)
  gates[1]!.resolve()
  gates[2]!.resolve()
  await clock.advance(4 * MINUTE)
  t.equal(most, 1)
  t.ok(instances.every(({ app }) => app.jobs.schedules.list()[0]!.lastRun !== undefined), 'all know of the last run')
})

t.test("overlap 'skip' sees a run that began before this instance was there, and one that it had left to another", async (t) => {
  const gate = deferred()
  t.teardown(() => gate.resolve())
  const { clock, ran, join } = await cluster(t, [0], { every: MINUTE }, {}, { handler: () => gate.promise })
  await clock.advance(MINUTE)
  t.equal(ran.length, 1)
  const late = await join(0)
  await clock.advance(5 * MINUTE)
  t.equal(ran.length, 1)
  t.equal(late.app.jobs.schedules.list()[0]!.lastRun, clock.epoch + MINUTE)
  gate.resolve()
})

t.test("overlap 'skip' looks back over many ticks that were left out", async (t) => {
  const gate = deferred()
  t.teardown(() => gate.resolve())
  const { clock, ran, instances, join } = await cluster(t, [0, 0], { every: SECOND }, {}, { handler: () => gate.promise })
  await clock.advance(SECOND)
  instances[1]!.clock.stop()
  await clock.advance(90 * SECOND)
  instances[1]!.clock.continue()
  await join(0)
  await clock.advance(5 * SECOND)
  t.equal(ran.length, 1)
})

t.test('looking for the runs of others ends where this instance last knew of one', async (t) => {
  let gate = deferred()
  t.teardown(() => gate.resolve())
  const { clock, join } = await cluster(t, [0], { every: SECOND }, {}, { handler: () => gate.promise })
  await clock.advance(SECOND)
  const { backend } = await join(0)
  const { find } = backend
  let questions = 0
  backend.find = (id) => { questions++; return find!.call(backend, id) }
  await clock.advance(SECOND)
  t.equal(questions, 1, 'the first one is found at once')
  await clock.advance(9 * SECOND)
  t.equal(questions, 10, 'and asked for at every tick')
  const first = gate
  gate = deferred()
  gate.resolve()
  first.resolve()
  await clock.advance(SECOND)
  t.equal(questions, 11 + 10 + 1, 'then the ticks that both have left out, and whose the job is that the other one enqueued')
  await clock.advance(10 * SECOND)
  t.equal(questions, 22 + 2 * 10, 'the run before, and whose the job is')
})

t.test('every tick is counted by the instance that enqueued it, and by no other', async (t) => {
  const { clock, ran, instances } = await cluster(t, SKEWS, { every: MINUTE })
  await clock.advance(20 * MINUTE)
  const counts = await Promise.all(instances.map(async ({ app }) =>
    parseExposition((await app.inject('/metrics')).body).value('jobs_schedule_ticks_total', { schedule: 'tick' })!))
  t.equal(counts.reduce((sum, count) => sum + count), ran.length)
})

t.test('the tick of startAt that immediate stands for is one, too', async (t) => {
  const { clock, ran } = await cluster(t, [0, 0, 0], { cron: '0 2 * * *' }, { immediate: true, startAt: new ManualClock().now() - SECOND })
  await clock.advance(SECOND)
  t.equal(ran.length, 1)
})

t.test('an enqueue that waits for room in a durable queue does not hold up the close', async (t) => {
  const clock = new ManualClock()
  const { backend } = sharedStore(clock).connect()
  let gaveUp = false
  backend.enqueue = async (_queue, _jobs, { signal }) => {
    await new Promise((resolve) => signal!.addEventListener('abort', resolve))
    gaveUp = true
    throw signal!.reason
  }
  const app = Fastify()
  await app.register(backgroundJobs, { clock, backend })
  app.jobs.define('work', async () => {})
  app.jobs.schedule('tick', { every: MINUTE }, 'work')
  await app.ready()
  await clock.advance(MINUTE)
  await app.close()
  t.equal(gaveUp, true)
})

t.test('a rolling restart with immediate does not run again what has run', async (t) => {
  const { clock, ran, join, instances } = await cluster(t, [0], { every: HOUR }, { immediate: true })
  await clock.advance(SECOND)
  t.equal(ran.length, 1, 'the latest tick is run')
  await join(0)
  await instances[0]!.app.close()
  await clock.advance(HOUR)
  await join(0)
  await clock.advance(10 * MINUTE)
  t.equal(ran.length, 2)
})

t.test('deployments through a month run its tick once, though its key is over and its job forgotten', async (t) => {
  const firstOf = (month: number): number => Date.UTC(2026, month - 1)
  const { clock, ran, instances, join } = await cluster(t, [0], { cron: '0 0 1 * *' }, { immediate: true }, { epoch: firstOf(5) - MINUTE, history: 0 })
  await clock.advance(2 * MINUTE)
  t.same(ran, [firstOf(4), firstOf(5)], 'at its start it ran the latest one')
  for (const day of [3, 7, 10, 20, 29]) {
    await clock.sleep(Date.UTC(2026, 4, day, 12) - clock.now())
    const { app } = await join(0)
    await clock.advance(SECOND)
    await instances.at(-2)!.app.close()
    t.match(app.jobs.schedules.list(), [{ lastRun: firstOf(5) }], `May ${day}: it knows of the last run`)
  }
  t.same(ran, [firstOf(4), firstOf(5)])
  await clock.sleep(firstOf(6) - clock.now() + SECOND)
  t.same(ran, [firstOf(4), firstOf(5), firstOf(6)], 'the next one comes as ever')
})

t.test('a deployment whose rule has other ticks runs none of before the last one', async (t) => {
  const { clock, ran, instances } = await cluster(t, [0], { cron: '0 2 * * *' }, {}, { history: 0 })
  await clock.sleep(2 * HOUR)
  for (let day = 2; day <= 10; day++) await clock.sleep(DAY)
  t.equal(ran.length, 10)
  const { backend } = instances[0]!
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(backgroundJobs, { backend, clock, shutdown: { timeout: 0 } })
  app.jobs.define('work', async () => { t.fail('it ran') })
  app.jobs.schedule('tick', { cron: '0 0 1 * *' }, 'work', { immediate: true })
  await app.ready()
  await clock.advance(SECOND)
  const last = Date.UTC(2026, 0, 10, 2)
  t.match(app.jobs.schedules.list(), [{ lastRun: last, lastJobId: new TickNames('tick', 'default', 'work').idOf(last) }])
})

t.test('an instance whose clock is far behind repeats no tick', async (t) => {
  const { clock, ran } = await cluster(t, [0, -HOUR], { every: MINUTE }, {}, { history: 0 })
  await clock.advance(3 * HOUR)
  t.same(ran.filter((tick) => tick > clock.epoch), expected(clock, MINUTE, 180))
})

t.test('an instance whose clock is far ahead runs its ticks too early, and the others run them again', async (t) => {
  const { clock, ran } = await cluster(t, [0, 10 * MINUTE], { every: MINUTE }, {}, { history: 0 })
  await clock.advance(20 * MINUTE)
  const twice = ran.filter((tick, index) => ran.indexOf(tick) !== index)
  t.same(twice, expected(clock, MINUTE, 20).slice(10))
})

t.test('a clock that was a day ahead when a tick was enqueued does not keep the next ones from being run', async (t) => {
  const { clock, ran, instances, join } = await cluster(t, [DAY], { every: HOUR })
  await clock.advance(HOUR)
  t.same(ran, [clock.epoch + DAY + HOUR])
  await instances[0]!.app.close()
  ran.length = 0
  await join(0)
  await clock.advance(3 * HOUR)
  t.same(ran, expected(clock, HOUR, 4).slice(1))
})

t.test('a tick of which an earlier release has enqueued a job, whose id has no digest, is not run again', async (t) => {
  const { clock, ran, instances } = await cluster(t, [0], { every: HOUR }, { overlap: 'allow' }, { history: 0 })
  const { app, backend } = instances[0]!
  await clock.advance(30 * MINUTE)
  const at = clock.epoch + HOUR
  const id = 'tick@2026-01-01T01:00:00.000Z'
  await backend.enqueue('default', [{
    id,
    name: 'work',
    payload: null,
    attempt: 1,
    enqueuedAt: clock.now(),
    correlationId: undefined,
    options: { givenId: true, uniqueKey: `4:work:schedule:${id}`, uniqueFor: 2 * HOUR, schedule: { name: 'tick', at } }
  }], {})
  await clock.advance(40 * MINUTE)
  t.same(ran, [at])
  t.match(app.jobs.schedules.list(), [{ lastRun: at, lastJobId: id }])
})

/** An app on the store in which every one of these jobs is defined, and the schedule 'nightly' enqueues one of them. */
async function service (t: Test, clock: ManualClock, { backend }: SharedBackend, jobs: Record<string, string>, scheduled: string, ran: string[], lines: any[] = []): Promise<FastifyInstance> {
  const app = Fastify(logTo(lines))
  t.teardown(() => app.close())
  await app.register(backgroundJobs, { backend, clock, queues: { mail: { history: 0 }, default: { history: 0 } }, shutdown: { timeout: 0 } })
  for (const [name, queue] of Object.entries(jobs)) app.jobs.define(name, { queue }, async (_payload, { job }) => { ran.push(`${job.name} in ${job.queue}`) })
  app.jobs.schedule('nightly', { cron: '0 2 * * *' }, scheduled)
  await app.ready()
  return app
}

t.test('two services on one store run schedules of the same name, with other jobs or in other queues', async (t) => {
  const cases = [
    [['clean', { clean: 'default', report: 'default' }], ['report', { clean: 'default', report: 'default' }]],
    [['report', { report: 'default' }], ['report', { report: 'mail' }]]
  ] as const
  for (const [first, second] of cases) {
    const clock = new ManualClock()
    const store = sharedStore(clock)
    const ran: string[] = []
    const apps = [await service(t, clock, store.connect(), first[1], first[0], ran), await service(t, clock, store.connect(), second[1], second[0], ran)]
    await clock.advance(3 * HOUR)
    t.same(ran.sort(), [first, second].map(([job, jobs]) => `${job} in ${(jobs as Record<string, string>)[job]}`).sort())
    const ids = apps.map((app) => app.jobs.schedules.list()[0]!.lastJobId)
    t.equal(new Set(ids).size, 2)
  }
})

t.test('a tick whose id another job has is a failed one: it is logged once, counted, no run, and tried again', async (t) => {
  const clock = new ManualClock()
  const ran: string[] = []
  const lines: any[] = []
  const app = await service(t, clock, sharedStore(clock).connect(), { report: 'default', other: 'mail' }, 'report', ran, lines)
  const id = new TickNames('nightly', 'default', 'report').idOf(clock.epoch + 2 * HOUR)
  await app.jobs.enqueue('other', null, { id, delay: DAY })
  await clock.advance(2 * HOUR + 12 * SECOND)
  t.same(ran, [])
  t.match(lines, [{ schedule: 'nightly', tick: clock.epoch + 2 * HOUR, err: { code: 'FST_JOBS_TICK_TAKEN' }, msg: 'a tick could not be enqueued, it is tried again' }])
  t.equal(lines.length, 1)
  t.match(lines[0].err.message, `Schedule 'nightly' (job 'report', queue 'default') could not enqueue its job: the id '${id}' is that of job 'other' (queue 'mail')`)
  const failed = async () => parseExposition((await app.inject('/metrics')).body).value('jobs_schedule_failed_total', { schedule: 'nightly' })
  t.equal(await failed(), 3)
  t.match(app.jobs.schedules.list(), [{ lastRun: undefined, lastJobId: undefined }])
  await app.jobs.cancel(id)
  await clock.advance(5 * SECOND)
  t.same(ran, ['report in default'])
  t.match(app.jobs.schedules.list(), [{ lastRun: clock.epoch + 2 * HOUR, lastJobId: id }])
  t.equal(await failed(), 3)
})

t.test("a job of the schedule's that somebody enqueued by hand, with the unique key of a tick, stands for that tick", async (t) => {
  const { clock, ran, instances } = await cluster(t, [0], { every: HOUR })
  const { app } = instances[0]!
  await app.jobs.enqueue('work', null, { id: 'by-hand', uniqueKey: 'schedule:tick@2026-01-01T01:00:00.000Z', delay: DAY })
  await clock.advance(HOUR)
  t.same(ran, [])
  t.match(app.jobs.schedules.list(), [{ lastRun: clock.epoch + HOUR, lastJobId: 'by-hand' }])
})

t.test("another service's job that has the id of an earlier tick is no unfinished run of this schedule", async (t) => {
  const clock = new ManualClock()
  const ran: string[] = []
  const app = await service(t, clock, sharedStore(clock).connect(), { report: 'default', other: 'default' }, 'report', ran)
  await app.jobs.enqueue('other', null, { id: new TickNames('nightly', 'default', 'report').idOf(clock.epoch - 22 * HOUR), delay: DAY })
  await clock.advance(3 * HOUR)
  t.same(ran, ['report in default'])
})

t.test('where jobs cannot be looked for, the id tells whose the job is', async (t) => {
  for (const [answered, code] of [['tick@2026-01-01T00:01:00.000Z.rymgyy', undefined], ['some-other-id', 'FST_JOBS_TICK_TAKEN']] as const) {
    const clock = new ManualClock()
    const lines: any[] = []
    const { backend } = sharedStore(clock).connect()
    const blind = { ...backend, capabilities: { ...backend.capabilities, inspect: false }, find: undefined, enqueue: async () => [{ id: answered, status: 'duplicate' as const }] }
    const app = Fastify(logTo(lines))
    t.teardown(() => app.close())
    await app.register(backgroundJobs, { backend: blind as never, clock })
    app.jobs.define('work', async () => {})
    app.jobs.schedule('tick', { every: MINUTE }, 'work', { overlap: 'allow' })
    await app.ready()
    await clock.advance(MINUTE)
    t.equal(lines[0]?.err.code, code)
    t.equal(app.jobs.schedules.list()[0]!.lastRun, code === undefined ? clock.epoch + MINUTE : undefined)
  }
})

t.test('a startAt between two milliseconds is the earlier one: stores tell ticks apart by the millisecond', async (t) => {
  const epoch = new ManualClock().now()
  const { clock, ran } = await cluster(t, [0], { every: MINUTE }, { startAt: epoch + 1000.75 })
  await clock.advance(90 * SECOND)
  t.same(ran, [epoch + 1000, epoch + 61_000])
})

t.test('at random: instances come, go, stop, continue and have their clocks corrected', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const random = randomFrom(seed)
    const { clock, ran, instances, join } = await cluster(t, [0, 0.5 * SECOND, -0.5 * SECOND], { every: SECOND }, { overlap: random() < 0.5 ? 'allow' : 'skip' })
    const killed = new Set<Instance>()
    for (let step = 0; step < 60; step++) {
      await clock.advance(Math.floor(random() * 3 * SECOND))
      const one = instances[Math.floor(random() * instances.length)]!
      const what = random()
      // The first one lives: somebody has to see every tick.
      if (one === instances[0]) one.clock.skew = (random() - 0.5) * SECOND
      else if (what < 0.3) one.clock.stop()
      else if (what < 0.6) one.clock.continue()
      else if (what < 0.7) one.clock.skew = (random() - 0.5) * 20 * SECOND
      else if (what < 0.75 && !killed.has(one)) { one.kill(); one.clock.stop(); killed.add(one) } else if (what < 0.8) await join((random() - 0.5) * 10 * SECOND)
    }
    await clock.advance(MINUTE)
    t.equal(new Set(ran).size, ran.length, `seed ${seed}: none twice`)
    const seconds = Math.floor((clock.now() - clock.epoch) / SECOND) - 1
    t.ok(ran.length >= seconds * 0.9, `seed ${seed}: ${ran.length} of ${seconds}`)
  }
})

/** mulberry32. */
function randomFrom (seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
