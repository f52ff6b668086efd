import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { Capabilities } from '../../lib/backends/index.ts'
import { memory, type Backend } from '../../lib/index.ts'
import { buildApp, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

const schema = { type: 'object', required: ['day'], properties: { day: { type: 'string' } } } as const

async function appWithJob (t: Test): Promise<FastifyInstance> {
  const app = await buildApp(t, { clock: new ManualClock(), queues: { mail: {}, json: { backend: memory({ serialize: true }) } } })
  app.jobs.define('work', async () => {})
  app.jobs.define('report', { queue: 'mail', schema }, async () => {})
  return app
}

const wrong: [what: string, rule: unknown, job: unknown, options: unknown, message: RegExp][] = [
  ['an unknown job', { every: 1000 }, 'nothing', {}, /schedule 'bad': there is no job 'nothing'; define the job before its schedule/],
  ['no job', { every: 1000 }, undefined, {}, /the job must be a name, a definition or a function of this app, got undefined/],
  ['every and cron', { every: 1000, cron: '* * * * *' }, 'work', {}, /schedule 'bad': the rule must have 'every' or 'cron', not both/],
  ['neither every nor cron', {}, 'work', {}, /it has neither/],
  ['no rule', null, 'work', {}, /schedule 'bad': the rule must be { every } or { cron, timezone }, got null/],
  ['a rule that is a string', '* * * * *', 'work', {}, /got string/],
  ['another member of a rule', { evry: 5 }, 'work', {}, /rule of schedule 'bad': unknown option 'evry'/],
  ['every under 1 ms', { every: 0.9 }, 'work', {}, /option 'every' must be .*, got 0.9/],
  ['every of 0', { every: 0 }, 'work', {}, /option 'every' must be >= 1, got 0/],
  ['a negative every', { every: -1000 }, 'work', {}, /got -1000/],
  ['every of more than a century', { every: 1e16 }, 'work', {}, /option 'every' must be <= /],
  ['a rule that is an array', [{ every: 1000 }], 'work', {}, /the rule must be .*, got array/],
  ['a jitter of more than a century', { every: 1000 }, 'work', { jitter: 1e300 }, /option 'jitter'/],
  ['a time beyond the last Date', { cron: '* * * * *' }, 'work', { startAt: 9e15 }, /option 'startAt' is an invalid Date/],
  ['every that is no number', { every: NaN }, 'work', {}, /got NaN/],
  ['every with a time zone', { every: 1000, timezone: 'UTC' }, 'work', {}, /'timezone' goes with 'cron'/],
  ['a date that never comes', { cron: '0 0 30 2 *' }, 'work', {}, /schedule 'bad': the cron pattern '0 0 30 2 \*' in time zone 'UTC' cannot be used: it never comes/],
  ['one field', { cron: '*/0' }, 'work', {}, /'\*\/0' .*five fields, or six with seconds, not 1/],
  ['a step of 0', { cron: '*/0 * * * *' }, 'work', {}, /'\*\/0' has a wrong step: write 1 to 60/],
  ['a minute of 60', { cron: '60 * * * *' }, 'work', {}, /schedule 'bad': the cron pattern '60 \* \* \* \*' in time zone 'UTC' cannot be used: '60' is not a minute: write 0 to 59/],
  ['a day of 32', { cron: '0 0 32 * *' }, 'work', {}, /: '32' is not a day of the month: write 1 to 31/],
  ['letters', { cron: 'a b c d e' }, 'work', {}, /: 'a' is not a minute: write 0 to 59/],
  ['an empty pattern', { cron: '' }, 'work', {}, /five fields/],
  ['a pattern of 100 kB', { cron: `${'1,'.repeat(50_000)}1 * * * *` }, 'work', {}, /has 100009 characters, more than 256/],
  ['an unknown time zone', { cron: '* * * * *', timezone: 'Mars/Olympus' }, 'work', {}, /: 'Mars\/Olympus' is not a time zone/],
  ['an empty time zone', { cron: '* * * * *', timezone: '' }, 'work', {}, /option 'timezone'/],
  ['an unknown option', { every: 1000 }, 'work', { overlp: 'skip' }, /unknown option 'overlp'/],
  ['a wrong overlap', { every: 1000 }, 'work', { overlap: 'wait' }, /option 'overlap' .*skip, allow/],
  ['a wrong missed', { every: 1000 }, 'work', { missed: 'runAll' }, /option 'missed' .*skip, runOnce/],
  ['a negative jitter', { every: 1000 }, 'work', { jitter: -1 }, /option 'jitter'/],
  ['an invalid date', { every: 1000 }, 'work', { startAt: new Date('nonsense') }, /option 'startAt' is an invalid Date/],
  ['an end before the start', { every: 1000 }, 'work', { startAt: 2, endAt: 1 }, /'endAt' is before 'startAt'/],
  ['a payload that does not fit', { every: 1000 }, 'report', { payload: {} }, /schedule 'bad': its payload cannot be used: .*day/],
  ['no payload where one is needed', { every: 1000 }, 'report', {}, /schedule 'bad': its payload cannot be used/],
  ['a payload that cannot be copied', { every: 1000 }, 'work', { payload: { fn () {} } }, /its payload cannot be used: .*cloned/],
  ['a queue for a defined job', { every: 1000 }, 'work', { queue: 'mail' }, /option 'queue' is for inline functions; job 'work' runs in queue 'default'/],
  ['a payload for an inline function', { every: 1000 }, () => {}, { payload: 1 }, /'payload' is for defined jobs/]
]

/** The least of some tries: a busy machine makes any of them long. */
function shortest (call: () => void): number {
  let least = Infinity
  for (let tries = 0; tries < 10 && least >= 50; tries++) {
    const before = performance.now()
    try { call() } catch { /* As it should. */ }
    least = Math.min(least, performance.now() - before)
  }
  return least
}

t.test('bad input fails at registration, at once, with the reason', async (t) => {
  const app = await appWithJob(t)
  for (const [what, rule, job, options, message] of wrong) {
    const register = () => app.jobs.schedule('bad', rule as never, job as never, options as never)
    t.throws(register, { code: 'FST_JOBS_INVALID_OPTIONS', message }, what)
    t.ok(shortest(register) < 50, `${what}: under 50 ms`)
  }
  t.same(app.jobs.schedules.list(), [])
})

t.test('names of schedules', async (t) => {
  const app = await appWithJob(t)
  for (const name of ['', 'a b', 'a@b', 'ä', 'x'.repeat(65), 5, null]) {
    t.throws(() => app.jobs.schedule(name as string, { every: 1000 }, 'work'), { code: 'FST_JOBS_INVALID_OPTIONS', message: /schedule name: it must have 1 to 64 letters/ })
  }
  app.jobs.schedule('nightly-clean.up_2', { every: 1000 }, 'work')
  t.throws(() => app.jobs.schedule('nightly-clean.up_2', { every: 1000 }, 'work'), { code: 'FST_JOBS_INVALID_OPTIONS', message: /schedule 'nightly-clean.up_2': there is one of that name already/ })
})

t.test("a definition of another app is none of this app's", async (t) => {
  const [app, other] = [await appWithJob(t), await buildApp(t)]
  const foreign = other.jobs.define('foreign', async () => {})
  t.throws(() => app.jobs.schedule('bad', { every: 1000 }, foreign), { code: 'FST_JOBS_INVALID_OPTIONS', message: /got object; define the job before/ })
  const own = app.jobs.define('own', async () => {})
  app.jobs.schedule('good', { every: 1000 }, own)
  t.match(app.jobs.schedules.list(), [{ name: 'good', job: 'own', queue: 'default' }])
})

t.test('schedules are registered before ready', async (t) => {
  const app = await appWithJob(t)
  await app.ready()
  t.throws(() => app.jobs.schedule('late', { every: 1000 }, 'work'), { code: 'FST_JOBS_INVALID_OPTIONS', message: /schedule 'late': it came after 'ready'/ })
})

t.test('an inline function runs in the queue that is named', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { mail: {} } })
  const seen: string[] = []
  app.jobs.schedule('inline', { every: 1000 }, async ({ job }) => { seen.push(job.queue) }, { queue: 'mail' })
  await app.ready()
  t.match(app.jobs.schedules.list(), [{ job: 'delegate', queue: 'mail' }])
  await clock.advance(1000)
  t.same(seen, ['mail'])
})

