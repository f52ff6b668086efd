import t from 'tap'
import type { JobEnvelope } from '../lib/backends/index.ts'
import { memory, poll } from '../lib/index.ts'
import { buildApp, deferred, turns } from './helpers/app.ts'
import { parseExposition } from './helpers/prometheus.ts'

t.test('what the backend cannot do is refused at the enqueue', async (t) => {
  const backend = Object.assign(memory(), { name: 'plain' })
  Object.assign(backend.capabilities, { delay: false, priority: false, unique: false })
  const app = await buildApp(t, { backend })
  app.jobs.define('work', async () => {})
  for (const [options, what] of [[{ delay: 1 }, /'delay' and 'runAt'/], [{ runAt: new Date() }, /'delay' and 'runAt'/], [{ priority: 0 }, /'priority'/], [{ uniqueKey: 'a' }, /'uniqueKey'/]] as const) {
    await t.rejects(app.jobs.enqueue('work', {}, options), { code: 'FST_JOBS_NOT_SUPPORTED', message: what })
    await t.rejects(app.jobs.enqueue(async () => {}, { name: 'inline', ...options }), { code: 'FST_JOBS_NOT_SUPPORTED', message: what })
    await t.rejects(app.jobs.enqueueMany([{ job: 'work', payload: {}, ...options }]), { code: 'FST_JOBS_NOT_SUPPORTED', message: what })
  }
})

t.test('keys and correlation ids that no database takes are refused', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('work', async () => {})
  for (const text of ['\0', 'a\ud83d', '\ude00b', 'x'.repeat(513)]) {
    await t.rejects(app.jobs.enqueue('work', {}, { uniqueKey: text }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /uniqueKey/ })
    await t.rejects(app.jobs.enqueue('work', {}, { correlationId: text }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /correlationId/ })
  }
  t.match(await app.jobs.enqueue('work', {}, { uniqueKey: 'a\u{1f600}', correlationId: 'x'.repeat(512) }), { status: 'enqueued' })
})

t.test('an enqueue of an unknown job names it', async (t) => {
  const app = await buildApp(t)
  await t.rejects(app.jobs.enqueue('nobody', {}), { code: 'FST_JOBS_UNKNOWN_JOB', statusCode: 500, message: /'nobody'/ })
  await t.rejects(app.jobs.enqueueMany([{ job: 'nobody', payload: {} }]), { code: 'FST_JOBS_UNKNOWN_JOB' })
  await t.rejects(app.jobs.enqueueMany('nobody' as never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /array, got string/ })
  await t.rejects(app.jobs.enqueueMany([null as never]), { code: 'FST_JOBS_INVALID_OPTIONS', message: /element 0.*got null/ })
})

t.test('a wrong argument is a typed error that tells its kind, not a bare TypeError', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('work', async () => {})
  const { jobs } = app as unknown as { jobs: Record<string, any> }
  const odd = [undefined, null, 5, Symbol('secret'), {}, Object.create(null)]
  const invalid = { code: 'FST_JOBS_INVALID_OPTIONS' }
  for (const value of odd) {
    for (const call of ['get', 'cancel']) await t.rejects(jobs[call](value), { ...invalid, message: new RegExp(`${call}: the id must be a string`) })
    for (const call of ['retry', 'remove']) await t.rejects(jobs.deadLetters[call](value), invalid)
    await t.rejects(jobs.enqueue(value, {}), invalid)
    await t.rejects(jobs.enqueueMany([{ job: value }]), invalid)
    t.throws(() => jobs.addHook(value, () => {}), invalid)
  }
  await t.rejects(jobs.enqueueMany([{ job: () => 'secret' }]), { ...invalid, message: /got function/ })
  await t.rejects(jobs.enqueueMany([{ job: 'work', signal: AbortSignal.abort() }]), { ...invalid, message: /element 0 has a 'signal'/ })
  for (const options of [null, { signal: 'x' }, { foo: 1 }]) await t.rejects(jobs.enqueueMany([], options), invalid)
  for (const options of [null, { foo: 1 }, { limit: -1 }, { limit: 1e300 }, { limit: NaN }, { limit: 'a' }, { queue: 5 }]) await t.rejects(jobs.deadLetters.list(options), invalid)
  for (const options of [null, { delayed: 1 }, { foo: 1 }]) await t.rejects(jobs.idle(options), invalid)
  for (const call of ['pause', 'resume']) t.throws(() => jobs[call](Object.create(null)), { code: 'FST_JOBS_UNKNOWN_QUEUE' })
  for (const id of ['status', '.', '..', '', 'x'.repeat(101), 'a b', 'é', '\ud800']) await t.rejects(jobs.enqueue('work', {}, { id }), invalid)
})

