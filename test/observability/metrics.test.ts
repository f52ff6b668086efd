import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import { Counter, Registry } from 'prom-client'
import backgroundJobs, { memory, NonRetryableError, type BackgroundJobsOptions } from '../../lib/index.ts'
import type { QueueStats } from '../../lib/backends/index.ts'
import { VERSION } from '../../lib/version.ts'
import { buildApp, deferred, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { leased } from '../helpers/durable.ts'
import { checkHistograms, parseExposition, type Exposition } from '../helpers/prometheus.ts'

const COUNTERS = ['queued', 'started', 'succeeded', 'failed', 'retried', 'dead_lettered', 'dropped', 'rejected', 'discarded', 'stalled']
const GAUGES = ['queue_depth', 'queue_capacity', 'oldest_waiting_seconds', 'delayed', 'dead_letters', 'in_flight', 'concurrency', 'paused']
const HISTOGRAMS = ['wait_seconds', 'duration_seconds']
const SCHEDULE_METRICS = {
  jobs_schedule_ticks_total: 'counter',
  jobs_schedule_missed_total: 'counter',
  jobs_schedule_skipped_total: 'counter',
  jobs_schedule_failed_total: 'counter',
  jobs_schedule_last_success_timestamp_seconds: 'gauge',
  jobs_schedule_interval_seconds: 'gauge'
}
const SERVICE_METRICS = { jobs_service_up: 'gauge', jobs_service_failures_total: 'counter', jobs_service_restarts_total: 'counter' }

async function scrape (app: FastifyInstance): Promise<Exposition> {
  const { statusCode, body } = await app.inject('/metrics')
  if (statusCode !== 200) throw new Error(body)
  return parseExposition(body)
}

interface Busy { readonly app: FastifyInstance, readonly clock: ManualClock, readonly ids: string[] }

/** An app that has seen every kind of ending. */
async function busyApp (t: Test, options: BackgroundJobsOptions = {}): Promise<Busy> {
  const clock = new ManualClock()
  const gate = deferred()
  const app = await buildApp(t, {
    clock,
    retry: { backoff: () => 2000 },
    queues: { default: { concurrency: 4 }, small: { capacity: 1, concurrency: 1, fullMode: 'dropOldest' }, strict: { capacity: 1, concurrency: 1, fullMode: 'reject' } },
    ...options
  })
  // Before the close: the last teardown runs first.
  t.teardown(() => gate.resolve())
  app.jobs.define('fine', async () => {})
  app.jobs.define('flaky', async (_payload, { job }) => { if (job.attempt === 1) throw new Error('once') })
  app.jobs.define('fatal', async () => { throw new NonRetryableError('never') })
  app.jobs.define('slow', { queue: 'small' }, () => gate.promise)
  app.jobs.define('strict', { queue: 'strict' }, () => gate.promise)
  app.jobs.schedule('tick', { every: 3_600_000 }, 'fine')
  app.jobs.service('tail', { start () {} })
  await app.ready()
  const ids: string[] = []
  const enqueue = async (name: string, payload: unknown, given = {}): Promise<void> => { ids.push((await app.jobs.enqueue(name, payload, given)).id) }
  await enqueue('fine', 1)
  await enqueue('fine', 2, { correlationId: 'request-11' })
  await enqueue('fine', 3, { delay: 60_000 })
  await enqueue('flaky', 1)
  await enqueue('fatal', 1)
  await enqueue('slow', 1)
  await enqueue('strict', 1)
  await turns(10)
  await enqueue('slow', 2)
  await enqueue('slow', 3)
  await enqueue('strict', 2)
  await t.rejects(app.jobs.enqueue('strict', 3), { code: 'FST_JOBS_QUEUE_FULL' })
  ids.push((await app.jobs.enqueue(async () => {}, { name: 'inline' })).id)
  ids.push((await app.jobs.schedules.run('tick')).id)
  await clock.advance(2000)
  return { app, clock, ids }
}

t.test('the metrics have the names, types and labels that the guide promises', async (t) => {
  const { app } = await busyApp(t)
  const { types, samples } = await scrape(app)
  t.same(Object.fromEntries(types), {
    ...Object.fromEntries(COUNTERS.map((name) => [`jobs_${name}_total`, 'counter'])),
    ...Object.fromEntries(GAUGES.map((name) => [`jobs_${name}`, 'gauge'])),
    ...Object.fromEntries(HISTOGRAMS.map((name) => [`jobs_${name}`, 'histogram'])),
    ...SCHEDULE_METRICS,
    ...SERVICE_METRICS,
    jobs_backend_up: 'gauge',
    jobs_info: 'gauge'
  })
  for (const name of Object.keys({ ...SCHEDULE_METRICS, ...SERVICE_METRICS })) t.ok(samples.some((sample) => sample.name === name), name)
  const others: Record<string, string[]> = { jobs_backend_up: ['backend', 'queue'], jobs_info: ['node', 'version'] }
  for (const { name, labels } of samples) {
    const expected = others[name] ?? (name in SCHEDULE_METRICS ? ['schedule'] : name in SERVICE_METRICS ? ['service'] : GAUGES.includes(name.slice('jobs_'.length)) ? ['queue'] : name.endsWith('_bucket') ? ['job_name', 'le', 'queue'] : ['job_name', 'queue'])
    t.same(Object.keys(labels).sort(), expected, name)
  }
})

t.test('no label has a name that Prometheus gives every series itself: it would be renamed', async (t) => {
  const { app } = await busyApp(t)
  const { samples } = await scrape(app)
  t.same(samples.filter(({ labels }) => 'job' in labels || 'instance' in labels), [])
})

t.test('every kind of ending is counted where it belongs', async (t) => {
  const { app } = await busyApp(t)
  const { value } = await scrape(app)
  const counts = (queue: string, job: string): Record<string, number | undefined> => Object.fromEntries(
    COUNTERS.map((name) => [name, value(`jobs_${name}_total`, { queue, job_name: job })] as const).filter(([, count]) => count !== 0)
  )
  t.same(counts('default', 'fine'), { queued: 4, started: 3, succeeded: 3 })
  t.same(counts('default', 'flaky'), { queued: 1, started: 2, succeeded: 1, failed: 1, retried: 1 })
  t.same(counts('default', 'fatal'), { queued: 1, started: 1, failed: 1, dead_lettered: 1 })
  t.same(counts('small', 'slow'), { queued: 3, started: 1, dropped: 1 })
  t.same(counts('strict', 'strict'), { queued: 2, started: 1, rejected: 1 })
  t.same(counts('default', 'delegate'), { queued: 1, started: 1, succeeded: 1 })
  t.same(counts('small', 'delegate'), {})
  t.equal(value('jobs_queue_depth', { queue: 'small' }), 1)
  t.equal(value('jobs_queue_capacity', { queue: 'small' }), 1)
  t.equal(value('jobs_in_flight', { queue: 'small' }), 1)
  t.equal(value('jobs_delayed', { queue: 'default' }), 1)
  t.equal(value('jobs_in_flight', { queue: 'default' }), 0)
  t.equal(value('jobs_dead_letters', { queue: 'default' }), 1)
  t.equal(value('jobs_dead_letters', { queue: 'small' }), 0)
  t.equal(value('jobs_concurrency', { queue: 'default' }), 4)
  t.equal(value('jobs_concurrency', { queue: 'small' }), 1)
})

t.test('a queue that others work on has a concurrency of 0 here', async (t) => {
  const app = await buildApp(t, { queues: { mails: { backend: leased().backend } }, work: ['default'] })
  const { value } = await scrape(app)
  t.equal(value('jobs_concurrency', { queue: 'default' }), 10)
  t.equal(value('jobs_concurrency', { queue: 'mails' }), 0)
})

t.test('the version of the package and that of Node.js', async (t) => {
  const app = await buildApp(t)
  t.equal((await scrape(app)).value('jobs_info', { version: VERSION, node: process.versions.node }), 1)
})

t.test('the job that waits longest says how long; nobody knows where the backend does not', async (t) => {
  const clock = new ManualClock()
  const backend = memory()
  const app = await buildApp(t, { clock, queues: { other: { backend } } })
  app.jobs.define('any', async () => {})
  await app.ready()
  app.jobs.pause()
  const oldest = async (queue: string): Promise<number | undefined> => (await scrape(app)).value('jobs_oldest_waiting_seconds', { queue })
  t.equal(await oldest('default'), 0, 'nothing waits')
  await app.jobs.enqueue('any', 1)
  await clock.advance(1500)
  await app.jobs.enqueue('any', 2)
  await clock.advance(500)
  t.equal(await oldest('default'), 2)
  const stats = { waiting: 1, delayed: 0, active: 0, dead: 0 }
  backend.stats = () => stats
  t.equal(await oldest('other'), undefined)
  stats.waiting = 0
  t.equal(await oldest('other'), 0)
  backend.stats = () => ({ ...stats, waiting: 1, waitingSince: clock.now() + 500 })
  t.equal(await oldest('other'), 0, 'the clock of the store is ahead')
})

t.test('a queue is paused when this instance paused it, or somebody in the store', async (t) => {
  const backend = memory()
  const app = await buildApp(t, { queues: { mails: { backend } } })
  await app.ready()
  const paused = async (): Promise<(number | undefined)[]> => {
    const { value } = await scrape(app)
    return ['default', 'mails'].map((queue) => value('jobs_paused', { queue }))
  }
  t.same(await paused(), [0, 0])
  app.jobs.pause('default')
  t.same(await paused(), [1, 0])
  backend.stats = () => ({ waiting: 0, delayed: 0, active: 0, dead: 0, paused: true })
  t.same(await paused(), [1, 1])
})

t.test('a scrape asks a backend once for each of its queues', async (t) => {
  const backend = memory()
  const { stats } = backend
  const asked: string[] = []
  backend.stats = async (queue) => {
    asked.push(queue)
    await turns()
    return stats.call(backend, queue)
  }
  const app = await buildApp(t, { backend, queues: { mails: {} } })
  await scrape(app)
  t.same(asked, ['default', 'mails'])
})

t.test('buckets can be chosen', async (t) => {
  const buckets = [0.25, 2]
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, metrics: { buckets } })
  buckets.push(1)
  app.jobs.define('timed', (milliseconds: number) => new Promise<void>((resolve) => { clock.setTimeout(resolve, milliseconds) }))
  await app.ready()
  for (const milliseconds of [100, 1000, 3000]) await app.jobs.enqueue('timed', milliseconds)
  await turns()
  await clock.advance(3000)
  const found = await scrape(app)
  t.equal(checkHistograms(found), 4)
  for (const name of ['wait', 'duration']) {
    const bounds = found.samples.filter((sample) => sample.name === `jobs_${name}_seconds_bucket` && sample.labels.job_name === 'timed').map(({ labels }) => labels.le)
    t.same(bounds, ['0.25', '2', '+Inf'])
  }
  const counts = ['0.25', '2', '+Inf'].map((le) => found.value('jobs_duration_seconds_bucket', { job_name: 'timed', le }))
  t.same(counts, [1, 2, 3])
})

