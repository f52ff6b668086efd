import t, { type Test } from 'tap'
import { asFunction } from 'awilix'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type BackgroundJobsOptions, type Service, type ServiceContext, type ServiceOptions, type ServiceStatus } from '../../lib/index.ts'
import { buildApp, deferred, logTo, now, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

interface Hosted {
  readonly app: FastifyInstance
  readonly clock: ManualClock
  readonly lines: any[]
  status (): Promise<ServiceStatus>
}

/** An app with one service named 'tail', which is running unless it was too quick. */
async function hosted (t: Test, service: Service, options: ServiceOptions = {}, { jobs, level }: { jobs?: BackgroundJobsOptions, level?: string } = {}): Promise<Hosted> {
  const lines: any[] = []
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, shutdown: { timeout: 1000 }, ...jobs }, logTo(lines, level))
  app.jobs.service('tail', service, options)
  await app.ready()
  await turns()
  return { app, clock, lines, status: async () => (await app.jobs.status()).services.tail! }
}

function rejectionOf (promise: PromiseLike<unknown>): Promise<unknown> {
  return Promise.resolve(promise).then(() => 'it did not reject', (error: unknown) => error)
}

t.test('run begins after whoever waits for the app to be ready, its synchronous prefix too', async (t) => {
  const app = await buildApp(t)
  const events: string[] = []
  app.jobs.service('one', { run () { events.push('one ran') } })
  app.jobs.service('two', { async run () { events.push('two ran') } })
  app.addHook('onReady', async () => { await turns(); events.push('hook') })
  await app.ready()
  events.push('ready')
  t.same(events, ['hook', 'ready'])
  await turns(2)
  t.same(events, ['hook', 'ready', 'one ran', 'two ran'])
  const called = await buildApp(t)
  called.jobs.service('one', { run () { events.push('ran') } })
  called.ready(() => { events.push('callback') })
  await turns(20)
  t.same(events.slice(4), ['callback', 'ran'])
})

t.test('run begins after every service has started, and stop comes after run has ended', async (t) => {
  const app = await buildApp(t)
  const events: string[] = []
  app.jobs.service('one', {
    start () { events.push('one started') },
    async run ({ signal, sleep }) { events.push('one runs'); await sleep(Infinity); await turns(); events.push(`one ends ${signal.aborted}`) },
    stop () { events.push('one stopped') }
  })
  app.jobs.service('two', { start () { events.push('two started') } })
  await app.ready()
  await turns()
  await app.close()
  t.same(events, ['one started', 'two started', 'one runs', 'one ends true', 'one stopped'])
})

t.test('the signal aborts with an error that says why', async (t) => {
  const reasons: unknown[] = []
  const { app } = await hosted(t, { run: async ({ signal, sleep }) => { await sleep(Infinity); reasons.push(signal.reason) } } satisfies Service)
  await app.close()
  t.match(reasons, [{ code: 'FST_JOBS_STOPPING', statusCode: 503, message: /service 'tail' was told to stop/ }])
})

t.test('a loop that throws the reason, an AbortError or what an enqueue said has stopped, not failed', async (t) => {
  const endings: Service['run'][] = [
    ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    async ({ signal, sleep }) => { await sleep(Infinity); signal.throwIfAborted() },
    async ({ sleep }) => { await sleep(Infinity); throw new DOMException('aborted', 'AbortError') }
  ]
  for (const run of endings) {
    const { app, lines, status } = await hosted(t, { run })
    await app.close()
    t.same(lines, [])
    t.same(await status(), { state: 'stopped', restarts: 0 })
  }
  const app = await buildApp(t)
  app.jobs.define('job', async () => {})
  app.jobs.service('tail', { run: async ({ sleep }) => { await sleep(Infinity); await app.jobs.enqueue('job', 1) } })
  await app.ready()
  await turns()
  await app.close()
})

t.test('a loop that throws something else when it is told to stop is an error of the close', async (t) => {
  const error = new Error('lost the last batch')
  for (const onFailure of ['ignore', 'restart', 'close'] as const) {
    const { app, lines, status } = await hosted(t, { run: async ({ sleep }) => { await sleep(Infinity); throw error } }, { onFailure })
    t.equal(await rejectionOf(app.close()), error)
    t.match(lines, [{ service: 'tail', err: { message: 'lost the last batch' }, msg: /while it was stopped/ }])
    t.same(await status(), { state: 'stopped', restarts: 0 })
  }
})