t.test('a function that takes a callback is refused wherever a promise is awaited: it would count as done at once', async (t) => {
  const app = await buildApp(t)
  const { jobs } = app as unknown as { jobs: Record<string, any> }
  const message = /takes \d parameters and gets \d: there is no callback/
  const invalid = { code: 'FST_JOBS_INVALID_OPTIONS', message }
  t.throws(() => jobs.define('work', (_payload: unknown, _context: unknown, done: () => void) => done()), invalid)
  await t.rejects(jobs.enqueue((_context: unknown, done: () => void) => done(), { name: 'inline' }), invalid)
  t.throws(() => jobs.schedule('hourly', { every: 3_600_000 }, (_context: unknown, done: () => void) => done()), invalid)
  for (const method of ['start', 'run', 'stop']) t.throws(() => jobs.service('loop', { run () {}, [method]: (_context: unknown, done: () => void) => done() }), invalid)
  t.throws(() => poll(1000, ((_context: unknown, done: () => void) => done()) as never), invalid)
  for (const [hook, parameters] of Object.entries({ onEnqueue: 1, onStart: 1, onSuccess: 1, onRetry: 3, onDeadLetter: 2, onDrop: 1 })) {
    const taking = (count: number): unknown => Object.defineProperty(() => {}, 'length', { value: count })
    t.throws(() => jobs.addHook(hook, taking(parameters + 1)), invalid)
    t.doesNotThrow(() => jobs.addHook(hook, taking(parameters)))
  }
  t.doesNotThrow(() => jobs.define('rest', (...args: unknown[]) => args))
})

t.test('a definition can be enqueued in place of its name', async (t) => {
  const app = await buildApp(t)
  const seen: unknown[] = []
  const greet = app.jobs.define('greet', { schema: { type: 'string' } as const }, async (name) => { seen.push(name) })
  await app.ready()
  t.match(await app.jobs.enqueue(greet, 'Ada'), { name: 'greet', queue: 'default', status: 'enqueued' })
  await app.jobs.enqueueMany([{ job: greet, payload: 'Bob' }])
  await app.jobs.idle()
  t.same(seen, ['Ada', 'Bob'])
})

t.test('a definition of another app is unknown here', async (t) => {
  const [one, two] = await Promise.all([buildApp(t), buildApp(t)])
  const greet = one.jobs.define('greet', () => {})
  await t.rejects(two.jobs.enqueue(greet, {}), { code: 'FST_JOBS_UNKNOWN_JOB', message: /'greet'/ })
})

t.test('an invalid payload is refused with Ajv\'s message and status 400, and through a route as such', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('mail', { schema: { type: 'object', required: ['to'], properties: { to: { type: 'string', format: 'email' } } } }, () => {})
  app.post('/mail', async (request) => app.jobs.enqueue('mail', request.body))
  await t.rejects(app.jobs.enqueue('mail', {}), { code: 'FST_JOBS_INVALID_PAYLOAD', statusCode: 400, message: /'mail': payload must have required property 'to'/ })
  const response = await app.inject({ method: 'POST', url: '/mail', payload: { to: 'nobody' } })
  t.equal(response.statusCode, 400)
  t.match(response.json(), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /must match format "email"/ })
})