t.test('the default buckets tell 10 ms from 50 and 100 ms from 500', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const took = [5, 20, 40, 80, 200, 400]
  app.jobs.define('timed', (milliseconds: number) => new Promise<void>((resolve) => { clock.setTimeout(resolve, milliseconds) }))
  await app.ready()
  for (const milliseconds of took) await app.jobs.enqueue('timed', milliseconds)
  await turns()
  await clock.advance(400)
  const { value } = await scrape(app)
  const bounds = ['0.005', '0.025', '0.05', '0.1', '0.25', '0.5']
  t.same(bounds.map((le) => value('jobs_duration_seconds_bucket', { job_name: 'timed', le })), [1, 2, 3, 4, 5, 6])
})

t.test('a service is up while it runs, and once it has returned by itself there is no series of it', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const gate = deferred()
  app.jobs.service('loop', { run: ({ sleep }) => sleep(Infinity) })
  app.jobs.service('listener', { start: () => gate.promise })
  app.jobs.service('once', { run () {} })
  // Not over HTTP, which waits for the app to be ready.
  const up = async (): Promise<object> => {
    const { samples } = parseExposition(await app.jobs.metrics!.registry.metrics())
    return Object.fromEntries(samples.filter(({ name }) => name === 'jobs_service_up').map(({ labels, value }) => [labels.service, value]))
  }
  t.same(await up(), { loop: 0, listener: 0, once: 0 })
  const ready = app.ready()
  await turns()
  t.same(await up(), { loop: 1, listener: 0, once: 0 })
  gate.resolve()
  await ready
  t.same(await up(), { loop: 1, listener: 1, once: 1 })
  await turns()
  t.same(await up(), { loop: 1, listener: 1 })
})

