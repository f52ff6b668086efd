import { getEventListeners } from 'node:events'
import t from 'tap'
import type { Deliver } from '../types/backend.ts'
import { memory } from '../lib/index.ts'
import { buildApp, deferred, logTo, now, turns } from './helpers/app.ts'
import { ManualClock } from './helpers/clock.ts'
import { leased } from './helpers/durable.ts'
import { parseExposition } from './helpers/prometheus.ts'

t.test('an old payload that no longer fits is dead-lettered with the reason, and its handler does not see it', async (t) => {
  const { backend, store } = leased()
  const app = await buildApp(t, { backend })
  const seen: unknown[] = []
  const schema = { type: 'object', required: ['to'] }
  app.jobs.define('mail', { schema }, async (payload) => { seen.push(payload) })
  await store({ id: 'old', name: 'mail', payload: { address: 'ada@example.com' } })
  await store({ id: 'new', name: 'mail', payload: { to: 'ada@example.com' } })
  await app.ready()
  await app.jobs.idle()
  t.match(await app.jobs.get('old'), { state: 'dead', attempt: 1, error: { code: 'FST_JOBS_INVALID_PAYLOAD', message: /required property 'to'/ } })
  t.same(seen, [{ to: 'ada@example.com' }])
})

t.test("with unknownJobs 'deadLetter' a stored job that this version of the app does not define is a dead letter, and an error in the log", async (t) => {
  const lines: any[] = []
  const { backend, store } = leased()
  const app = await buildApp(t, { backend, unknownJobs: 'deadLetter' }, logTo(lines, 'warn'))
  await store({ id: 'old', name: 'retired', payload: 'secret' })
  await app.ready()
  await app.jobs.idle()
  t.match(await app.jobs.get('old'), { state: 'dead', error: { code: 'FST_JOBS_UNKNOWN_JOB', message: /'retired'/ } })
  t.match(lines, [{ level: 50, jobId: 'old', jobName: 'retired', queue: 'default' }])
  t.notMatch(JSON.stringify(lines), /secret/)
})

t.test('a record that cannot be read is a dead letter: counted, told to the hooks, never run', async (t) => {
  const { backend, store, also } = leased()
  const app = await buildApp(t, { backend })
  const told: unknown[] = []
  app.jobs.define('work', async () => t.fail('it ran'))
  app.jobs.addHook('onDeadLetter', (job, error) => { told.push([job.id, (error as Error).message]) })
  await store({ id: 'torn', name: 'work', payload: null })
  Object.assign(also, { problem: new Error('torn') })
  await app.ready()
  await app.jobs.idle()
  t.match(await app.jobs.get('torn'), { state: 'dead', error: { message: 'torn' } })
  t.same(told, [['torn', 'torn']])
  t.equal(parseExposition((await app.inject('/metrics')).body).value('jobs_dead_lettered_total', { job_name: 'work' }), 1)
})

for (const [stalls, maxStalls, state] of [[10, undefined, 'succeeded'], [11, undefined, 'dead'], [1, 1, 'succeeded'], [1, 0, 'dead'], [2, 0, 'dead']] as const) {
  t.test(`a job that lost its process ${stalls} times, of ${maxStalls ?? 'the default'} allowed: ${state}`, async (t) => {
    const { backend, also } = leased()
    const app = await buildApp(t, { backend, retry: { maxStalls: stalls === 11 ? 10 : 3 } })
    app.jobs.define('work', { maxStalls: maxStalls ?? 10 }, async () => {})
    Object.assign(also, { stalls })
    await app.ready()
    const { id } = await app.jobs.enqueue('work', {})
    await app.jobs.idle()
    t.match(await app.jobs.get(id), state === 'dead'
      ? { state, attempt: 1, error: { code: 'FST_JOBS_STALLED', message: stalls === 1 ? /that ran it once, more/ : new RegExp(`that ran it ${stalls} times, more`) } }
      : { state, attempt: 1 })
  })
}