t.test('a loop may sleep a thousand times at once without a warning of a leak, and one abort wakes all', async (t) => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', onWarning)
  t.teardown(() => process.off('warning', onWarning))
  const { app, status } = await hosted(t, { run: async ({ sleep }) => { await Promise.all(Array.from({ length: 1000 }, () => sleep(60_000))) } })
  t.same(await status(), { state: 'running', restarts: 0 })
  await app.close()
  await turns()
  t.same(await status(), { state: 'stopped', restarts: 0 })
  t.same(warnings, [])
})

t.test('states: registered, starting, running, stopping, stopped', async (t) => {
  const [starting, ending] = [deferred(), deferred()]
  const app = await buildApp(t)
  const state = async (): Promise<string> => (await app.jobs.status()).services.tail!.state
  app.jobs.service('tail', { start: () => starting.promise, run: async ({ sleep }) => { await sleep(Infinity); await ending.promise } })
  t.equal(await state(), 'registered')
  const ready = app.ready()
  await turns()
  t.equal(await state(), 'starting')
  starting.resolve()
  await ready
  await turns()
  t.equal(await state(), 'running')
  const closing = app.close()
  await turns(20)
  t.equal(await state(), 'stopping')
  ending.resolve()
  await closing
  t.equal(await state(), 'stopped')
})

t.test('a run that returns has completed, is no failure, and its stop is still called', async (t) => {
  let stopped = 0
  for (const run of [() => {}, async () => {}, async () => 'a value', () => ({ then (resolve: () => void) { resolve() } })]) {
    const { app, lines, status } = await hosted(t, { run, stop () { stopped++ } }, { onFailure: 'close' }, { level: 'info' })
    t.same(await status(), { state: 'completed', restarts: 0 })
    t.match(lines.filter(({ service }) => service === 'tail'), [{ level: 30, msg: /has completed/ }])
    t.equal((await app.inject('/health/ready')).json().status, 'healthy')
    await app.close()
    t.same(await status(), { state: 'completed', restarts: 0 })
  }
  t.equal(stopped, 4)
})

t.test("onFailure 'ignore' logs whatever run throws, and the service has failed", async (t) => {
  const unreadable = Object.defineProperty(new Error('no'), 'message', { get () { throw new Error('unreadable') } })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const thrown: [unknown, RegExp][] = [
    [new Error('no feed'), /no feed/], ['a text', /a text/], [null, /null was thrown/], [undefined, /undefined was thrown/], [0, /number was thrown: 0/],
    [Symbol('s'), /symbol was thrown/], [unreadable, /cannot be read/], [proxy, /object was thrown/]
  ]
  for (const [value, message] of thrown) {
    for (const run of [() => { throw value }, async () => { throw value }]) {
      let stopped = 0
      const { app, lines, status } = await hosted(t, { run, stop () { stopped++ } })
      t.same(await status(), { state: 'failed', restarts: 0 })
      t.match(lines, [{ level: 50, service: 'tail', err: { message }, msg: 'the service failed and is not restarted' }])
      t.match((await app.inject('/health/ready')).json(), { status: 'unhealthy', reasons: ["service 'tail' has failed"] })
      await app.close()
      t.equal(stopped, 1)
      t.same(await status(), { state: 'failed', restarts: 0 }, 'and stays so')
    }
  }
})