t.test('a start that fails counts as a failure, and nothing is up afterwards', async (t) => {
  const app = await buildApp(t)
  app.jobs.service('listener', { start () {} })
  app.jobs.service('broken', { start () { throw new Error('no') } })
  await t.rejects(Promise.resolve(app.ready()), { message: 'no' })
  const { value } = parseExposition(await app.jobs.metrics!.registry.metrics())
  t.equal(value('jobs_service_failures_total', { service: 'broken' }), 1)
  t.equal(value('jobs_service_failures_total', { service: 'listener' }), 0)
  for (const service of ['listener', 'broken']) t.equal(value('jobs_service_up', { service }), 0)
})

t.test('failures and restarts of services are counted', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  app.jobs.service('fails', { run () { throw new Error('no') } })
  app.jobs.service('flaky', { run () { throw new Error('no') } }, { onFailure: 'restart', restart: { limit: 2, backoff: () => 1000 } })
  await app.ready()
  const counts = async (service: string): Promise<unknown[]> => {
    const { value } = await scrape(app)
    return ['up', 'failures_total', 'restarts_total'].map((name) => value(`jobs_service_${name}`, { service }))
  }
  await turns()
  t.same(await counts('fails'), [0, 1, 0])
  t.same(await counts('flaky'), [0, 1, 1])
  await clock.advance(5000)
  t.same(await counts('fails'), [0, 1, 0])
  t.same(await counts('flaky'), [0, 3, 2])
})

