import t, { type Test } from 'tap'
import { asFunction } from 'awilix'
import Fastify, { type FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import backgroundJobs, { memory, type BackgroundJobsOptions, type JobContext } from '../lib/index.ts'
import { Lifecycle, type LifecycleContext } from '../lib/lifecycle.ts'
import type { Deliver, Delivery, Outcome } from '../types/backend.ts'
import { buildApp, deferred, logTo, now, turns } from './helpers/app.ts'
import { ManualClock } from './helpers/clock.ts'
import { leased } from './helpers/durable.ts'
import { parseExposition, type Exposition } from './helpers/prometheus.ts'

interface LogLine { readonly level: number, readonly msg: string, readonly [key: string]: unknown }

interface Observed {
  readonly app: FastifyInstance
  readonly clock: ManualClock
  readonly lines: LogLine[]
  /** What the metrics said after the drain. */
  metrics (): Exposition
}

/** An app whose clock stands still, whose log is kept, and whose last metrics can be read after close. */
async function observedApp (t: Test, options: BackgroundJobsOptions = {}): Promise<Observed> {
  const lines: LogLine[] = []
  const clock = new ManualClock()
  const registry = new Registry()
  const app = await buildApp(t, { clock, metrics: { registry }, ...options }, logTo(lines, 'warn'))
  let text = ''
  app.addHook('onClose', async () => { text = await registry.metrics() })
  return { app, clock, lines, metrics: () => parseExposition(text) }
}

function untilAborted ({ signal }: JobContext): Promise<never> {
  return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

t.test("mode 'drain' finishes what runs, and counts and names what never began", async (t) => {
  const { app, lines, metrics } = await observedApp(t, { queues: { default: { concurrency: 1 } } })
  const gate = deferred()
  const seen: string[] = []
  app.jobs.define('slow', async (payload: string) => { await gate.promise; seen.push(payload) })
  await app.ready()
  for (const payload of ['first', 'second', 'third']) await app.jobs.enqueue('slow', payload)
  await turns()
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  t.match(await app.jobs.status(), { isRunning: false, isStopping: true, isStopped: false, inFlight: 1, queueDepth: 2 })
  gate.resolve()
  await closing
  t.same(seen, ['first'])
  t.match(await app.jobs.status(), { isRunning: false, isStopping: false, isStopped: true })
  const labels = { queue: 'default', job_name: 'slow' }
  t.equal(metrics().value('jobs_succeeded_total', labels), 1)
  t.equal(metrics().value('jobs_discarded_total', labels), 2)
  t.match(lines.find(({ msg }) => msg.includes('discarded')), { queue: 'default', jobs: { slow: 2 } })
})

t.test("mode 'drainQueued' also runs what waits, and takes nothing new", async (t) => {
  const { app, lines, metrics } = await observedApp(t, { queues: { default: { concurrency: 1 } }, shutdown: { mode: 'drainQueued' } })
  const gate = deferred()
  const seen: string[] = []
  app.jobs.define('slow', async (payload: string) => { await gate.promise; seen.push(payload) })
  await app.ready()
  for (const payload of ['first', 'second', 'third']) await app.jobs.enqueue('slow', payload)
  await turns()
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  await t.rejects(app.jobs.enqueue('slow', 'late'), { code: 'FST_JOBS_STOPPING' })
  gate.resolve()
  await closing
  t.same(seen, ['first', 'second', 'third'])
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'slow' }), 0)
  t.same(lines, [])
})

for (const [mode, wrapped] of [['drain', false], ['drainQueued', false], ['drain', true]] as const) {
  t.test(`mode '${mode}': a handler whose ${wrapped ? 'wrapped ' : ''}enqueue is refused since the app stops is released, not failed, and does not run again here`, async (t) => {
    const backend = memory()
    const { app, lines, metrics } = await observedApp(t, { backend, shutdown: { mode } })
    const gate = deferred()
    let runs = 0
    app.jobs.define('child', async () => {})
    app.jobs.define('parent', { attempts: 1 }, async function () {
      runs++
      await gate.promise
      await this.jobs.enqueue('child', null).catch((error) => { throw wrapped ? new Error('no child', { cause: error }) : error })
    })
    await app.ready()
    const { id } = await app.jobs.enqueue('parent', null)
    await turns()
    const closing = app.close()
    await turns(20)
    gate.resolve()
    await closing
    t.equal(runs, 1)
    t.match(backend.find!(id), { attempt: 0, error: undefined })
    const labels = { job_name: 'parent' }
    t.same(['failed', 'dead_lettered', 'succeeded', 'discarded'].map((name) => metrics().value(`jobs_${name}_total`, labels)), [0, 0, 0, 1])
    t.match(lines.map(({ msg }) => msg), [/discarded/])
  })
}