t.test("onFailure 'restart' runs it again after the backoff, with a context of its own", async (t) => {
  const contexts: ServiceContext[] = []
  const scopes = new Set<unknown>()
  const run: Service['run'] = async (context) => {
    contexts.push(context)
    scopes.add(context.diScope)
    if (contexts.length < 3) throw new Error(`no ${contexts.length}`)
    await context.sleep(Infinity)
  }
  const seen: unknown[][] = []
  const { app, clock, lines, status } = await hosted(t, { run }, { onFailure: 'restart', restart: { backoff: (attempt, error) => { seen.push([attempt, (error as Error).message]); return attempt * 100 } } })
  t.same(await status(), { state: 'restarting', restarts: 1 })
  t.match((await app.inject('/health/ready')).json(), { status: 'degraded', reasons: ["service 'tail' has failed and will be restarted"] })
  await clock.advance(99)
  t.equal(contexts.length, 1)
  await clock.advance(1)
  t.equal(contexts.length, 2)
  t.same(await status(), { state: 'restarting', restarts: 2 })
  await clock.advance(200)
  t.same(await status(), { state: 'running', restarts: 2 })
  t.equal((await app.inject('/health/ready')).json().status, 'healthy')
  t.same(seen, [[1, 'no 1'], [2, 'no 2']])
  t.equal(new Set(contexts).size, 3)
  t.equal(scopes.size, 3)
  t.match(lines, [
    { level: 50, service: 'tail', restart: 1, limit: 5, delay: 100, err: { message: 'no 1' }, msg: /will be restarted/ },
    { level: 50, service: 'tail', restart: 2, limit: 5, delay: 200, err: { message: 'no 2' }, msg: /will be restarted/ }
  ])
  await app.close()
  t.same(await status(), { state: 'stopped', restarts: 2 })
})

t.test('by default it waits 1 s, 2 s, 4 s … up to 60 s, less up to a fifth, and gives up after five restarts in a row', async (t) => {
  let runs = 0
  const { clock, lines, status } = await hosted(t, { run () { runs++; throw new Error('no') } }, { onFailure: 'restart' })
  for (const seconds of [1, 2, 4, 8, 16]) await clock.advance(seconds * 1000)
  t.equal(runs, 6)
  t.same(await status(), { state: 'failed', restarts: 5 })
  lines.slice(0, -1).forEach(({ delay }, index) => t.ok(delay <= 1000 * 2 ** index && delay >= 800 * 2 ** index, `${delay}`))
  t.match(lines.at(-1), { msg: 'the service failed and is not restarted' })
  await clock.advance(3_600_000)
  t.equal(runs, 6)
})

t.test('the limit is of restarts in a row: a run of a minute starts the count again', async (t) => {
  let runs = 0
  const lifetimes = [0, 59_999, 60_000, 0, 0, 0]
  const run: Service['run'] = async ({ sleep }) => { await sleep(lifetimes[runs++]!); throw new Error('no') }
  const { clock, lines, status } = await hosted(t, { run }, { onFailure: 'restart', restart: { limit: 2, backoff: () => 1 } })
  await clock.advance(300_000)
  t.same(lines.map(({ restart }) => restart), [1, 2, 1, 2, undefined])
  t.equal(runs, 5)
  t.same(await status(), { state: 'failed', restarts: 4 })
})

t.test('a limit of 0 restarts nothing', async (t) => {
  const { status } = await hosted(t, { run () { throw new Error('no') } }, { onFailure: 'restart', restart: { limit: 0 } })
  t.same(await status(), { state: 'failed', restarts: 0 })
})

t.test('a backoff that throws, or answers with no delay, is logged and the default applies', async (t) => {
  const answers: (() => number)[] = [
    () => { throw new Error('no idea') }, () => NaN, () => -1, () => Infinity, () => 'soon' as never, () => Promise.reject(new Error('too late')) as never
  ]
  for (const backoff of answers) {
    let runs = 0
    const { clock, lines, status } = await hosted(t, { run () { runs++; throw new Error('no') } }, { onFailure: 'restart', restart: { limit: 1, backoff } })
    t.match(lines, [{ msg: "the service's backoff failed, the default applies" }, { restart: 1 }])
    await clock.advance(2000)
    t.equal(runs, 2)
    t.same(await status(), { state: 'failed', restarts: 1 })
  }
})

t.test('backoff options are completed with the defaults of services', async (t) => {
  const { lines } = await hosted(t, { run () { throw new Error('no') } }, { onFailure: 'restart', restart: { backoff: { jitter: 0 } } })
  t.match(lines, [{ delay: 1000 }])
})

t.test('a restart that is waited for, for however long, does not hold the close', async (t) => {
  let runs = 0
  for (const delay of [60_000, Number.MAX_VALUE]) {
    const { app, clock, status } = await hosted(t, { run () { runs++; throw new Error('no') } }, { onFailure: 'restart', restart: { backoff: () => delay } })
    await app.close()
    await clock.advance(60_000)
    t.same(await status(), { state: 'stopped', restarts: 1 })
    t.equal(clock.pending, 0)
  }
  t.equal(runs, 2)
})

