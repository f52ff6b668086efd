import t from 'tap'
import { buildApp, logTo } from './helpers/app.ts'
import { ManualClock } from './helpers/clock.ts'
import { leased } from './helpers/durable.ts'
import { parseExposition } from './helpers/prometheus.ts'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

t.test('a job of an unknown name is handed back for 30 seconds, counted as no failure, and dead after a day', async (t) => {
  const clock = new ManualClock()
  const { backend, store, outcomes } = leased()
  const app = await buildApp(t, { backend, clock, queues: { default: { concurrency: 1 } } })
  await store({ id: 'new', name: 'newer', payload: 1, enqueuedAt: clock.now() })
  const enqueuedAt = clock.now()
  await app.ready()
  await clock.advance(0)
  t.same(outcomes, [{ type: 'released', runAt: enqueuedAt + 30_000 }])
  t.match(await app.jobs.get('new'), { state: 'delayed', attempt: 0, runAt: enqueuedAt + 30_000 })
  await clock.advance(DAY - 1)
  t.equal(outcomes.length, 2880)
  t.ok(outcomes.every(({ type }) => type === 'released'))
  await clock.advance(1)
  t.match(await app.jobs.get('new'), { state: 'dead', error: { code: 'FST_JOBS_UNKNOWN_JOB' } })
  t.match((await app.inject('/health/ready')).json(), { status: 'healthy' })
})

t.test('the wait counts from when the job fell due', async (t) => {
  const clock = new ManualClock()
  const { backend, store, outcomes } = leased()
  const app = await buildApp(t, { backend, clock, unknownJobs: { retryAfter: 1000, giveUpAfter: 5000 } })
  const now = clock.now()
  await store({ id: 'old but due now', name: 'newer', payload: 1, enqueuedAt: now - DAY, options: { runAt: now } })
  await store({ id: 'old', name: 'newer', payload: 1, enqueuedAt: now - DAY })
  await app.ready()
  await clock.advance(4999)
  t.match(await app.jobs.get('old'), { state: 'dead' })
  t.match(await app.jobs.get('old but due now'), { state: 'delayed' })
  await clock.advance(1)
  t.match(await app.jobs.get('old but due now'), { state: 'dead' })
  t.equal(outcomes.filter(({ type }) => type === 'released').length, 5)
})

t.test('a name is logged once a minute, however many jobs have it', async (t) => {
  const clock = new ManualClock()
  const lines: any[] = []
  const { backend, store } = leased()
  const app = await buildApp(t, { backend, clock, unknownJobs: { retryAfter: 10_000 } }, logTo(lines, 'warn'))
  for (const name of ['a', 'b']) for (let n = 0; n < 50; n++) await store({ id: `${name}${n}`, name, payload: 'secret', enqueuedAt: clock.now() })
  await app.ready()
  await clock.advance(50_000)
  t.match(lines, [{ level: 40, jobName: 'a', queue: 'default', reason: /no job 'a'/, retryAfter: 10_000 }, { jobName: 'b' }])
  t.equal(lines.length, 2)
  await clock.advance(10_000)
  t.equal(lines.length, 4)
  t.notMatch(JSON.stringify(lines), /secret/)
})

t.test('the names that are remembered for the log are bounded', async (t) => {
  const clock = new ManualClock()
  const lines: any[] = []
  const { backend, store } = leased()
  const app = await buildApp(t, { backend, clock, queues: { default: { capacity: 2000 } }, unknownJobs: { retryAfter: 10_000 } }, logTo(lines, 'warn'))
  for (let n = 0; n < 1001; n++) await store({ id: `${n}`, name: `name ${n}`, payload: null, enqueuedAt: clock.now() })
  await app.ready()
  await app.jobs.idle()
  t.equal(lines.length, 1001)
  await clock.advance(10_000)
  t.ok(lines.length > 1001, 'names that were forgotten are logged again')
})

t.test('a job of a newer version is handed back, and counted and told when it is given up on', async (t) => {
  const clock = new ManualClock()
  const { backend, store, outcomes, also } = leased()
  const app = await buildApp(t, { backend, clock, unknownJobs: { retryAfter: 1000, giveUpAfter: 2000 } })
  const told: string[] = []
  app.jobs.define('work', { version: 2 }, async () => t.fail('it ran'))
  app.jobs.addHook('onDeadLetter', (_job, error) => { told.push(error.message) })
  // What another version thinks of stalls is its own affair.
  Object.assign(also, { stalls: 99 })
  await store({ id: 'new', name: 'work', payload: 1, enqueuedAt: clock.now(), options: { version: 3 } })
  await app.ready()
  await clock.advance(1999)
  t.match(outcomes, [{ type: 'released' }, { type: 'released' }])
  await clock.advance(1)
  t.match(await app.jobs.get('new'), { state: 'dead', error: { code: 'FST_JOBS_UNKNOWN_JOB', message: /'work' has version 3, newer than version 2/ } })
  t.match(told, [/version 3/])
  const metrics = parseExposition((await app.inject('/metrics')).body)
  t.equal(metrics.value('jobs_dead_lettered_total', { job_name: 'work' }), 1)
  t.equal(metrics.value('jobs_started_total', { job_name: 'work' }), 0)
})

t.test('the options are checked', async (t) => {
  for (const unknownJobs of [{ retryAfter: 0 }, { giveUpAfter: -1 }, { forever: true }, 'ignore', true, 5]) {
    await t.rejects(buildApp(t, { unknownJobs: unknownJobs as never }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /unknownJobs/ })
  }
})