t.test('an error of that code is a failure like any other while the app runs', async (t) => {
  const { app } = await observedApp(t)
  app.jobs.define('work', { attempts: 1 }, async () => { throw Object.assign(new Error('another app stops'), { code: 'FST_JOBS_STOPPING' }) })
  await app.ready()
  const { id } = await app.jobs.enqueue('work', null)
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'dead' })
})

t.test("mode 'drainQueued' gives up at the end of the budget, and says what was left", async (t) => {
  const { app, clock, metrics } = await observedApp(t, { queues: { default: { concurrency: 1 } }, shutdown: { mode: 'drainQueued', timeout: 1000 } })
  app.jobs.define('endless', async (_payload, context) => untilAborted(context))
  await app.ready()
  await app.jobs.enqueue('endless', 1)
  await app.jobs.enqueue('endless', 2)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(999)
  t.equal(await now(closing), 'pending')
  await clock.advance(1)
  await closing
  t.equal(metrics().value('jobs_started_total', { job_name: 'endless' }), 1)
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'endless' }), 2)
})

t.test("mode 'drainQueued' does not wait for jobs that no worker will ever run, when the app failed to start", async (t) => {
  const app = Fastify()
  await app.register(backgroundJobs, { clock: new ManualClock(), shutdown: { mode: 'drainQueued' } })
  app.jobs.define('never', async () => {})
  await app.jobs.enqueue('never', 1)
  app.register(async () => { throw new Error('no database') })
  await t.rejects(Promise.resolve(app.ready()), /no database/)
  await app.close()
  t.match(await app.jobs.status(), { isStopped: true })
})

