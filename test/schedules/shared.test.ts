import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type ScheduleOptions, type ScheduleRule } from '../../lib/index.ts'
import { deferred } from '../helpers/app.ts'
import { ManualClock, SkewedClock } from '../helpers/clock.ts'
import { parseExposition } from '../helpers/prometheus.ts'
import { sharedStore, type SharedBackend } from '../helpers/shared.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

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
}

/** Several instances of one app on one store, each with a clock that is wrong by its skew. */
async function cluster (t: Test, skews: readonly number[], rule: ScheduleRule, options: ScheduleOptions = {}, { handler, history }: Settings = {}): Promise<Cluster> {
  const clock = new ManualClock()
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
  t.equal(questions, 11 + 10, 'then the ticks that both have left out')
  await clock.advance(10 * SECOND)
  t.equal(questions, 21 + 10)
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
