import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs, { memory, type Jobs } from '../../lib/index.ts'
import { destinationOf } from '../../lib/outbox/destination.ts'
import outbox, { outbox as named, type Outbox, type OutboxOptions, type ParkedEvent } from '../../lib/outbox/index.ts'
import { buildApp, deferred, logTo } from '../helpers/app.ts'
import { event, outboxApp, ScriptedStore, until } from '../helpers/outbox.ts'

const publish = (): void => {}

t.test('it needs the jobs plugin', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(async () => app.register(outbox, { store: new ScriptedStore(), publish }), { message: /fastify-background-jobs/ })
  t.equal(named, outbox)
})

t.test('wrong options are named', async (t) => {
  const store = new ScriptedStore()
  const wrong: [unknown, RegExp][] = [
    [{ publish }, /required property 'store'/],
    [{ store: {}, publish }, /option 'store'.*'open'/],
    [{ store }, /exactly one of 'publish' and 'job'/],
    [{ store, publish, job: 'x' }, /exactly one of 'publish' and 'job'/],
    [{ store, publish: 'x' }, /option 'publish' must be a function, got string/],
    [{ store, job: 7 }, /option 'job' must be string, got 7/],
    [{ store, job: {} }, /option 'job'.*'name'/],
    [{ store, publish, name: 'a b' }, /option 'name'.*'a b'/],
    [{ store, publish, name: 7 }, /option 'name'.*number/],
    [{ store, publish, every: 0 }, /option 'every' must be >= 1, got 0/],
    [{ store, publish, batchSize: 1.5 }, /option 'batchSize' must be integer, got 1.5/],
    [{ store, publish, attempts: 0 }, /option 'attempts'/],
    [{ store, publish, backoff: { delay: -1 } }, /option 'backoff.delay'/],
    [{ store, publish, backoff: { base: 1 } }, /unknown option 'backoff.base'/],
    [{ store, publish, timeout: 0 }, /option 'timeout'/],
    [{ store, publish, timeout: Infinity }, /option 'timeout'/],
    [{ store, publish, retention: -1 }, /option 'retention'/],
    [{ store, publish, maxPayloadBytes: 0 }, /option 'maxPayloadBytes'/],
    [{ store, publish, onParked: 1 }, /option 'onParked' must be a function, got 1/],
    [{ store, publish: (_event: unknown, _context: unknown, _done: unknown) => {} }, /option 'publish' takes 3 parameters and gets 2: there is no callback/],
    [{ store, publish, onParked: (_event: unknown, _error: unknown, _done: unknown) => {} }, /option 'onParked' takes 3 parameters and gets 2: there is no callback/],
    [{ store, publish, interval: 5 }, /unknown option 'interval'/]
  ]
  for (const [options, message] of wrong) {
    const app = await buildApp(t)
    await t.rejects(async () => app.register(outbox, options as OutboxOptions), { code: 'FST_JOBS_INVALID_OPTIONS', message })
  }
})