const badOptions: [options: object, message: RegExp][] = [
  [{ delay: -1 }, /'delay'.*got -1/],
  [{ delay: NaN }, /'delay'.*got NaN/],
  [{ runAt: new Date(NaN) }, /'runAt' is an invalid Date/],
  [{ runAt: 'tomorrow' }, /'runAt'/],
  [{ delay: 1, runAt: 1 }, /'delay' or 'runAt', not both/],
  [{ uniqueFor: 1 }, /'uniqueFor' needs a 'uniqueKey'/],
  [{ priority: 1001 }, /'priority'/],
  [{ attempts: 0 }, /'attempts'/],
  [{ signal: 'stop' }, /'signal'.*AbortSignal/],
  [{ id: '' }, /'id'/],
  [{ dealy: 1 }, /unknown option 'dealy'/]
]

for (const [options, message] of badOptions) {
  t.test(`enqueue options ${JSON.stringify(options)} are refused, with the job's name`, async (t) => {
    const app = await buildApp(t)
    app.jobs.define('greet', () => {})
    await t.rejects(app.jobs.enqueue('greet', {}, options), { code: 'FST_JOBS_INVALID_OPTIONS', message })
    await t.rejects(app.jobs.enqueue('greet', {}, options), { message: /'greet'/ })
  })
}

t.test('an inline function runs with its context, and counts as a job of its name', async (t) => {
  const app = await buildApp(t, { queues: { side: {} } })
  const seen = deferred<unknown>()
  await app.ready()
  const job = await app.jobs.enqueue(async function ({ job }) { seen.resolve([this === app, job.name, job.queue]) }, { name: 'tidy', queue: 'side' })
  t.same(await seen.promise, [true, 'tidy', 'side'])
  await app.jobs.idle()
  t.match(await app.jobs.get(job.id), { name: 'tidy', state: 'succeeded', attempts: 3 })
})

t.test('an inline function needs a name and a queue that exists', async (t) => {
  const app = await buildApp(t)
  await t.rejects(app.jobs.enqueue(() => {}, undefined as never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /name/ })
  await t.rejects(app.jobs.enqueue(() => {}, { name: 'tidy', queue: 'nowhere' }), { code: 'FST_JOBS_UNKNOWN_QUEUE', message: /'nowhere'.*default/ })
})

t.test('enqueueMany spreads over queues and answers in order', async (t) => {
  const app = await buildApp(t, { queues: { side: {} } })
  const seen: unknown[] = []
  app.jobs.define('one', (payload) => { seen.push(payload) })
  app.jobs.define('two', { queue: 'side' }, (payload) => { seen.push(payload) })
  await app.ready()
  const jobs = await app.jobs.enqueueMany([{ job: 'one', payload: 1 }, { job: 'two', payload: 2 }, { job: 'one', payload: 3, id: 'third' }])
  t.match(jobs, [{ name: 'one', queue: 'default' }, { name: 'two', queue: 'side' }, { name: 'one', id: 'third' }])
  await app.jobs.idle()
  t.same(seen.sort(), [1, 2, 3])
  await t.rejects(app.jobs.enqueueMany([{ job: 'one', payload: 1 }], { signal: AbortSignal.abort(new Error('no')) }), { message: 'no' })
})

t.test('attempts given with the enqueue win over the definition', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('fails', { attempts: 5, backoff: { delay: 0 } }, () => { throw new Error('always') })
  await app.ready()
  const { id } = await app.jobs.enqueue('fails', {}, { attempts: 1 })
  await app.jobs.idle({ delayed: true })
  t.match(await app.jobs.get(id), { state: 'dead', attempt: 1, attempts: 1 })
})

t.test('a paused queue holds its jobs, before and after ready, and an unknown one is an error', async (t) => {
  const app = await buildApp(t, { queues: { side: {} } })
  const seen: string[] = []
  app.jobs.define('main', () => { seen.push('main') })
  app.jobs.define('side', { queue: 'side' }, () => { seen.push('side') })
  app.jobs.pause('side')
  await app.ready()
  const held = await app.jobs.enqueue('side', {})
  const ran = deferred()
  app.jobs.addHook('onSuccess', () => ran.resolve())
  await app.jobs.enqueue('main', {})
  await ran.promise
  t.same(seen, ['main'])
  t.match(await app.jobs.get(held.id), { state: 'waiting', attempt: 0 })
  t.match((await app.jobs.status()).queues, { side: { paused: true, queueDepth: 1 }, default: { paused: false } })
  app.jobs.resume()
  await app.jobs.idle()
  t.same(seen, ['main', 'side'])
  t.throws(() => app.jobs.pause('nowhere'), { code: 'FST_JOBS_UNKNOWN_QUEUE', message: /'nowhere'/ })
})