t.test('a second scrape says the same: nothing is added up twice', async (t) => {
  const { app } = await busyApp(t)
  t.same((await scrape(app)).samples, (await scrape(app)).samples)
})

t.test('histograms are cumulative, agree with their counts, and are in seconds', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { concurrency: 1 } } })
  const gates = [deferred(), deferred()]
  app.jobs.define('timed', async (index: number) => gates[index]!.promise)
  await app.ready()
  await app.jobs.enqueue('timed', 0)
  await app.jobs.enqueue('timed', 1)
  await turns()
  await clock.advance(4000)
  gates[0]!.resolve()
  await turns()
  await clock.advance(400_000)
  gates[1]!.resolve()
  await turns()
  const found = await scrape(app)
  t.equal(checkHistograms(found), 4, 'two histograms of one job and of inline functions')
  const labels = { queue: 'default', job_name: 'timed' }
  t.equal(found.value('jobs_duration_seconds_count', labels), 2)
  t.equal(found.value('jobs_duration_seconds_sum', labels), 404)
  t.equal(found.value('jobs_duration_seconds_bucket', { ...labels, le: '1' }), 0)
  t.equal(found.value('jobs_duration_seconds_bucket', { ...labels, le: '5' }), 1)
  t.equal(found.value('jobs_duration_seconds_bucket', { ...labels, le: '300' }), 1)
  t.equal(found.value('jobs_duration_seconds_bucket', { ...labels, le: '+Inf' }), 2)
  t.equal(found.value('jobs_wait_seconds_sum', labels), 4)
})