t.test("mode 'stop' aborts every signal at once, before the drain", async (t) => {
  const { app, metrics } = await observedApp(t, { shutdown: { mode: 'stop' } })
  const reasons: unknown[] = []
  app.jobs.define('endless', async (_payload, context) => {
    context.signal.addEventListener('abort', () => reasons.push(context.signal.reason))
    await untilAborted(context)
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('endless', 1)
  await turns()
  await app.close()
  t.match(reasons, [{ code: 'FST_JOBS_STOPPING', statusCode: 503, message: new RegExp(id) }])
  t.equal(metrics().value('jobs_failed_total', { job_name: 'endless' }), 0)
})

t.test('past the budget signals abort; an attempt that is cut off is released and not a failure', async (t) => {
  const backend = memory()
  const { app, clock, metrics, lines } = await observedApp(t, { backend, shutdown: { timeout: 1000 } })
  app.jobs.define('endless', async (_payload, context) => untilAborted(context))
  await app.ready()
  const { id } = await app.jobs.enqueue('endless', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(999)
  t.equal(await now(closing), 'pending')
  await clock.advance(1)
  await closing
  const labels = { job_name: 'endless' }
  for (const name of ['failed', 'retried', 'dead_lettered', 'succeeded']) t.equal(metrics().value(`jobs_${name}_total`, labels), 0, name)
  t.equal(metrics().value('jobs_discarded_total', labels), 1)
  t.match(backend.find!(id), { state: 'waiting', attempt: 0 }, 'its attempt is not consumed')
  t.match(lines.map(({ msg }) => msg), [/discarded/])
  t.equal(clock.pending, 0, 'no timer is left')
})

t.test('a handler that ignores the signal is named in the log, and close goes on within a second', async (t) => {
  const { app, clock, lines, metrics } = await observedApp(t, { shutdown: { timeout: 1000 } })
  app.jobs.define('deaf', () => new Promise(() => {}))
  await app.ready()
  const { id } = await app.jobs.enqueue('deaf', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(1000)
  t.equal(await now(closing), 'pending')
  await clock.advance(1000)
  t.not(await now(closing), 'pending')
  t.match(lines.find(({ msg }) => msg.includes('ignored')), { jobId: id, jobName: 'deaf', interruption: 'stopping' })
  t.equal(metrics().value('jobs_failed_total', { job_name: 'deaf' }), 0)
  t.equal(clock.pending, 0)
})

t.test('what is stuck even then, in the disposal of its scope, is named by id', async (t) => {
  const { app, clock, lines } = await observedApp(t, { shutdown: { timeout: 1000 }, queues: { other: {} } })
  app.jobs.define('stuck', async (_payload, context) => {
    context.diScope.register({ thing: asFunction(() => ({})).scoped().disposer(() => new Promise<void>(() => {})) })
    context.diScope.resolve('thing')
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('stuck', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(2000)
  t.not(await now(closing), 'pending')
  t.match(lines.filter(({ msg }) => msg.includes('still running')), [{ level: 50, queue: 'default', jobs: [{ jobId: id, jobName: 'stuck' }] }])
})

t.test('a handler that finishes its work after the signal to stop has succeeded', async (t) => {
  const backend = memory()
  const { app, metrics } = await observedApp(t, { backend, shutdown: { mode: 'stop' } })
  app.jobs.define('polite', async (_payload, context) => { await untilAborted(context).catch(() => 'cleaned up') })
  await app.ready()
  const { id } = await app.jobs.enqueue('polite', 1)
  await turns()
  await app.close()
  t.equal(metrics().value('jobs_succeeded_total', { job_name: 'polite' }), 1)
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'polite' }), 0)
  t.match(backend.find!(id), { state: 'succeeded' })
})

t.test('producers that wait for room are released at once, before anything else of the close', async (t) => {
  const { app } = await observedApp(t, { queues: { default: { capacity: 1, concurrency: 1 } } })
  const gate = deferred()
  app.jobs.define('slow', () => gate.promise)
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  await app.jobs.enqueue('slow', 2)
  const waiting = [3, 4].map((payload) => app.jobs.enqueue('slow', payload))
  const closing = app.close()
  const refused = { code: 'FST_JOBS_STOPPING', statusCode: 503, headers: { 'retry-after': '5' } }
  for (const producer of waiting) await t.rejects(producer, refused)
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
})

t.test('an enqueue while stopping and after is refused, from a handler too, and counted', async (t) => {
  const { app, metrics } = await observedApp(t)
  const gate = deferred()
  const refused = { code: 'FST_JOBS_STOPPING', statusCode: 503, message: /'slow'/, headers: { 'retry-after': '5' } }
  app.jobs.define('slow', async function () {
    await gate.promise
    await t.rejects(this.jobs.enqueue('slow', 2), refused)
  })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await t.rejects(app.jobs.enqueue('slow', 2), refused)
  await t.rejects(app.jobs.enqueueMany([{ job: 'slow', payload: 2 }]), refused)
  await t.rejects(app.jobs.enqueue(async () => {}, { name: 'inline' }), { code: 'FST_JOBS_STOPPING' })
  gate.resolve()
  await closing
  t.equal(metrics().value('jobs_rejected_total', { job_name: 'slow' }), 3)
  t.equal(metrics().value('jobs_rejected_total', { job_name: 'delegate' }), 1)
  await t.rejects(app.jobs.enqueue('slow', 2), refused)
})

t.test('the budget is one for all queues', async (t) => {
  const { app, clock } = await observedApp(t, { queues: { a: {}, b: {}, c: {} }, shutdown: { timeout: 1000 } })
  for (const queue of ['a', 'b', 'c']) app.jobs.define(`endless-${queue}`, { queue }, async (_payload, context) => untilAborted(context))
  await app.ready()
  for (const queue of ['a', 'b', 'c']) await app.jobs.enqueue(`endless-${queue}`, 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(1000)
  t.not(await now(closing), 'pending')
})

t.test("the budget is counted from preClose, whatever other plugins' hooks take", async (t) => {
  const { app, clock } = await observedApp(t, { shutdown: { timeout: 1000 } })
  const gate = deferred()
  const reached = deferred()
  app.addHook('preClose', async () => { reached.resolve(); await gate.promise })
  app.jobs.define('endless', async (_payload, context) => untilAborted(context))
  await app.ready()
  await app.jobs.enqueue('endless', 1)
  await turns()
  const closing = app.close()
  await reached.promise
  await clock.advance(900)
  gate.resolve()
  t.equal(await now(closing), 'pending')
  await clock.advance(100)
  t.not(await now(closing), 'pending')
})

t.test('a budget that is used up before the drain, or zero, cuts off at once', async (t) => {
  const { app, clock } = await observedApp(t, { shutdown: { timeout: 0 } })
  app.jobs.define('endless', async (_payload, context) => untilAborted(context))
  await app.ready()
  await app.jobs.enqueue('endless', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(1)
  t.not(await now(closing), 'pending')
})

t.test('a budget longer than Node can time is not a budget of one millisecond', async (t) => {
  const { app, clock } = await observedApp(t, { shutdown: { timeout: Number.MAX_SAFE_INTEGER } })
  const gate = deferred()
  let aborted = false
  app.jobs.define('slow', async (_payload, { signal }) => { await gate.promise; aborted = signal.aborted })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(60_000)
  gate.resolve()
  await closing
  t.equal(aborted, false)
})

t.test("handlers still have another plugin's database while they drain, wherever it was registered", async (t) => {
  const gate = deferred()
  const database = { open: true }
  const app = Fastify()
  app.addHook('onClose', async () => { database.open = false })
  await app.register(backgroundJobs, { clock: new ManualClock() })
  app.register(async (child) => { child.addHook('onClose', async () => { database.open = false }) })
  app.addHook('onClose', async () => { database.open = false })
  app.addHook('preClose', async () => { setImmediate(gate.resolve) })
  let openAtTheEnd: boolean | undefined
  app.jobs.define('slow', async () => { await gate.promise; await turns(20); openAtTheEnd = database.open })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  await app.close()
  t.equal(openAtTheEnd, true)
  t.equal(database.open, false)
})

t.test("another plugin's throwing preClose does not skip the drain", async (t) => {
  const gate = deferred()
  const app = Fastify()
  app.addHook('preClose', async () => { setImmediate(gate.resolve); throw new Error('not my day') })
  await app.register(backgroundJobs, { clock: new ManualClock() })
  let finished = false
  app.jobs.define('slow', async () => { await gate.promise; await turns(20); finished = true })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  await Promise.resolve(app.close()).catch(() => {})
  t.equal(finished, true)
  t.match(await app.jobs.status(), { isStopped: true })
  await t.rejects(app.jobs.enqueue('slow', 2), { code: 'FST_JOBS_STOPPING' })
})

t.test('closing twice gives the same result', async (t) => {
  const { app, lines } = await observedApp(t)
  app.jobs.define('later', async () => {})
  await app.ready()
  await app.jobs.enqueue('later', 1, { delay: 60_000 })
  await Promise.all([app.close(), app.close()])
  await app.close()
  t.equal(lines.filter(({ msg }) => msg.includes('discarded')).length, 1)
  t.match(await app.jobs.status(), { isStopped: true })
})

t.test('an app can be closed before it was ready', async (t) => {
  const app = Fastify()
  app.register(backgroundJobs)
  await app.close()
  t.match(await app.jobs.status(), { isStopped: true, isRunning: false })
  await t.rejects(app.jobs.enqueue('anything', 1), { code: 'FST_JOBS_UNKNOWN_JOB' })
})

t.test('delayed jobs and inline functions that never began are discarded under names that were defined', async (t) => {
  const { app, clock, lines, metrics } = await observedApp(t)
  app.jobs.define('report', async () => {})
  await app.ready()
  await app.jobs.enqueue('report', 1, { delay: 60_000 })
  await app.jobs.enqueue(async () => {}, { name: 'inline', delay: 60_000 })
  await app.close()
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'report' }), 1)
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'delegate' }), 1)
  t.match(lines, [{ level: 40, queue: 'default', jobs: { report: 1, inline: 1 } }])
  t.equal(clock.pending, 0)
})