t.test('a job that has lost its process is counted where it is next delivered, whatever becomes of it', async (t) => {
  const { backend, also, store } = leased()
  const app = await buildApp(t, { backend, unknownJobs: 'deadLetter' })
  app.jobs.define('work', { maxStalls: 1 }, async () => {})
  await app.ready()
  const stalled = async (): Promise<(number | undefined)[]> => {
    const { value } = parseExposition((await app.inject('/metrics')).body)
    return ['work', 'delegate'].map((name) => value('jobs_stalled_total', { queue: 'default', job_name: name }))
  }
  const run = async (fields: object): Promise<void> => {
    Object.assign(also, fields)
    await app.jobs.enqueue('work', {})
    await app.jobs.idle()
  }
  await run({ stalls: 0, stalled: false })
  t.same(await stalled(), [0, 0])
  await run({ stalls: 1, stalled: true })
  t.same(await stalled(), [1, 0])
  await run({ stalls: 1, stalled: false })
  t.same(await stalled(), [1, 0], 'the same loss is not counted twice')
  await run({ stalls: 2, stalled: true })
  t.same(await stalled(), [2, 0], 'one loss too many')
  await store({ id: 'other', name: 'of another version', payload: null })
  await app.jobs.idle()
  t.same(await stalled(), [2, 0], 'a job that is not defined here is no inline function')
})

t.test('a delayed job waits from its runAt where the backend does not say when it fell due', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, backend: leased().backend })
  app.jobs.define('work', async () => {})
  await app.ready()
  await app.jobs.enqueue('work', {}, { delay: 60_000 })
  await clock.advance(60_000)
  const { body } = await app.inject('/metrics')
  const metrics = parseExposition(body)
  t.equal(metrics.value('jobs_wait_seconds_count', { job_name: 'work' }), 1)
  t.equal(metrics.value('jobs_wait_seconds_sum', { job_name: 'work' }), 0)
})