t.test('progress is seen while the job runs, and must be a finite number', async (t) => {
  const app = await buildApp(t)
  const reported = deferred()
  const go = deferred()
  app.jobs.define('long', { attempts: 1 }, async (_payload, { progress }) => {
    progress(40)
    reported.resolve()
    await go.promise
    progress(NaN)
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('long', {})
  await reported.promise
  t.match(await app.jobs.get(id), { state: 'active', progress: 40 })
  go.resolve()
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'dead', error: { message: /progress of job 'long'.*NaN/ } })
})

t.test('dead letters can be listed, run again and removed', async (t) => {
  const app = await buildApp(t)
  let broken = true
  app.jobs.define('sometimes', { attempts: 1 }, () => { if (broken) throw new Error('broken') })
  await app.ready()
  const [first, second] = await app.jobs.enqueueMany([{ job: 'sometimes', payload: 1 }, { job: 'sometimes', payload: 2 }])
  await app.jobs.idle()
  t.match(await app.jobs.deadLetters.list(), [{ id: first!.id, payload: 1, error: { message: 'broken' } }, { id: second!.id, payload: 2 }])
  broken = false
  t.equal(await app.jobs.deadLetters.retry(first!.id), true)
  t.equal(await app.jobs.deadLetters.remove(second!.id), true)
  await app.jobs.idle()
  t.match(await app.jobs.get(first!.id), { state: 'succeeded' })
  t.same(await app.jobs.deadLetters.list({ queue: 'default', limit: 5 }), [])
  t.equal(await app.jobs.deadLetters.retry('unknown'), false)
  t.equal(await app.jobs.deadLetters.remove(first!.id), false)
  t.equal(await app.jobs.cancel('unknown'), false)
})

t.test('every job of an enqueueMany that was refused counts as rejected, whatever its queue', async (t) => {
  const app = await buildApp(t, { queues: { strict: { capacity: 1, fullMode: 'reject' }, other: {} } })
  app.jobs.define('a', { queue: 'strict' }, async () => {})
  app.jobs.define('b', { queue: 'other' }, async () => {})
  await app.ready()
  await t.rejects(app.jobs.enqueueMany([{ job: 'a', payload: 1 }, { job: 'a', payload: 2 }, { job: 'b', payload: 3 }]), { code: 'FST_JOBS_QUEUE_FULL' })
  const metrics = parseExposition((await app.inject('/metrics')).body)
  t.equal(metrics.value('jobs_rejected_total', { job_name: 'a' }), 2)
  t.equal(metrics.value('jobs_rejected_total', { job_name: 'b' }), 1)
})

t.test('enqueueMany stops between two queues when the app begins to stop, and says so', async (t) => {
  const gate = deferred()
  const slow = Object.assign(memory(), {
    offer: undefined,
    enqueue: async (_queue: string, jobs: readonly JobEnvelope[]) => {
      await gate.promise
      return jobs.map(({ id }) => ({ id, status: 'enqueued' as const }))
    }
  })
  const app = await buildApp(t, { queues: { slow: { backend: slow }, fast: {} } })
  app.jobs.define('a', { queue: 'slow' }, async () => {})
  app.jobs.define('b', { queue: 'fast' }, async () => {})
  await app.ready()
  const enqueued = app.jobs.enqueueMany([{ job: 'a', payload: 1 }, { job: 'b', payload: 2 }])
  const closing = app.close()
  while ((await app.jobs.status()).isRunning) await turns(1)
  gate.resolve()
  await t.rejects(enqueued, { code: 'FST_JOBS_STOPPING', message: /'b'/, headers: { 'retry-after': '5' } })
  await closing
})