t.test("mode 'drainQueued' does not wait for what waits in a paused queue", async (t) => {
  const { app, metrics } = await observedApp(t, { queues: { default: { concurrency: 1 }, paused: {} }, shutdown: { mode: 'drainQueued' } })
  const gate = deferred()
  app.jobs.define('slow', () => gate.promise)
  app.jobs.define('held', { queue: 'paused' }, async () => {})
  await app.ready()
  app.jobs.pause('paused')
  await app.jobs.enqueue('held', 1)
  await app.jobs.enqueue('slow', 1)
  await app.jobs.enqueue('slow', 2)
  await turns()
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
  t.equal(metrics().value('jobs_succeeded_total', { job_name: 'slow' }), 2)
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'held' }), 1)
})

t.test("a queue that is paused while mode 'drainQueued' drains it is not waited for any longer", async (t) => {
  const { app, metrics } = await observedApp(t, { queues: { default: { concurrency: 1 } }, shutdown: { mode: 'drainQueued' } })
  const gate = deferred()
  app.jobs.define('slow', () => gate.promise)
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await app.jobs.enqueue('slow', 2)
  await turns()
  const closing = app.close()
  await turns(20)
  app.jobs.pause()
  gate.resolve()
  await closing
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'slow' }), 1)
})

t.test("mode 'drainQueued' does not wait for what other processes run", async (t) => {
  const backend = memory()
  const { stats } = backend
  const durable = Object.assign(backend, {
    capabilities: { ...backend.capabilities, durable: true },
    stats: async (queue: string) => ({ ...await stats.call(backend, queue), active: 1 })
  })
  const { app, clock } = await observedApp(t, { backend: durable, queues: { default: { concurrency: 1 } }, shutdown: { mode: 'drainQueued' } })
  const gate = deferred()
  let ran = 0
  app.jobs.define('slow', async () => { await gate.promise; ran++ })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await app.jobs.enqueue('slow', 2)
  await turns()
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  gate.resolve()
  for (let look = 0; look < 10; look++) await clock.advance(50)
  t.not(await now(closing), 'pending')
  t.equal(ran, 2)
})