t.test('a store that cannot be opened fails the start, naming the outbox', async (t) => {
  const cause = new Error('connection refused')
  const app = await buildApp(t)
  const store = { open: async () => { throw cause } }
  await t.rejects(async () => app.register(outbox, { store, publish, name: 'orders' }), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', message: /outbox 'orders'/, cause })
})

t.test('a typed error of the store is the start’s', async (t) => {
  const app = await buildApp(t)
  const error = Object.assign(new Error('not here'), { code: 'FST_JOBS_NOT_SUPPORTED' })
  await t.rejects(async () => app.register(outbox, { store: { open: async () => { throw error } }, publish }), error)
})

t.test('whatever a store is rejected with, the start fails with a typed error', async (t) => {
  for (const thrown of [null, 'text']) {
    const app = await buildApp(t)
    const store = { open: () => Promise.reject(thrown) }
    await t.rejects(async () => app.register(outbox, { store, publish }), { code: 'FST_JOBS_BACKEND_UNAVAILABLE' })
  }
})

t.test('the relay is a service of the app, which stops before the store is closed', async (t) => {
  const store = new ScriptedStore()
  const [arrived, gate] = [deferred(), deferred()]
  const app = await outboxApp(t, {
    store,
    name: 'orders',
    async publish () {
      arrived.resolve()
      await gate.promise
    }
  })
  store.batches.push([event('a'), event('b')])
  await app.ready()
  t.match((await app.jobs.status()).services, { orders: { state: 'running' } })
  await arrived.promise
  const closing = app.close()
  await until(async () => (await app.jobs.status()).isStopping)
  t.equal(store.isClosed, false)
  gate.resolve()
  await closing
  t.equal(store.isClosed, true)
  t.same(store.results.map(({ event, state }) => `${event.id} ${state}`), ['a published'], 'what is in flight ends, nothing begins')
})

t.test('a store out of reach is logged, and the relay goes on', async (t) => {
  const lines: any[] = []
  const store = new ScriptedStore()
  let failures = 2
  const { batch } = store
  store.batch = async function (options, work) {
    if (failures-- > 0) throw new Error('connection refused')
    return batch.call(this, options, work)
  }
  store.batches.push([event('a')])
  const app = await outboxApp(t, { store, publish, every: 1 }, {}, logTo(lines))
  await app.ready()
  await until(() => store.results.length === 1)
  t.match(lines.filter(({ level }) => level === 50), [{ service: 'outbox', err: { message: 'connection refused' } }, { err: { message: 'connection refused' } }])
})

t.test('two outboxes live in two encapsulated contexts, under two names', async (t) => {
  const app = await buildApp(t)
  const outboxes: Outbox[] = []
  for (const name of ['orders', 'invoices']) {
    app.register(async (child) => {
      await child.register(outbox, { store: new ScriptedStore(), publish, name })
      outboxes.push(child.outbox)
    })
  }
  await app.ready()
  t.not(outboxes[0], outboxes[1])
  t.notOk(app.hasDecorator('outbox'))
  t.same(Object.keys((await app.jobs.status()).services), ['orders', 'invoices'])
})

t.test('two outboxes of one name are refused', async (t) => {
  const app = await buildApp(t)
  const [one, two] = [new ScriptedStore(), new ScriptedStore()]
  await app.register(async (child) => { await child.register(outbox, { store: one, publish }) })
  await t.rejects(async () => app.register(async (child) => { await child.register(outbox, { store: two, publish }) }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'outbox'/ })
  await app.close()
  t.same([one.isClosed, two.isClosed], [true, true])
})

t.test('add checks what it is given and hands it to the store', async (t) => {
  const store = new ScriptedStore()
  const { outbox } = await outboxApp(t, { store, publish, maxPayloadBytes: 20 })
  const tx = { prepare: () => ({ run () {} }) }
  const id = outbox.add(tx, 'order.placed', { total: 7 }, { key: 'order-7' })
  t.match(id, /^[\da-f-]{36}$/)
  outbox.add(tx, 'order.placed', undefined)
  outbox.add(tx, 'x'.repeat(255), null, { key: '' })
  t.match(store.added, [
    { id, type: 'order.placed', key: 'order-7', payload: '{"total":7}' },
    { type: 'order.placed', key: '', payload: 'null' },
    { key: '', payload: 'null' }
  ])
  const wrong: [unknown[], { code: string, message: RegExp }][] = [
    [[7, 1], { code: 'FST_JOBS_INVALID_OPTIONS', message: /type must be a string, got number/ }],
    [['', 1], { code: 'FST_JOBS_INVALID_OPTIONS', message: /got 0 characters/ }],
    [['x'.repeat(256), 1], { code: 'FST_JOBS_INVALID_OPTIONS', message: /got 256 characters/ }],
    [['nul \0', 1], { code: 'FST_JOBS_INVALID_OPTIONS', message: /no NUL/ }],
    [['a', 1, { key: 7 }], { code: 'FST_JOBS_INVALID_OPTIONS', message: /event 'a'.*option 'key' must be string, got 7/ }],
    [['a', 1, { key: 'nul \0' }], { code: 'FST_JOBS_INVALID_OPTIONS', message: /option 'key'/ }],
    [['a', 1, { key: 'x'.repeat(256) }], { code: 'FST_JOBS_INVALID_OPTIONS', message: /option 'key'/ }],
    [['a', 1, { id: 'x' }], { code: 'FST_JOBS_INVALID_OPTIONS', message: /unknown option 'id'/ }],
    [['a', 1n], { code: 'FST_JOBS_INVALID_PAYLOAD', message: /'a'/ }],
    [['a', 'x'.repeat(20)], { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', message: /22 bytes/ }]
  ]
  for (const [[type, payload, options], error] of wrong) t.throws(() => outbox.add(tx, type as string, payload, options as {}), error)
  t.equal(store.added.length, 3)
})

t.test('parked events are asked for by the hundred, and by an id that is a string', async (t) => {
  const store = new ScriptedStore()
  const asked: unknown[] = []
  const one = { id: 'a' } as ParkedEvent
  Object.assign(store, {
    listParked: async (limit: number) => { asked.push(limit); return [one] },
    retryParked: async (id: string) => { asked.push(`retry ${id}`); return true },
    removeParked: async (id: string) => { asked.push(`remove ${id}`); return false }
  })
  const { outbox: { parked } } = await outboxApp(t, { store, publish })
  t.same([await parked.list(), await parked.list({ limit: 3 }), await parked.retry('a'), await parked.remove('b')], [[one], [one], true, false])
  t.same(asked, [100, 3, 'retry a', 'remove b'])
  await t.rejects(parked.list({ limit: -1 }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /limit.*got -1/ })
  await t.rejects(parked.retry(7 as never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /parked.retry.*got number/ })
  await t.rejects(parked.remove(null as never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /parked.remove.*got null/ })
})

t.test('once the app has closed, questions about parked events are answered with that', async (t) => {
  const app = await outboxApp(t, { store: new ScriptedStore(), publish })
  await app.close()
  const closed = { code: 'FST_JOBS_CLOSED', statusCode: 503 }
  await t.rejects(app.outbox.parked.list(), { ...closed, message: /outbox\.parked\.list\(\)/ })
  await t.rejects(app.outbox.parked.retry('x'), { ...closed, message: /outbox\.parked\.retry\('x'\)/ })
  await t.rejects(app.outbox.parked.remove('x'), { ...closed, message: /outbox\.parked\.remove\('x'\)/ })
})

t.test('with a job every event becomes one of it, whose id and correlation id are the event’s', async (t) => {
  const store = new ScriptedStore()
  const app = await outboxApp(t, { store, job: 'handle-event' })
  const seen: unknown[] = []
  app.jobs.define('handle-event', async (payload, { job }) => { seen.push([job.id, job.correlationId, payload]) })
  store.batches.push([event('a', { key: 'k', payload: { n: 1 }, createdAt: 5 })])
  await app.ready()
  await until(() => seen.length === 1)
  t.same(seen, [['a', 'a', { id: 'a', type: 'thing.happened', key: 'k', payload: { n: 1 }, createdAt: 5 }]])
})

t.test('with a job, add refuses what the queue of the job would refuse', async (t) => {
  const limit = 300
  for (const job of ['handle-event', 'definition'] as const) {
    const store = new ScriptedStore()
    const app = await buildApp(t, { backend: memory({ serialize: true }), queues: { mail: { maxPayloadBytes: limit } } })
    const definition = app.jobs.define('handle-event', { queue: 'mail' }, async () => {})
    await app.register(outbox, { store, job: job === 'definition' ? definition : job })
    const tx = { prepare: () => ({ run () {} }) }
    const add = (size: number): unknown => app.outbox.add(tx, 'ördered', 'é'.repeat(size), { key: 'kéy' })
    let size = 1
    const fits = (): boolean => {
      try {
        add(size)
        return true
      } catch (error) {
        t.match(error, { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', message: /event 'ördered', as job 'handle-event' of queue 'mail', has 30[12] bytes, more than the 300 allowed/ })
        return false
      }
    }
    while (fits()) size++
    t.throws(() => add(1000), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE' })
    t.equal(store.added.length, size - 1)
    // The last one that was taken is the largest one that the queue takes.
    const { id, type, key } = store.added.at(-1)!
    const enqueue = (size: number): Promise<unknown> => app.jobs.enqueue('handle-event', { id, type, key, payload: 'é'.repeat(size), createdAt: Date.now() })
    await t.resolves(enqueue(size - 1))
    await t.rejects(enqueue(size), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE' })
  }
})

t.test('where the queue would refuse nothing, add refuses by its own limit only', async (t) => {
  const tx = { prepare: () => ({ run () {} }) }
  const large = 'x'.repeat(1000)
  const queues = { default: { maxPayloadBytes: 300 } }
  // Objects stay objects; nobody knows the queue of a job that is not defined; an event that is published otherwise is no job.
  for (const [backend, options] of [[memory(), { job: 'handle-event' }], [memory({ serialize: true }), { job: 'not-defined' }], [memory({ serialize: true }), { publish }]] as const) {
    const store = new ScriptedStore()
    const app = await outboxApp(t, { store, maxPayloadBytes: 2000, ...options } as OutboxOptions, { backend, queues })
    app.jobs.define('handle-event', async () => {})
    t.type(app.outbox.add(tx, 'large', large), 'string')
    t.throws(() => app.outbox.add(tx, 'larger', large.repeat(2)), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', message: /event 'larger' has 2002 bytes, more than the 2000/ })
  }
})

t.test('the queues of another copy of the package are not known', async (t) => {
  const { check } = destinationOf({ job: 'handle-event' }, { enqueue: async () => {} } as unknown as Jobs)
  t.doesNotThrow(() => check({ id: 'a', type: 'large', key: '', payload: JSON.stringify('x'.repeat(2 ** 21)) }))
})

t.test('an engine that carries less than the settings allow is asked, too', async (t) => {
  const store = new ScriptedStore()
  const backend = memory({ serialize: true })
  Object.assign(backend.capabilities, { maxPayloadBytes: 200 })
  const app = await outboxApp(t, { store, job: 'handle-event' }, { backend })
  app.jobs.define('handle-event', async () => {})
  t.throws(() => app.outbox.add({ prepare: () => ({ run () {} }) }, 'large', 'x'.repeat(200)), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', message: /more than the 200 allowed/ })
})

t.test('an event that its job refuses is parked at the first attempt', async (t) => {
  const store = new ScriptedStore()
  const app = await outboxApp(t, { store, job: 'handle-event' }, { backend: memory({ serialize: true }), queues: { default: { maxPayloadBytes: 300 } } })
  app.jobs.define('handle-event', { schema: { type: 'object', properties: { payload: { type: 'string' } } } }, async () => {})
  store.batches.push([event('a', { payload: 'x'.repeat(300) }), event('b', { payload: 7 }), event('c', { payload: 'fine' })])
  await app.ready()
  await until(() => store.results.length === 3)
  t.match(store.results, [
    { state: 'parked', error: { code: 'FST_JOBS_PAYLOAD_TOO_LARGE' } },
    { state: 'parked', error: { code: 'FST_JOBS_INVALID_PAYLOAD' } },
    { state: 'published' }
  ])
})

t.test('the job can be given as its definition, and an event that is there already is not enqueued twice', async (t) => {
  const store = new ScriptedStore()
  const app = await buildApp(t)
  let runs = 0
  const job = app.jobs.define('handle-event', async () => { runs++ })
  await app.register(outbox, { store, job })
  store.batches.push([event('a')], [event('a', { attempt: 2 })])
  await app.ready()
  await until(() => store.results.length === 2)
  await app.jobs.idle()
  t.same(store.results.map(({ state }) => state), ['published', 'published'])
  t.equal(runs, 1)
})

t.test('a queue that is full, in whatever way it says so, uses up no attempt', async (t) => {
  for (const fullMode of ['reject', 'wait', 'dropWrite'] as const) {
    const store = new ScriptedStore()
    const lines: any[] = []
    const app = await outboxApp(t, { store, job: 'handle-event', timeout: 50 }, { queues: { default: { capacity: 1, fullMode } } }, logTo(lines, 'warn'))
    app.jobs.define('handle-event', async () => {})
    await app.jobs.enqueue('handle-event', 1, { delay: 3_600_000 })
    store.batches.push([event('a')])
    await app.ready()
    const warning = await until(() => lines.find(({ msg }) => msg.startsWith('the destination of the outbox')))
    t.match(warning, { outbox: 'outbox', err: { code: fullMode === 'wait' ? 'FST_JOBS_TIMEOUT' : 'FST_JOBS_QUEUE_FULL' } }, fullMode)
    t.same(store.results, [])
  }
})

t.test('an event that no handler can be found for is a failure of its own', async (t) => {
  const store = new ScriptedStore()
  const app = await outboxApp(t, { store, job: 'nobody' }, { backend: memory() })
  store.batches.push([event('a')])
  await app.ready()
  await until(() => store.results.length === 1)
  t.match(store.results, [{ state: 'failed', error: { code: 'FST_JOBS_UNKNOWN_JOB' } }])
})

t.test('it works without metrics', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(backgroundJobs, { metrics: false })
  await app.register(outbox, { store: new ScriptedStore(), publish })
  await t.resolves(async () => { await app.ready() })
})