t.test('a lost lease aborts the signal; the attempt is released, which is no failure', async (t) => {
  const lines: any[] = []
  const { backend, loseLease, outcomes } = leased()
  const app = await buildApp(t, { backend }, logTo(lines, 'warn'))
  const started = deferred()
  const reasons: unknown[] = []
  app.jobs.define('long', async (_payload, { signal, job }) => {
    if (reasons.length > 0) return
    t.equal(job.attempt, 1)
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
    started.resolve()
    await aborted
    reasons.push(signal.reason)
    throw signal.reason
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('long', {})
  await started.promise
  loseLease(id)
  await app.jobs.idle()
  t.match(reasons, [{ code: 'FST_JOBS_LEASE_LOST', message: new RegExp(id) }])
  t.same(outcomes, [{ type: 'released' }, { type: 'succeeded' }])
  t.match(await app.jobs.get(id), { state: 'succeeded', attempt: 1 })
  t.same(lines, [])
})

t.test('deliveries may share a signal, which is listened to once; the end of it ends them all', async (t) => {
  const lease = new AbortController()
  const { backend, outcomes, also } = leased()
  const other = new AbortController()
  const app = await buildApp(t, { backend, queues: { default: { concurrency: 4 } } })
  const reasons: unknown[] = []
  app.jobs.define('long', async (_payload, { signal }) => {
    if (reasons.length === 3) return
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    reasons.push(signal.reason.code)
  })
  app.jobs.define('elsewhere', async (_payload, { signal }) => { t.equal(signal.aborted, false) })
  await app.ready()
  Object.assign(also, { signal: lease.signal })
  await Promise.all([1, 2, 3].map(() => app.jobs.enqueue('long', {})))
  await turns()
  t.equal(getEventListeners(lease.signal, 'abort').length, 1)
  Object.assign(also, { signal: other.signal })
  await app.jobs.enqueue('elsewhere', {})
  await turns()
  lease.abort()
  await app.jobs.idle()
  t.same(reasons, Array(3).fill('FST_JOBS_LEASE_LOST'))
  t.equal(outcomes.filter(({ type }) => type === 'released').length, 3)
})

t.test('a job that runs anew can be cancelled while the attempt that lost it is still here', async (t) => {
  const { backend } = leased()
  let deliver!: Deliver
  backend.consume = (_queue, _options, given) => {
    deliver = given
    return { pause () {}, resume () {}, async stop () {} }
  }
  const app = await buildApp(t, { backend, clock: new ManualClock() })
  const signals: AbortSignal[] = []
  const gate = deferred()
  app.jobs.define('long', async (_payload, { signal }) => {
    signals.push(signal)
    await gate.promise
  })
  await app.ready()
  const envelope = { id: 'twice', name: 'long', payload: {}, attempt: 1, enqueuedAt: 0, correlationId: undefined, options: undefined }
  const lease = new AbortController()
  const lost = deliver({ envelope, signal: lease.signal })
  lease.abort()
  const anew = deliver({ envelope })
  t.equal(await app.jobs.cancel('twice'), true)
  t.match(signals.map(({ reason }) => reason), [{ code: 'FST_JOBS_LEASE_LOST' }, { code: 'FST_JOBS_CANCELLED' }])
  gate.resolve()
  t.same(await Promise.all([lost, anew]), [{ type: 'released' }, { type: 'cancelled' }])
})

t.test('a handler of a delivery whose lease is lost already finds its signal aborted', async (t) => {
  const lease = leased()
  const app = await buildApp(t, { backend: lease.backend })
  const seen: unknown[] = []
  app.jobs.define('work', async (_payload, { signal }) => {
    seen.push(signal.aborted)
    lease.expired = false
  })
  lease.expired = true
  await app.ready()
  await app.jobs.enqueue('work', {})
  await app.jobs.idle()
  t.same(seen, [true, false])
  t.same(lease.outcomes, [{ type: 'released' }, { type: 'succeeded' }])
})

t.test('a durable queue takes what a handler enqueues while the app drains, keeps it, and refuses after the stop', async (t) => {
  const lines: any[] = []
  const { backend } = leased()
  const app = await buildApp(t, { backend }, logTo(lines, 'warn'))
  const gate = deferred()
  let status: string | undefined
  app.jobs.define('first', async function () {
    await gate.promise
    status = (await this.jobs.enqueue('second', {})).status
  })
  app.jobs.define('second', async () => { t.fail('it is for the next process') })
  await app.ready()
  await app.jobs.enqueue('first', {})
  await turns()
  const closing = app.close()
  await turns(20)
  gate.resolve()
  await closing
  t.equal(status, 'enqueued')
  t.match(await backend.stats('default'), { waiting: 1 })
  t.same(lines, [], 'nothing is discarded')
  await t.rejects(app.jobs.enqueue('second', {}), { code: 'FST_JOBS_STOPPING' })
})

t.test('idle and drainQueued end when nothing but jobs of another version was left', async (t) => {
  for (const shutdown of [{ mode: 'drain' }, { mode: 'drainQueued', timeout: 3_600_000 }] as const) {
    const { backend, store } = leased()
    const app = await buildApp(t, { backend, shutdown, queues: { default: { concurrency: 1 } } })
    for (let n = 0; n < 100; n++) await store({ id: `${n}`, name: 'retired', payload: n })
    await app.ready()
    if (shutdown.mode === 'drain') await app.jobs.idle()
    await app.close()
    t.equal((await app.jobs.status()).queueDepth, 0, shutdown.mode)
  }
})

t.test('idle waits for what other processes do', async (t) => {
  const clock = new ManualClock()
  const { backend } = leased()
  const { stats } = backend
  let elsewhere = 1
  backend.stats = async (queue) => ({ ...await stats.call(backend, queue), active: elsewhere })
  const app = await buildApp(t, { backend, clock })
  app.jobs.define('work', async () => {})
  await app.ready()
  await app.jobs.enqueue('work', {})
  const idle = app.jobs.idle()
  for (let look = 0; look < 3; look++) {
    await clock.advance(50)
    t.equal(await now(idle), 'pending')
  }
  elsewhere = 0
  await clock.advance(50)
  t.equal(await now(idle), undefined)
})

t.test('a consumer is stopped once, and not resumed afterwards', async (t) => {
  const backend = memory()
  const { consume } = backend
  const calls: string[] = []
  backend.consume = (...args) => {
    const consumer = consume.apply(backend, args)
    return {
      pause: () => { calls.push('pause'); consumer.pause() },
      resume: () => { calls.push('resume'); consumer.resume() },
      stop: () => { calls.push('stop'); return consumer.stop() }
    }
  }
  const app = await buildApp(t, { backend })
  const gate = deferred()
  app.jobs.define('work', async function () { await gate.promise; this.jobs.resume() })
  await app.ready()
  await app.jobs.enqueue('work', {})
  await turns()
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
  t.same(calls, ['stop'])
})