t.test('a retry, a delayed job and a dead letter that is run again wait from when they fell due', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, retry: { attempts: 2, backoff: () => 5000 } })
  app.jobs.define('flaky', async () => { throw new Error('again') })
  await app.ready()
  const { id } = await app.jobs.enqueue('flaky', 1, { delay: 60_000 })
  await clock.advance(60_000)
  await clock.advance(5000)
  await clock.advance(3_600_000)
  t.equal(await app.jobs.deadLetters.retry(id), true)
  await turns()
  const found = await scrape(app)
  t.equal(found.value('jobs_wait_seconds_count', { job_name: 'flaky' }), 3)
  t.equal(found.value('jobs_wait_seconds_sum', { job_name: 'flaky' }), 0)
})

t.test('no id ever is in a label', async (t) => {
  const { app, ids } = await busyApp(t)
  const { body } = await app.inject('/metrics')
  for (const id of [...ids, 'request-11', 'inline']) t.notOk(body.includes(id), id)
})

const noPromtool = spawnSync('promtool', ['--version']).error !== undefined &&
  'PROMTOOL IS MISSING (apt install prometheus): Prometheus itself does not check the text format'

t.test('promtool finds nothing to complain about', { skip: process.env.CI !== 'true' && noPromtool }, async (t) => {
  if (noPromtool !== false) return t.fail(noPromtool)
  const { app } = await busyApp(t)
  const { body } = await app.inject('/metrics')
  const promtool = spawn('promtool', ['check', 'metrics'])
  let output = ''
  for (const stream of [promtool.stdout, promtool.stderr]) stream.on('data', (chunk) => { output += chunk })
  promtool.stdin.end(body)
  const [code] = await once(promtool, 'close')
  t.equal(output, '')
  t.equal(code, 0)
})

t.test("a job's name is escaped, whatever is in it", async (t) => {
  const app = await buildApp(t)
  const name = 'we"ird\n\\name'
  app.jobs.define(name, async () => {})
  await app.ready()
  await app.jobs.enqueue(name, 1)
  await app.jobs.idle()
  t.equal((await scrape(app)).value('jobs_succeeded_total', { job_name: name }), 1)
})

t.test('no job can take the name that inline functions are counted under: its series would be there twice', async (t) => {
  const app = await buildApp(t)
  t.throws(() => app.jobs.define('delegate', async () => {}), { code: 'FST_JOBS_INVALID_OPTIONS', message: /delegate/ })
})

t.test('a Registry can be shared with metrics of other makers', async (t) => {
  const registry = new Registry()
  new Counter({ name: 'orders_total', help: 'Orders', registers: [registry] }).inc(3)
  const app = await buildApp(t, { metrics: { registry } })
  const { value } = await scrape(app)
  t.equal(value('orders_total'), 3)
  t.equal(value('jobs_queue_depth', { queue: 'default' }), 0)
  await app.close()
  t.same(registry.getMetricsAsArray().map(({ name }) => name), ['orders_total'], 'only what is not ours is left')
})

t.test('two apps share a Registry only under different prefixes', async (t) => {
  const registry = new Registry()
  const one = await buildApp(t, { metrics: { registry } })
  const same = Fastify()
  t.teardown(() => same.close())
  await t.rejects(Promise.resolve(same.register(backgroundJobs, { metrics: { registry } })), {
    code: 'FST_JOBS_INVALID_OPTIONS', message: /'jobs_queued_total'.*'metrics\.prefix'/
  })
  const other = await buildApp(t, { metrics: { registry, prefix: 'other_jobs_' } })
  one.jobs.define('only-here', async () => {})
  await one.ready()
  await one.jobs.enqueue('only-here', 1)
  await one.jobs.idle()
  const { value } = await scrape(other)
  t.equal(value('jobs_succeeded_total', { job_name: 'only-here' }), 1)
  t.equal(value('other_jobs_succeeded_total', { job_name: 'only-here' }), undefined)
})