t.test('an inline function needs a queue that is there, and a backend that takes functions', async (t) => {
  const app = await appWithJob(t)
  t.throws(() => app.jobs.schedule('bad', { every: 1000 }, async () => {}, { queue: 'nowhere' }), { code: 'FST_JOBS_UNKNOWN_QUEUE' })
  t.throws(() => app.jobs.schedule('bad', { every: 1000 }, async () => {}, { queue: 'json' }), { code: 'FST_JOBS_NOT_SERIALIZABLE', message: /'bad'/ })
})

t.test('what a backend cannot do is said at registration', async (t) => {
  const lacking = (lack: Partial<Capabilities>): Backend => {
    const backend = memory()
    return Object.assign(backend, { name: 'poor', capabilities: { ...backend.capabilities, ...lack } })
  }
  const cases: [Partial<Capabilities>, object, RegExp?][] = [
    [{ unique: false }, {}, /'poor' of queue 'default' does not support schedules: it has no unique keys/],
    [{ inspect: false }, {}, /overlap: 'skip'/],
    [{ inspect: false }, { overlap: 'allow' }],
    [{ delay: false }, { jitter: 5 }, /'jitter'/],
    [{ delay: false }, {}],
    [{ priority: false }, { priority: 5 }, /'priority'/],
    [{ priority: false }, {}]
  ]
  for (const [lack, options, message] of cases) {
    const app = await buildApp(t, { backend: lacking(lack) })
    app.jobs.define('work', async () => {})
    const register = () => app.jobs.schedule('poor', { every: 1000 }, 'work', options)
    if (message === undefined) t.doesNotThrow(register)
    else t.throws(register, { code: 'FST_JOBS_NOT_SUPPORTED', message })
  }
})