t.test('a service that is restarted may return, and has completed then', async (t) => {
  let runs = 0
  const { clock, status } = await hosted(t, { async run () { if (++runs === 1) throw new Error('once') } }, { onFailure: 'restart', restart: { backoff: () => 10 } })
  await clock.advance(10)
  t.same(await status(), { state: 'completed', restarts: 1 })
})

/** What a close says that is called while the app closes because of a failure. */
function closingError (app: FastifyInstance): Promise<unknown> {
  return new Promise((resolve) => { app.addHook('preClose', async () => resolve(rejectionOf(app.close()))) })
}

t.test("onFailure 'close' closes the app, whose close rejects with that very error", async (t) => {
  const error = new Error('the feed is gone')
  const lines: any[] = []
  const app = await buildApp(t, {}, logTo(lines))
  const told = closingError(app)
  app.jobs.service('tail', { async run () { throw error } }, { onFailure: 'close' })
  await app.ready()
  t.equal(await told, error)
  t.match(lines, [{ level: 50, service: 'tail', err: { message: 'the feed is gone' }, msg: 'the service failed, the app closes' }])
  t.match(await app.jobs.status(), { isStopped: true, services: { tail: { state: 'failed', restarts: 0 } } })
})

t.test("onFailure 'close' closes the app although nobody else does, and raises no unhandledRejection", async (t) => {
  const unhandled: unknown[] = []
  const onUnhandled = (reason: unknown): void => { unhandled.push(reason) }
  process.on('unhandledRejection', onUnhandled)
  t.teardown(() => process.off('unhandledRejection', onUnhandled))
  const app = Fastify()
  await app.register(backgroundJobs, { services: { exitCode: false } })
  const closed = deferred()
  const events: string[] = []
  app.addHook('onClose', async () => { events.push('onClose'); closed.resolve() })
  app.jobs.service('other', { start () {}, stop () { events.push('other stopped') } })
  app.jobs.service('fatal', { run () { throw new Error('fatal') }, stop () { events.push('fatal stopped') } }, { onFailure: 'close' })
  await app.ready()
  await closed.promise
  await turns(20)
  t.same(events, ['fatal stopped', 'other stopped', 'onClose'])
  t.same(unhandled, [])
  await app.close()
  t.match(await app.jobs.status(), { isStopped: true }, 'a close that comes later resolves')
})

t.test('a plugin that was registered in a child runs its services, and closes the whole app', async (t) => {
  const app = Fastify()
  const closed = deferred()
  app.addHook('onClose', async () => closed.resolve())
  app.register(async (child) => {
    await child.register(backgroundJobs, { services: { exitCode: false } })
    child.jobs.service('fatal', { run () { throw new Error('fatal') } }, { onFailure: 'close' })
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  await closed.promise
  t.equal(app.server.listening, false)
})

t.test('two failures and what stops throw are told together, in the order of registration, failures first', async (t) => {
  const app = await buildApp(t)
  const gate = deferred()
  const told = closingError(app)
  app.jobs.service('quiet', { start () {}, stop () { throw new Error('quiet') } })
  app.jobs.service('one', { run: async () => { await gate.promise; throw new Error('one') } }, { onFailure: 'close' })
  app.jobs.service('two', { run: async () => { await gate.promise; throw new Error('two') }, stop () { throw new Error('two again') } }, { onFailure: 'close' })
  app.jobs.service('ignored', { run: async () => { await gate.promise; throw new Error('ignored') } })
  await app.ready()
  await turns()
  gate.resolve()
  const error = await told as AggregateError
  t.ok(error instanceof AggregateError)
  t.same(error.errors.map(({ message }) => message), ['one', 'two', 'two again', 'quiet'])
  t.equal(error.message, 'one; two; two again; quiet')
})

t.test('a service may close its app from inside run; only waiting for that holds the close', async (t) => {
  const quick = await buildApp(t)
  quick.jobs.service('tail', { run () { quick.close() } })
  await quick.ready()
  await turns()
  await quick.close()
  t.match(await quick.jobs.status(), { isStopped: true, services: { tail: { state: 'completed' } } })

  const lines: any[] = []
  const clock = new ManualClock()
  const waiting = await buildApp(t, { clock, shutdown: { timeout: 1000 } }, logTo(lines))
  const closed = deferred()
  waiting.addHook('onClose', async () => closed.resolve())
  waiting.jobs.service('tail', { run: () => waiting.close() })
  await waiting.ready()
  await clock.advance(1000)
  t.equal(await now(closed.promise), 'pending')
  await clock.advance(900)
  await closed.promise
  t.match(lines, [{ services: ['tail'], msg: /still running/ }])
})

t.test('a start that fails counts as a failure, and its scope is disposed', async (t) => {
  const app = await buildApp(t)
  let disposed = 0
  app.diContainer.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { disposed++ } }) })
  app.jobs.service('broken', { start ({ diScope }) { diScope.resolve('thing'); throw new Error('no') } })
  await t.rejects(Promise.resolve(app.ready()), { message: 'no' })
  t.equal(disposed, 1)
  await app.close()
  t.equal(disposed, 1)
})