t.test('a refused registration leaves nothing behind in the Registry', async (t) => {
  const registry = new Registry()
  const mine = new Counter({ name: 'jobs_duration_seconds', help: 'Mine', registers: [registry] })
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(Promise.resolve(app.register(backgroundJobs, { metrics: { registry } })), { message: /'jobs_duration_seconds'/ })
  t.same(registry.getMetricsAsArray(), [mine])
})

t.test('metrics are withdrawn on close, so that a new app can use the Registry', async (t) => {
  const registry = new Registry()
  for (let round = 0; round < 3; round++) {
    const app = await buildApp(t, { metrics: { registry, defaultMetrics: true } })
    t.match((await scrape(app)).types.get('process_cpu_user_seconds_total'), 'counter')
    await app.close()
    t.same(registry.getMetricsAsArray(), [])
  }
})

t.test("prom-client's process metrics come only when they are asked for, and once", async (t) => {
  const registry = new Registry()
  const plain = await buildApp(t)
  t.notOk((await scrape(plain)).types.has('process_cpu_user_seconds_total'))
  const one = await buildApp(t, { metrics: { registry, defaultMetrics: true } })
  const two = await buildApp(t, { metrics: { registry, defaultMetrics: true, prefix: 'two_' } })
  t.ok((await scrape(one)).types.has('nodejs_eventloop_lag_seconds'))
  await two.close()
  t.ok((await scrape(one)).types.has('nodejs_eventloop_lag_seconds'), 'they belong to the app that came first')
})

t.test('a backend out of reach takes its own gauges away, not the scrape', async (t) => {
  let down = false
  const backend = memory()
  const stats = backend.stats.bind(backend)
  Object.assign(backend, { stats (queue: string) { if (down) throw new Error('connection refused'); return stats(queue) } })
  const app = await buildApp(t, { queues: { default: {}, remote: { backend } } })
  const before = await scrape(app)
  t.equal(before.value('jobs_queue_depth', { queue: 'remote' }), 0)
  for (const queue of ['default', 'remote']) t.equal(before.value('jobs_backend_up', { queue, backend: 'memory' }), 1)
  down = true
  const { value } = await scrape(app)
  t.equal(value('jobs_backend_up', { queue: 'remote', backend: 'memory' }), 0)
  t.equal(value('jobs_backend_up', { queue: 'default', backend: 'memory' }), 1, 'another backend of the same kind')
  t.equal(value('jobs_queue_depth', { queue: 'remote' }), undefined)
  t.equal(value('jobs_queue_depth', { queue: 'default' }), 0)
  t.equal(value('jobs_queue_capacity', { queue: 'remote' }), 1000)
  t.equal(value('jobs_queued_total', { queue: 'remote' }), 0)
})

t.test('a backend that does not answer holds a scrape up for 2 s at the most', async (t) => {
  const clock = new ManualClock()
  const backend = Object.assign(memory(), { stats: () => deferred<QueueStats>().promise })
  const app = await buildApp(t, { clock, queues: { default: {}, remote: { backend } } })
  await app.ready()
  app.jobs.pause('remote')
  const scraped = scrape(app)
  await turns()
  await clock.advance(2000)
  const { value } = await scraped
  t.equal(value('jobs_backend_up', { queue: 'remote' }), 0)
  t.equal(value('jobs_queue_depth', { queue: 'remote' }), undefined)
  t.equal(value('jobs_paused', { queue: 'remote' }), 1, 'what is known here is told')
  t.equal(value('jobs_backend_up', { queue: 'default' }), 1)
})