t.test("mode 'drainQueued' runs what its backend has taken for it when the drain begins, though it takes its time to come", async (t) => {
  const backend = memory()
  const { consume } = backend
  const arrival = deferred()
  let stopped = false
  const durable = Object.assign(backend, {
    capabilities: { ...backend.capabilities, durable: true },
    consume: (queue: string, options: { concurrency: number }, deliver: Deliver) => {
      const consumer = consume.call(backend, queue, options, ((delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void) => {
        arrival.promise.then(() => stopped ? settle(delivery, { type: 'released' }) : deliver(delivery, settle))
      }) as unknown as Deliver)
      const stop = consumer.stop.bind(consumer)
      return Object.assign(consumer, {
        stop: () => {
          stopped = true
          return stop()
        }
      })
    }
  })
  const { app, clock } = await observedApp(t, { backend: durable, shutdown: { mode: 'drainQueued' } })
  let ran = 0
  app.jobs.define('work', async () => { ran++ })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await turns()
  const closing = app.close()
  await turns()
  await clock.advance(100)
  t.equal(await now(closing), 'pending')
  arrival.resolve()
  for (let look = 0; look < 10; look++) await clock.advance(50)
  t.not(await now(closing), 'pending')
  t.equal(ran, 1)
})

t.test("mode 'drainQueued' runs what waits in one backend though another one is out of reach", async (t) => {
  const away = Object.assign(memory(), { stats: async () => { throw new Error('out of reach') } })
  const { app, lines, metrics } = await observedApp(t, { queues: { default: { concurrency: 1 }, away: { backend: away } }, shutdown: { mode: 'drainQueued' } })
  const gate = deferred()
  app.jobs.define('slow', () => gate.promise)
  await app.ready()
  for (const payload of [1, 2, 3]) await app.jobs.enqueue('slow', payload)
  await turns()
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
  t.equal(metrics().value('jobs_succeeded_total', { job_name: 'slow' }), 3)
  t.match(lines, [{ queue: 'away', err: { message: 'out of reach' }, msg: 'a backend cannot say what waits' }])
})

t.test('an inline function with the name of a job is not taken for that job', async (t) => {
  const { app, metrics } = await observedApp(t)
  app.jobs.define('report', async () => {})
  await app.ready()
  await app.jobs.enqueue(async () => {}, { name: 'report', delay: 60_000 })
  await app.close()
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'report' }), 0)
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'delegate' }), 1)
})

