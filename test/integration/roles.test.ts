import t from 'tap'
import { memory } from '../../lib/index.ts'
import { buildApp, logTo, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { durableMemory } from '../helpers/durable-memory.ts'
import { leased } from '../helpers/durable.ts'

const invalid = (message: RegExp) => ({ code: 'FST_JOBS_INVALID_OPTIONS', message })

t.test('one process enqueues, another one works: the handler of a declared job lives in the other', async (t) => {
  const store = durableMemory()
  const web = await buildApp(t, { backend: store.connect('roles'), work: false })
  const worker = await buildApp(t, { backend: store.connect('roles') })
  t.teardown(() => store.remove('roles'))
  const sendMail = web.jobs.declare('send-mail', { schema: { type: 'object', required: ['to'] } })
  const seen: unknown[] = []
  worker.jobs.define('send-mail', async (payload) => { seen.push(payload) })
  await Promise.all([web.ready(), worker.ready()])

  await t.rejects(web.jobs.enqueue('send-mail', {}), { code: 'FST_JOBS_INVALID_PAYLOAD' })
  await web.jobs.enqueue('send-mail', { to: 'ada' })
  await web.jobs.enqueue(sendMail, { to: 'eve' })
  await worker.jobs.idle()
  t.same(seen, [{ to: 'ada' }, { to: 'eve' }])
  t.match(await web.jobs.status(), { queues: { default: { concurrency: 0 } } })
  t.match(await worker.jobs.status(), { queues: { default: { concurrency: 10 } } })
})

t.test('what a declaration says of attempts and version travels with the job; an enqueue that says otherwise wins', async (t) => {
  const store = durableMemory()
  const web = await buildApp(t, { backend: store.connect('attempts'), work: false })
  const worker = await buildApp(t, { backend: store.connect('attempts'), retry: { backoff: { delay: 0 } } })
  t.teardown(() => store.remove('attempts'))
  web.jobs.declare('flaky', { attempts: 2, version: 2 })
  const attempts: string[] = []
  worker.jobs.define('flaky', { attempts: 5, version: 2 }, async (_payload, { job }) => {
    attempts.push(`${job.attempt} of ${job.attempts}`)
    throw new Error('no')
  })
  await Promise.all([web.ready(), worker.ready()])
  const { id } = await web.jobs.enqueue('flaky', {})
  await worker.jobs.idle({ delayed: true })
  await web.jobs.enqueue('flaky', {}, { attempts: 1 })
  await worker.jobs.idle({ delayed: true })
  t.same(attempts, ['1 of 2', '2 of 2', '1 of 1'])
  t.match(await web.jobs.get(id), { state: 'dead', attempts: 2 })
})

t.test('how often a declared job is tried is known only where the declaration or the enqueue says so', async (t) => {
  const { backend } = leased()
  const app = await buildApp(t, { backend, work: false })
  app.jobs.declare('elsewhere')
  await app.ready()
  const { id } = await app.jobs.enqueue('elsewhere', {})
  t.equal((await app.jobs.get(id))!.attempts, undefined)
  t.notOk('attempts' in (await app.inject(`/jobs/${id}`)).json())
  const { id: other } = await app.jobs.enqueue('elsewhere', {}, { attempts: 4 })
  t.match((await app.inject(`/jobs/${other}`)).json(), { attempts: 4 })
})

t.test('a process works on the queues that it names', async (t) => {
  const store = durableMemory()
  const queues = { mails: {}, reports: {} }
  const app = await buildApp(t, { backend: store.connect('named'), queues, work: ['mails'] })
  t.teardown(() => store.remove('named'))
  const seen: string[] = []
  app.jobs.define('mail', { queue: 'mails' }, async () => { seen.push('mail') })
  app.jobs.define('report', { queue: 'reports' }, async () => { seen.push('report') })
  await app.ready()
  await app.jobs.enqueue('report', {})
  await app.jobs.enqueue('mail', {})
  await turns(20)
  t.same(seen, ['mail'])
  t.match(await app.jobs.status(), { queues: { mails: { concurrency: 10, queueDepth: 0 }, reports: { concurrency: 0, queueDepth: 1 }, default: { concurrency: 0 } } })
})

t.test('a process that shares a queue hands a job back that it has only declared', async (t) => {
  const { backend, outcomes } = leased()
  const clock = new ManualClock()
  const lines: any[] = []
  const app = await buildApp(t, { backend, clock }, logTo(lines, 'warn'))
  app.jobs.declare('elsewhere')
  await app.ready()
  t.match(lines, [{ level: 40, jobs: ['elsewhere'], msg: /only declared here.*set option 'work'/ }])
  await app.jobs.enqueue('elsewhere', {})
  await turns()
  t.same(outcomes, [{ type: 'released', runAt: clock.now() + 30_000 }])
  t.match(lines[1], { reason: /'elsewhere' is only declared in this process/ })
})

t.test('a drain that empties the queues leaves those alone on which others work', async (t) => {
  const { backend } = leased()
  const app = await buildApp(t, { backend, work: false, shutdown: { mode: 'drainQueued' } })
  app.jobs.declare('elsewhere')
  await app.ready()
  await app.jobs.enqueue('elsewhere', {})
  await app.close()
  t.match(await app.jobs.status(), { isStopped: true })
})

t.test('a queue in memory on which nobody would work is refused', async (t) => {
  const refused = (options: object, message: RegExp) => t.rejects(buildApp(t, options), invalid(message))
  await refused({ queues: { mails: {} }, work: false }, /queue 'mails' lives in the memory.*durable backend, or let this process work on it/)
  await refused({ queues: { mails: {}, reports: {} }, work: ['mails'] }, /queue 'reports'/)
  await refused({ queues: { default: {} }, work: [] }, /queue 'default'/)
  await refused({ queues: { mails: {} }, work: 'mails' }, /'work'/)
  await t.rejects(buildApp(t, { queues: { mails: {} }, work: ['mail'] }), { code: 'FST_JOBS_UNKNOWN_QUEUE', message: /'mail'; the queues are: default, mails/ })
})

t.test("the queue 'default', which nobody asked for, is refused when something is to run in it", async (t) => {
  const { backend } = leased()
  const app = await buildApp(t, { queues: { mails: { backend } }, work: false })
  const refusal = invalid(/queue 'default' lives in the memory of this process/)
  t.throws(() => app.jobs.define('work', async () => {}), refusal)
  t.throws(() => app.jobs.schedule('tick', { every: 1000 }, async () => {}), refusal)
  await t.rejects(app.jobs.enqueue(async () => {}, { name: 'inline' }), refusal)
  t.throws(() => app.jobs.declare('elsewhere'), invalid(/declaration of job 'elsewhere': queue 'default' lives in the memory/))
  t.type(app.jobs.define('mail', { queue: 'mails' }, async () => {}), 'object')
})

t.test('a declaration is checked', async (t) => {
  const app = await buildApp(t, { queues: { mails: { backend: leased().backend } } })
  const declare = app.jobs.declare.bind(app.jobs) as (...args: unknown[]) => unknown
  t.throws(() => declare(5), invalid(/job name/))
  t.throws(() => declare('delegate', { queue: 'mails' }), invalid(/'delegate'/))
  t.throws(() => declare('mail', { queue: 'mails', timeout: 5 }), invalid(/declaration of job 'mail': unknown option 'timeout'/))
  t.throws(() => declare('mail', { queue: 'nowhere' }), { code: 'FST_JOBS_UNKNOWN_QUEUE' })
  declare('mail', { queue: 'mails' })
  t.throws(() => declare('mail', { queue: 'mails' }), invalid(/declared or defined already/))
  t.throws(() => app.jobs.define('mail', async () => {}), invalid(/declared or defined already/))
  await app.ready()
  t.throws(() => declare('late', { queue: 'mails' }), invalid(/came after 'ready'/))
})

t.test('schedules tick in every role', async (t) => {
  const { backend } = leased()
  const clock = new ManualClock()
  const app = await buildApp(t, { backend, clock, work: false })
  app.jobs.declare('report')
  app.jobs.schedule('hourly', { every: 3_600_000 }, 'report')
  await app.ready()
  await clock.advance(3_600_000)
  t.match(await app.jobs.status(), { queueDepth: 1 })
})

t.test('with schedules: false none ticks, and one may still be run by hand', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, schedules: false, backend: memory() })
  const seen: string[] = []
  app.jobs.define('report', async (_payload, { job }) => { seen.push(job.schedule!.name) })
  app.jobs.schedule('hourly', { every: 3_600_000, }, 'report', { immediate: true })
  await app.ready()
  t.throws(() => app.jobs.schedule('late', { every: 1000 }, 'report'), invalid(/came after 'ready'/))
  app.jobs.schedules.pause('hourly')
  app.jobs.schedules.resume('hourly')
  await clock.advance(10 * 3_600_000)
  t.same(seen, [])
  t.equal(app.jobs.schedules.list()[0]!.nextRun, undefined)
  await app.jobs.schedules.run('hourly')
  await app.jobs.idle()
  t.same(seen, ['hourly'])
})