t.test('handlers and hooks see which tick it is', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const seen: unknown[] = []
  app.jobs.define('work', async (_payload, { job }) => { seen.push(job.schedule) })
  app.jobs.addHook('onSuccess', ({ schedule }) => { seen.push(schedule) })
  app.jobs.schedule('tick', { every: 1000 }, 'work')
  await app.ready()
  const at = clock.now() + 1000
  await clock.advance(1000)
  await app.jobs.enqueue('work', 1)
  await turns()
  t.same(seen, [{ name: 'tick', at }, { name: 'tick', at }, undefined, undefined])
})

/** How often croner asks for the local time of a time zone while `call` runs: several times for each tick that it finds. */
async function lookups (t: Test, call: () => unknown): Promise<number> {
  const { prototype } = Intl.DateTimeFormat
  const { formatToParts } = prototype
  let count = 0
  prototype.formatToParts = function (...args) {
    count++
    return formatToParts.apply(this, args)
  }
  t.teardown(() => { prototype.formatToParts = formatToParts })
  await call()
  prototype.formatToParts = formatToParts
  return count
}

t.test('equal cron patterns share: their next tick is found once, and the start knows it', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { capacity: 1000 } } })
  let runs = 0
  app.jobs.define('work', async () => { runs++ })
  const schedule = (name: string, cron: string) => lookups(t, () => app.jobs.schedule(name, { cron, timezone: 'Europe/Berlin' }, 'work'))
  const one = await schedule('first', '0 * * * *')
  t.ok(one > 0)
  for (let n = 0; n < 20; n++) t.equal(await schedule(`equal-${n}`, '0 * * * *'), 0)
  t.ok(await schedule('other', '30 * * * *') > 0)
  t.equal(await lookups(t, () => app.ready()), 0)
  const ofATick = await lookups(t, () => clock.advance(3_600_000))
  t.ok(ofATick <= 4 * one, `${ofATick} for two patterns, ${one} for one tick`)
  t.equal(runs, 22)
  const { timezone, cron, nextRun } = app.jobs.schedules.list()[5]!
  t.same({ timezone, cron, nextRun }, { timezone: 'Europe/Berlin', cron: '0 * * * *', nextRun: clock.epoch + 7_200_000 })
})

t.test('equal patterns in two time zones, or with other bounds, have ticks of their own', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  app.jobs.define('work', async () => {})
  const cron = '0 12 * * *'
  app.jobs.schedule('utc', { cron }, 'work')
  app.jobs.schedule('berlin', { cron, timezone: 'Europe/Berlin' }, 'work')
  app.jobs.schedule('later', { cron }, 'work', { startAt: clock.now() + 86_400_000 })
  app.jobs.schedule('ended', { cron }, 'work', { endAt: clock.now() + 1000 })
  await app.ready()
  t.same(app.jobs.schedules.list().map(({ nextRun }) => nextRun && (nextRun - clock.epoch) / 3_600_000), [12, 11, 36, undefined])
})