t.test('scopes are disposed exactly once: of every run when it ends, of start and stop after the stop', async (t) => {
  const events: string[] = []
  let scopes = 0
  const app = await buildApp(t, { clock: new ManualClock() })
  app.diContainer.register({
    thing: asFunction(() => ({ id: ++scopes }), { lifetime: 'SCOPED', dispose: ({ id }) => { events.push(`disposed ${id}`) } })
  })
  const touch = (what: string) => ({ diScope }: ServiceContext) => { events.push(`${what} ${diScope.resolve<{ id: number }>('thing').id}`) }
  app.jobs.service('tail', {
    start: touch('start'),
    run: async (context) => { touch('run')(context); touch('run')(context); await context.sleep(Infinity) },
    stop: touch('stop')
  })
  await app.ready()
  await turns()
  await app.close()
  t.same(events, ['start 1', 'run 2', 'run 2', 'disposed 2', 'stop 1', 'disposed 1'])
})

t.test("a disposer that throws is logged under the service's name, and harmless", async (t) => {
  const { app, lines, status } = await hosted(t, {
    run: async ({ diScope, sleep }) => {
      diScope.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { throw new Error('broken disposer') } }) })
      diScope.resolve('thing')
      await sleep(Infinity)
    }
  })
  await app.close()
  t.same(await status(), { state: 'stopped', restarts: 0 })
  t.match(lines, [{ level: 50, service: 'tail', err: { message: 'broken disposer' } }])
})

t.test('a disposer that never settles hides no failure: after ten seconds the service goes on without it', async (t) => {
  let runs = 0
  const run: Service['run'] = async ({ diScope }) => {
    runs++
    diScope.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => new Promise<void>(() => {}) }) })
    diScope.resolve('thing')
    throw new Error('no')
  }
  const { clock, lines, status } = await hosted(t, { run }, { onFailure: 'restart', restart: { limit: 1, backoff: () => 10 } })
  await clock.advance(10_000)
  t.same(await status(), { state: 'restarting', restarts: 1 })
  await clock.advance(10_010)
  t.same(await status(), { state: 'failed', restarts: 1 })
  t.equal(runs, 2)
  t.match(lines.map(({ msg }) => msg), [/took longer than 10000 ms/, /will be restarted/, /took longer than 10000 ms/, /not restarted/])
})

t.test('a failure before the close is none of the close, although the scope is disposed only then', async (t) => {
  for (const onFailure of ['ignore', 'restart'] as const) {
    const release = deferred()
    const run: Service['run'] = async ({ diScope }) => {
      diScope.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => release.promise }) })
      diScope.resolve('thing')
      throw new Error('no')
    }
    const { app, lines, status } = await hosted(t, { run }, { onFailure })
    const closing = app.close()
    await turns(20)
    release.resolve()
    await closing
    t.same(await status(), { state: 'failed', restarts: 0 })
    t.match(lines, [{ service: 'tail', err: { message: 'no' }, msg: 'the service failed and is not restarted' }])
  }
})

t.test('a service that does not touch its scope has none', async (t) => {
  const app = await buildApp(t)
  let scopes = 0
  const { createScope } = app.diContainer
  app.diContainer.createScope = function (this: typeof app.diContainer) { scopes++; return createScope.call(this) } as typeof createScope
  app.jobs.service('tail', { start () {}, run: ({ signal }) => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())), stop () {} })
  await app.ready()
  await turns()
  await app.close()
  t.equal(scopes, 0)
})