t.test('jobs that nobody defines are counted as inline functions when they are dropped or discarded', async (t) => {
  const backend = memory()
  const stranger = { id: 'x', name: 'stranger', payload: 1, attempt: 1, enqueuedAt: 0, correlationId: undefined, options: undefined }
  const { open } = backend
  backend.abandon = () => [stranger]
  backend.open = (context) => { context.onDrop('default', stranger); return open.call(backend, context) }
  const { app, metrics, lines } = await observedApp(t, { backend })
  await app.ready()
  await app.close()
  t.equal(metrics().value('jobs_dropped_total', { job_name: 'delegate' }), 1)
  t.equal(metrics().value('jobs_discarded_total', { job_name: 'delegate' }), 1)
  t.match(lines, [{ jobName: 'stranger' }, { jobs: { stranger: 1 } }])
})

t.test('a backend that fails to stop or to close is logged, and the app is closed all the same', async (t) => {
  const backend = memory()
  const { consume } = backend
  backend.consume = (...args) => Object.assign(consume.apply(backend, args), { stop: () => Promise.reject(new Error('stop failed')) })
  backend.close = () => Promise.reject(new Error('close failed'))
  const { app, lines } = await observedApp(t, { backend })
  await app.ready()
  await app.close()
  t.match(await app.jobs.status(), { isStopped: true })
  const errors = lines.map(({ err }) => (err as Error).message)
  t.ok(errors.includes('stop failed'))
  t.ok(errors.includes('close failed'))
})

t.test('a backend that hangs while it closes holds the app for a second past the budget, not longer', async (t) => {
  const backend = Object.assign(memory(), { close: () => new Promise<void>(() => {}) })
  const { app, clock, lines } = await observedApp(t, { backend, shutdown: { timeout: 1000 } })
  await app.ready()
  const closing = app.close()
  await turns(20)
  await clock.advance(1999)
  t.equal(await now(closing), 'pending')
  await clock.advance(1)
  t.not(await now(closing), 'pending')
  t.match(lines, [{ level: 50, msg: /still closing/ }])
  t.match(await app.jobs.status(), { isStopped: true })
})

t.test("a backend that cannot say what waits is not waited for in mode 'drainQueued'", async (t) => {
  const backend = memory()
  const { app, lines } = await observedApp(t, { backend, shutdown: { mode: 'drainQueued' } })
  await app.ready()
  const { stats } = backend
  backend.stats = () => Promise.reject(new Error('connection refused'))
  await app.close()
  backend.stats = stats
  t.match(lines.find(({ msg }) => msg.includes('cannot say')), { err: { message: 'connection refused' } })
})

t.test('once the app has stopped, idle() resolves; services and schedules still answer, everything else says that it is closed', async (t) => {
  const { app } = await observedApp(t)
  app.jobs.service('loop', { start () {} })
  app.jobs.schedule('hourly', { every: 3_600_000 }, async () => {})
  app.jobs.define('fails', { attempts: 1 }, async () => { throw new Error('no') })
  await app.ready()
  const { id } = await app.jobs.enqueue('fails', 1)
  await app.jobs.idle()
  app.jobs.pause()
  await app.jobs.enqueue('fails', 2)
  await app.close()
  await app.jobs.idle()
  await app.jobs.idle({ delayed: true })
  t.match(await app.jobs.status(), { isStopped: true, queues: {}, services: { loop: { state: 'stopped' } }, schedules: { hourly: { every: 3_600_000 } } })
  t.match(app.jobs.schedules.list(), [{ name: 'hourly' }])
  const closed = { code: 'FST_JOBS_CLOSED', statusCode: 503 }
  await t.rejects(app.jobs.get(id), { ...closed, message: /get\('.+'\)/ })
  await t.rejects(app.jobs.cancel(id), closed)
  await t.rejects(app.jobs.deadLetters.list(), closed)
  await t.rejects(app.jobs.deadLetters.retry(id), closed)
  await t.rejects(app.jobs.deadLetters.remove(id), closed)
  t.throws(() => app.jobs.pause(), { ...closed, message: /pause\(\) comes too late/ })
  t.throws(() => app.jobs.resume('default'), { ...closed, message: /resume\(\) comes too late/ })
  t.throws(() => app.jobs.addHook('onSuccess', () => {}), closed)
  t.throws(() => app.jobs.schedules.pause('hourly'), closed)
  t.throws(() => app.jobs.schedules.resume('hourly'), closed)
  await t.rejects(app.jobs.schedules.run('hourly'), { code: 'FST_JOBS_STOPPING' })
})

t.test('the drain waits for hooks within the budget, so that they have their database', async (t) => {
  const { app, clock } = await observedApp(t, { shutdown: { timeout: 1000 } })
  const gate = deferred()
  const events: string[] = []
  app.jobs.define('work', async () => {})
  app.jobs.addHook('onSuccess', async () => { await gate.promise; events.push('hook') })
  app.addHook('onClose', async () => { events.push('database closed') })
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await turns()
  const closing = app.close()
  await clock.advance(999)
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
  t.same(events, ['hook', 'database closed'])
})

t.test('a hook that hangs does not hold the close beyond the budget', async (t) => {
  const { app, clock, lines } = await observedApp(t, { shutdown: { timeout: 1000 } })
  app.jobs.define('work', async () => {})
  app.jobs.addHook('onSuccess', () => new Promise(() => {}))
  await app.ready()
  await app.jobs.enqueue('work', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(2000)
  t.not(await now(closing), 'pending')
  t.match(lines, [{ level: 50, msg: /hooks were still running/ }])
})

t.test('five hundred apps start, work and stop without a hang', async (t) => {
  let ran = 0
  for (let round = 0; round < 10; round++) {
    // However long all of them take: it is fifty apps without an end that hang.
    t.setTimeout(60_000)
    await Promise.all(Array.from({ length: 50 }, async () => {
      const app = Fastify()
      await app.register(backgroundJobs)
      app.jobs.define('count', async () => { ran++ })
      await app.ready()
      await app.jobs.enqueue('count', 1)
      await app.jobs.idle()
      await app.close()
    }))
  }
  t.equal(ran, 500)
})

t.test('a second start does nothing, and neither does a start after the stop', async (t) => {
  let started = 0
  const worker = { start () { started++ }, async stop () {}, interruptAll () {}, running: () => [], inFlight: 0 }
  const backend = Object.assign(memory(), { abandon: () => [] })
  const lifecycle = new Lifecycle({
    queues: [{ name: 'default', backend, worker, works: true }],
    log: { info () {} },
    registry: { close () {}, all: () => [] },
    services: { async start () {}, async stop () {} },
    scheduler: { start () {}, stop () {} },
    backends: new Set(),
    shutdown: { mode: 'drain', timeout: 1000 },
    clock: new ManualClock(),
    hooks: { async settled () {} },
    idle: { async wait () {}, release () {} }
  } as unknown as LifecycleContext)
  t.equal(lifecycle.state, 'starting')
  t.equal(lifecycle.accepts, true)
  await lifecycle.start()
  await lifecycle.start()
  t.equal(started, 1)
  const drained = lifecycle.drain()
  t.equal(lifecycle.drain(), drained, 'the same promise')
  t.equal(lifecycle.accepts, false)
  t.match(lifecycle.stopping, { aborted: true, reason: { code: 'FST_JOBS_STOPPING' } })
  await drained
  lifecycle.start()
  t.equal(lifecycle.state, 'stopped')
  t.equal(started, 1)
})

t.test('a backend that cannot say what ends with the process is logged, and every backend is closed all the same', async (t) => {
  const closed: string[] = []
  const backendOf = (name: string) => Object.assign(memory(), { close: async () => { closed.push(name) } })
  const clumsy = Object.assign(backendOf('clumsy'), { abandon: () => { throw new Error('abandon failed') } })
  const { app, lines } = await observedApp(t, { backend: clumsy, queues: { mails: { backend: backendOf('other') } } })
  await app.ready()
  await app.close()
  t.match(await app.jobs.status(), { isStopped: true })
  t.same(closed.sort(), ['clumsy', 'other'])
  t.match(lines, [{ level: 50, queue: 'default', err: { message: 'abandon failed' } }])
})

t.test('the start is logged at info, with where each queue lives and what works on it here', async (t) => {
  const lines: any[] = []
  const backend = Object.assign(leased().backend, { location: 'jobs.db' })
  const app = await buildApp(t, { queues: { default: { concurrency: 3 }, mails: { backend } }, work: ['default'] }, logTo(lines, 'info'))
  await app.ready()
  t.match(lines, [{ level: 30, queues: { default: { backend: 'memory', concurrency: 3 }, mails: { backend: 'leased', location: 'jobs.db', concurrency: 0 } }, msg: 'background jobs have started' }])
})
