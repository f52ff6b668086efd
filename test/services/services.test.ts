import { once } from 'node:events'
import t, { type Test } from 'tap'
import { asFunction } from 'awilix'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type BackgroundJobsOptions, type Service, type ServiceContext } from '../../lib/index.ts'
import { buildApp, deferred, logTo, now, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

interface Observed { readonly app: FastifyInstance, readonly clock: ManualClock, readonly lines: any[], readonly events: string[] }

async function observedApp (t: Test, options: BackgroundJobsOptions = {}, server = {}): Promise<Observed> {
  const lines: any[] = []
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, shutdown: { timeout: 1000 }, ...options }, { ...logTo(lines), ...server })
  return { app, clock, lines, events: [] }
}

/** A resource that tells when it is started and stopped. */
function resource (name: string, events: string[], rest: Partial<Service> = {}): Service {
  return {
    start: () => { events.push(`${name} started`) },
    stop: () => { events.push(`${name} stopped`) },
    ...rest
  }
}

const invalid = (message: RegExp): { code: string, message: RegExp } => ({ code: 'FST_JOBS_INVALID_OPTIONS', message })

t.test('a service without run and start, or with something else in their place, is refused at registration, by name', async (t) => {
  const { app } = await observedApp(t)
  const refused = (service: unknown, message: RegExp): unknown => t.throws(() => app.jobs.service('tail', service as Service), invalid(message))
  refused({}, /service 'tail': it has neither 'run' nor 'start'/)
  refused({ stop () {} }, /service 'tail': it has neither 'run' nor 'start'/)
  refused([], /service 'tail': it has neither/)
  refused({ run: null }, /service 'tail': option 'run' must be a function, got null/)
  refused({ run () {}, start: 'now' }, /service 'tail': option 'start' must be a function, got string/)
  refused({ run () {}, stop: 1 }, /service 'tail': option 'stop' must be a function, got 1/)
  for (const [service, kind] of [[undefined, 'undefined'], [null, 'null'], ['loop', 'string'], [() => {}, 'function']] as const) {
    refused(service, new RegExp(`service 'tail': it must be an object with 'run' or 'start', got ${kind}`))
  }
  t.same((await app.jobs.status()).services, {})
})

t.test('a second service of the same name is refused', async (t) => {
  const { app } = await observedApp(t)
  app.jobs.service('tail', { run () {} })
  t.throws(() => app.jobs.service('tail', { run () {} }), invalid(/service 'tail': there is one of that name already/))
})

t.test('a name that would not do as a label is refused', async (t) => {
  const { app } = await observedApp(t)
  for (const name of ['', ' ', 'a b', 'a/b', 'é', 'a\n', 'x'.repeat(65)]) {
    t.throws(() => app.jobs.service(name, { run () {} }), invalid(/service name: .*1 to 64 letters, digits/), name)
  }
  for (const name of [1, null, undefined, {}]) t.throws(() => app.jobs.service(name as never, { run () {} }), invalid(/service name/))
  for (const name of ['a', 'x'.repeat(64), 'mail.tail-2_b', '__proto__', 'constructor']) app.jobs.service(name, { run () {} })
  t.equal(Object.keys((await app.jobs.status()).services).length, 5)
})

t.test('options that make no sense are refused', async (t) => {
  const { app } = await observedApp(t)
  const refused = (options: unknown, message: RegExp): unknown => t.throws(() => app.jobs.service('tail', { run () {} }, options as never), invalid(message))
  refused({ onFailure: 'panic' }, /service 'tail': option 'onFailure' .*ignore, restart, close/)
  refused({ onfailure: 'close' }, /service 'tail': unknown option 'onfailure'/)
  refused({ onFailure: 'restart', restart: { limit: -1 } }, /'restart\.limit'/)
  refused({ onFailure: 'restart', restart: { limit: 1.5 } }, /'restart\.limit'/)
  refused({ onFailure: 'restart', restart: { backoff: 1000 } }, /'restart\.backoff'/)
  refused({ onFailure: 'restart', restart: { backoff: { jitter: 2 } } }, /'restart\.backoff\.jitter'/)
  refused({ restart: {} }, /service 'tail': option 'restart' needs onFailure: 'restart'/)
  refused({ onFailure: 'close', restart: { limit: 1 } }, /service 'tail': option 'restart' needs onFailure: 'restart'/)
  refused(null, /service 'tail': the options must be object, got null/)
  app.jobs.service('tail', { run () {} }, { onFailure: 'restart', restart: { limit: 0, backoff: () => 1 } })
})

t.test('a service that comes after ready, or after the close, is refused', async (t) => {
  const { app } = await observedApp(t)
  await app.ready()
  t.throws(() => app.jobs.service('late', { run () {} }), invalid(/service 'late': it came after 'ready'/))
  const other = Fastify()
  await other.register(backgroundJobs)
  await other.close()
  t.throws(() => other.jobs.service('late', { run () {} }), invalid(/service 'late': it came after 'ready'/))
})

t.test('a service cannot register another one while it starts', async (t) => {
  const { app } = await observedApp(t)
  app.jobs.service('parent', { start () { app.jobs.service('child', { run () {} }) } })
  await t.rejects(Promise.resolve(app.ready()), invalid(/service 'child'/))
})

t.test('services of every plugin start in the order of their registration, one after the other, and stop in reverse', async (t) => {
  const { app, events } = await observedApp(t)
  const slow = (name: string): Service => ({
    start: async () => { events.push(`${name} starts`); await turns(); events.push(`${name} started`) },
    stop: async () => { events.push(`${name} stops`); await turns(); events.push(`${name} stopped`) }
  })
  app.jobs.service('first', slow('first'))
  app.register(async (child) => { child.jobs.service('second', slow('second')) })
  app.register(async (child) => { child.jobs.service('third', slow('third')) })
  await app.ready()
  t.same(events.splice(0), ['first starts', 'first started', 'second starts', 'second started', 'third starts', 'third started'])
  await app.close()
  t.same(events, ['third stops', 'third stopped', 'second stops', 'second stopped', 'first stops', 'first stopped'])
})

t.test('services are there before the first job runs', async (t) => {
  const { app } = await observedApp(t)
  let connected = false
  const seen = deferred<boolean>()
  app.jobs.service('connection', { start: async () => { await turns(); connected = true } })
  app.jobs.define('query', async () => seen.resolve(connected))
  await app.jobs.enqueue('query', 1)
  await app.ready()
  t.equal(await seen.promise, true)
})

t.test('a class instance keeps its `this`, and methods of its prototype count', async (t) => {
  const { app } = await observedApp(t)
  class Tail implements Service {
    readonly events: string[] = []
    readonly #secret = 'own'
    start (): void { this.events.push(`start ${this.#secret}`) }
    run (): void { this.events.push(`run ${this.#secret}`) }
    stop (): void { this.events.push(`stop ${this.#secret}`) }
  }
  const tail = new Tail()
  app.jobs.service('tail', tail)
  app.jobs.service('bare', Object.assign(Object.create(null), { run () {} }))
  app.jobs.service('frozen', Object.freeze({ run () {} }))
  await app.ready()
  await turns()
  await app.close()
  t.same(tail.events, ['start own', 'run own', 'stop own'])
})

t.test('a start that throws fails the start of the app, and stops those that were started, in reverse', async (t) => {
  const { app, events, lines } = await observedApp(t)
  const error = new Error('no route to host')
  app.jobs.service('one', resource('one', events))
  app.jobs.service('two', resource('two', events, { run: () => { events.push('two ran') } }))
  app.jobs.service('broken', resource('broken', events, { start: async () => { throw error } }))
  app.jobs.service('never', resource('never', events, { run: () => { events.push('never ran') } }))
  await t.rejects(Promise.resolve(app.ready()), error)
  t.same(events, ['one started', 'two started', 'two stopped', 'one stopped'])
  t.match(lines, [{ level: 50, service: 'broken', err: { message: 'no route to host' }, msg: /failed to start/ }])
  t.match((await app.jobs.status()).services, { one: { state: 'stopped' }, two: { state: 'stopped' }, broken: { state: 'failed' }, never: { state: 'stopped' } })
  await app.close()
  await turns()
  t.equal(events.length, 4, 'the close stops nothing a second time')
})

t.test('whatever a start throws reaches the one who starts the app, synchronously thrown or not', async (t) => {
  for (const start of [() => { throw new Error('at once') }, async () => { throw new Error('at once') }, () => Promise.reject(new Error('at once'))]) {
    const { app } = await observedApp(t)
    app.jobs.service('broken', { start })
    await t.rejects(Promise.resolve(app.listen({ port: 0 })), { message: 'at once' })
  }
})

t.test('a stop that throws while a failed start is cleaned up is told by close, once', async (t) => {
  const { app, events } = await observedApp(t)
  const error = new Error('cannot stop')
  app.jobs.service('first', resource('first', events))
  app.jobs.service('stubborn', resource('stubborn', events, { stop: () => { throw error } }))
  app.jobs.service('broken', { start: () => { throw new Error('cannot start') } })
  await t.rejects(Promise.resolve(app.ready()), { message: 'cannot start' })
  t.same(events, ['first started', 'stubborn started', 'first stopped'])
  t.equal(await Promise.resolve(app.close()).catch((error: unknown) => error), error)
})

t.test('a stop that hangs while a failed start is cleaned up has the shutdown budget, not more', async (t) => {
  const { app, clock, events } = await observedApp(t)
  app.jobs.service('first', resource('first', events))
  app.jobs.service('hanging', resource('hanging', events, { stop: () => new Promise(() => {}) }))
  app.jobs.service('broken', { start: () => { throw new Error('cannot start') } })
  const ready = Promise.resolve(app.ready()).catch((error: Error) => error.message)
  await clock.advance(999)
  t.equal(await now(ready), 'pending')
  t.same(events, ['first started', 'hanging started'])
  await clock.advance(751)
  t.equal(await now(ready), 'cannot start')
  t.same(events, ['first started', 'hanging started', 'first stopped'])
  const closing = app.close()
  await turns(20)
  await clock.advance(2000)
  t.not(await now(closing), 'pending')
  t.equal(clock.pending, 0)
})

t.test('a start that outlasts pluginTimeout fails the start; what comes after it is never started', async (t) => {
  const { app, events } = await observedApp(t, {}, { pluginTimeout: 200 })
  const gate = deferred()
  app.jobs.service('first', resource('first', events))
  app.jobs.service('slow', resource('slow', events, { start: async () => { await gate.promise; events.push('slow started') } }))
  app.jobs.service('after', resource('after', events, { run: () => { events.push('after ran') } }))
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_ERR_HOOK_TIMEOUT' })
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
  t.same(events, ['first started', 'slow started', 'slow stopped', 'first stopped'])
  await turns(20)
  t.equal(events.length, 4)
})

t.test('a start that hangs is told to stop by the close, and holds it within the budget', async (t) => {
  const { app, clock, events, lines } = await observedApp(t, {}, { pluginTimeout: 200 })
  app.jobs.service('first', resource('first', events))
  app.jobs.service('polite', { start: ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))) })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_ERR_HOOK_TIMEOUT' })
  await app.close()
  t.same(events, ['first started', 'first stopped'])

  const other = await observedApp(t, {}, { pluginTimeout: 200 })
  other.app.jobs.service('first', resource('first', other.events))
  other.app.jobs.service('deaf', { start: () => new Promise(() => {}) })
  await t.rejects(Promise.resolve(other.app.ready()), { code: 'FST_ERR_HOOK_TIMEOUT' })
  const closing = other.app.close()
  await turns(20)
  await other.clock.advance(2000)
  t.not(await now(closing), 'pending')
  t.same(other.events, ['first started', 'first stopped'])
  t.match(other.lines.find(({ msg }) => msg.includes('still running')), { services: ['deaf'] })
  t.equal(clock.pending, 0)
  t.same(lines, [], 'a start that ends because it was told to is no failure')
})

t.test("another plugin's failing onReady leaves services started and no loop running; the close stops them", async (t) => {
  const { app, events } = await observedApp(t)
  app.jobs.service('one', resource('one', events, { run: () => { events.push('one ran') } }))
  app.addHook('onReady', async () => { throw new Error('no database') })
  await t.rejects(Promise.resolve(app.ready()), { message: 'no database' })
  await turns(20)
  t.same(events, ['one started'])
  await app.close()
  t.same(events, ['one started', 'one stopped'])
})

t.test('an app that is closed without having been ready starts and stops nothing', async (t) => {
  const { app, events } = await observedApp(t)
  app.jobs.service('one', resource('one', events, { run: () => { events.push('one ran') } }))
  await app.close()
  await turns(20)
  t.same(events, [])
  t.match((await app.jobs.status()).services, { one: { state: 'stopped', restarts: 0 } })
})

t.test('a close while the app starts waits for the start, and stops what was started', async (t) => {
  const { app, events } = await observedApp(t)
  const [begun, gate] = [deferred(), deferred()]
  app.jobs.service('slow', resource('slow', events, {
    start: async () => { begun.resolve(); await gate.promise; events.push('slow started') },
    run: async ({ signal, sleep }) => { events.push(signal.aborted ? 'ran too late' : 'ran'); await sleep(Infinity) }
  }))
  const ready = app.ready()
  await begun.promise
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await ready
  await closing
  await turns(20)
  t.equal(events[0], 'slow started')
  t.equal(events.at(-1), 'slow stopped')
  t.notOk(events.includes('ran too late'))
})

t.test('a close while a service starts tells it to stop at once; nothing after it starts, and no job begins', async (t) => {
  const { app, events } = await observedApp(t)
  const begun = deferred<ServiceContext>()
  app.jobs.define('work', async () => { events.push('a job') })
  app.jobs.service('first', resource('first', events))
  app.jobs.service('slow', {
    async start (context) {
      begun.resolve(context)
      await once(context.signal, 'abort')
      events.push('slow was told')
      throw context.signal.reason
    },
    stop () { events.push('slow stopped') }
  })
  app.jobs.service('after', resource('after', events))
  await app.jobs.enqueue('work', null)
  const ready = app.ready()
  const { signal } = await begun.promise
  const closing = app.close()
  t.match(signal.reason, { code: 'FST_JOBS_STOPPING', message: /'slow'/ })
  await ready
  await closing
  t.same(events, ['first started', 'slow was told', 'first stopped'])
  t.match((await app.jobs.status()).services, { first: { state: 'stopped' }, slow: { state: 'stopped' }, after: { state: 'stopped' } })
})

t.test('so does a close that a child instance calls', async (t) => {
  const { app } = await observedApp(t)
  const begun = deferred<ServiceContext>()
  app.register(async (child) => {
    child.jobs.service('slow', {
      async start (context) {
        begun.resolve(context)
        await once(context.signal, 'abort')
      }
    })
    begun.promise.then(() => child.close())
  })
  await app.ready()
  t.equal((await begun.promise).signal.aborted, true)
  await app.close()
})

t.test("the signal of a stop is its own, which aborts when the shutdown's budget ends", async (t) => {
  const { app, clock } = await observedApp(t)
  const stopping = deferred<ServiceContext>()
  const seen: unknown[] = []
  app.diContainer.register({ thing: asFunction(() => ({})).scoped() })
  app.jobs.service('slow', {
    start ({ diScope, signal }) { seen.push(diScope.resolve('thing'), diScope.resolve('signal') === signal) },
    async stop (context) {
      const { diScope, log, signal, sleep } = context
      seen.push(diScope.resolve('thing'), diScope.resolve('signal') === signal, typeof log.info, signal.aborted)
      await sleep(500)
      stopping.resolve(context)
      await once(signal, 'abort')
      throw signal.reason
    }
  })
  await app.ready()
  const closing = app.close().catch((error: unknown) => error)
  await turns(20)
  await clock.advance(999)
  const { signal } = await stopping.promise
  t.equal(signal.aborted, false)
  await clock.advance(1)
  t.match(await closing, { code: 'FST_JOBS_TIMEOUT', message: /'slow' had not stopped/ })
  t.equal(seen[0], seen[2], 'what start has put into the scope is still there')
  t.same([seen[1], ...seen.slice(3)], [true, true, 'function', false])
})

t.test('errors while stopping keep no other service from stopping, and close tells them all', async (t) => {
  const { app, events, lines } = await observedApp(t)
  app.jobs.service('one', resource('one', events))
  app.jobs.service('sync', resource('sync', events, { stop: () => { throw new Error('thrown') } }))
  app.jobs.service('two', resource('two', events))
  app.jobs.service('async', resource('async', events, { stop: async () => { throw new Error('rejected') } }))
  app.jobs.service('text', { start () {}, stop: () => Promise.reject('a text') }) // eslint-disable-line prefer-promise-reject-errors
  await app.ready()
  const error: AggregateError = await Promise.resolve(app.close()).catch((error) => error)
  t.ok(error instanceof AggregateError)
  t.same(error.errors.map(({ message }) => message), ['a text', 'rejected', 'thrown'])
  t.equal(error.message, 'a text; rejected; thrown')
  t.same(events.slice(-2), ['two stopped', 'one stopped'])
  t.match(lines.map(({ service, msg }) => [service, msg]), ['text', 'async', 'sync'].map((name) => [name, /failed while it was stopped/]))
})

t.test('a single error is told as it is', async (t) => {
  const { app } = await observedApp(t)
  const error = new Error('cannot stop')
  app.jobs.service('one', { start () {}, stop () { throw error } })
  await app.ready()
  t.equal(await Promise.resolve(app.close()).catch((error: unknown) => error), error)
})

t.test('errors that cannot be read keep no service from stopping either', async (t) => {
  const { app, events } = await observedApp(t)
  const unreadable = (): Error => Object.defineProperties(new Error('no'), Object.fromEntries(
    ['name', 'message', 'code', 'stack'].map((property) => [property, { get () { throw new Error('unreadable') } }])
  ))
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  app.jobs.service('one', resource('one', events))
  app.jobs.service('run', { run: async ({ sleep }) => { await sleep(Infinity); throw unreadable() } })
  app.jobs.service('two', resource('two', events))
  app.jobs.service('revoked', { run: async ({ sleep }) => { await sleep(Infinity); throw proxy } })
  app.jobs.service('stop', { start () {}, stop () { throw unreadable() } })
  app.jobs.service('null', { start () {}, stop () { throw null } }) // eslint-disable-line no-throw-literal
  await app.ready()
  await turns()
  const error: AggregateError = await Promise.resolve(app.close()).catch((error) => error)
  t.ok(error instanceof AggregateError)
  t.equal(error.errors.length, 4)
  t.same(events.slice(-2), ['two stopped', 'one stopped'])
})

t.test('a property that cannot be read twice fails its service, not the others', async (t) => {
  const { app } = await observedApp(t)
  let reads = 0
  const moody = { get run () { if (++reads > 3) throw new Error('not now'); return async () => {} } }
  let ran = false
  app.jobs.service('moody', moody)
  app.jobs.service('next', { run () { ran = true } })
  reads = 3
  await app.ready()
  await turns()
  t.match((await app.jobs.status()).services, { moody: { state: 'failed' }, next: { state: 'completed' } })
  t.ok(ran)
  t.throws(() => app.jobs.service('never', { get run (): never { throw new Error('unreadable') } }))
})

t.test('one that does not end holds those registered before it, until the budget ends; then all the rest are told at once', async (t) => {
  const { app, clock, events, lines } = await observedApp(t)
  const told = (name: string): Service['run'] => async ({ sleep }) => { await sleep(Infinity); events.push(`${name} told`) }
  app.jobs.service('one', { run: told('one') })
  app.jobs.service('two', { run: async (context) => { await told('two')!(context); await new Promise(() => {}) } })
  app.jobs.service('three', { run: told('three') })
  app.jobs.service('deaf', { run: async () => new Promise(() => {}) })
  app.jobs.service('five', { run: told('five') })
  await app.ready()
  await turns()
  const closing = app.close()
  await turns(20)
  t.same(events, ['five told'])
  await clock.advance(999)
  t.same(events, ['five told'])
  await clock.advance(1)
  t.same(events, ['five told', 'three told', 'two told', 'one told'])
  t.equal(await now(closing), 'pending', 'a grace follows')
  await clock.advance(900)
  t.not(await now(closing), 'pending')
  t.match(lines, [{ level: 50, services: ['two', 'deaf'], msg: /services were still running when the shutdown budget ended/ }])
  t.match(lines.length, 1)
  t.match((await app.jobs.status()).services, { one: { state: 'stopped' }, two: { state: 'stopping' }, deaf: { state: 'stopping' } })
  t.equal(clock.pending, 0)
})

t.test('a stop that hangs is one that does not end', async (t) => {
  const { app, clock, lines, events } = await observedApp(t)
  app.jobs.service('one', resource('one', events))
  app.jobs.service('hanging', { start () {}, stop: () => new Promise(() => {}) })
  await app.ready()
  const closing = app.close()
  await turns(20)
  t.same(events, ['one started'])
  await clock.advance(2000)
  t.not(await now(closing), 'pending')
  t.same(events, ['one started', 'one stopped'])
  t.match(lines, [{ services: ['hanging'] }])
})

t.test('what an abandoned service throws later goes to the log and nowhere else', async (t) => {
  const { app, clock, lines } = await observedApp(t)
  const gate = deferred()
  app.jobs.service('deaf', { run: async () => gate.promise })
  await app.ready()
  await turns()
  const closing = app.close()
  await turns(20)
  await clock.advance(2000)
  await closing
  gate.reject(new Error('much later'))
  await turns()
  t.match(lines.map(({ msg }) => msg), [/still running/, /failed while it was stopped/])
})

t.test("mode 'stop' aborts every signal at once, and services still end in reverse", async (t) => {
  const { app, events } = await observedApp(t, { shutdown: { mode: 'stop', timeout: 1000 } })
  const gate = deferred()
  const run: Service['run'] = async ({ signal, sleep }) => { signal.addEventListener('abort', () => events.push('aborted')); await sleep(Infinity) }
  app.jobs.service('one', { run, stop: () => { events.push('one stopped') } })
  app.jobs.service('two', { run, stop: async () => { await gate.promise; events.push('two stopped') } })
  await app.ready()
  await turns()
  const closing = app.close()
  await turns(20)
  t.same(events, ['aborted', 'aborted'])
  gate.resolve()
  await closing
  t.same(events.slice(2), ['two stopped', 'one stopped'])
})

t.test('services stop while attempts in flight finish, with the same budget', async (t) => {
  const { app, clock, events } = await observedApp(t)
  const gate = deferred()
  app.jobs.service('one', resource('one', events))
  app.jobs.define('slow', async () => { await gate.promise; events.push('job finished') })
  await app.ready()
  await app.jobs.enqueue('slow', 1)
  await turns()
  const closing = app.close()
  await turns(20)
  t.same(events, ['one started', 'one stopped'])
  await clock.advance(999)
  t.equal(await now(closing), 'pending')
  gate.resolve()
  await closing
  t.same(events.slice(2), ['job finished'])
})

t.test("services stop before any plugin's onClose, so that they have their database", async (t) => {
  const { app, events } = await observedApp(t)
  app.register(async (child) => { child.addHook('onClose', async () => { events.push('database closed') }) })
  app.jobs.service('one', resource('one', events, { stop: async () => { await turns(); events.push('one stopped') } }))
  await app.ready()
  await app.close()
  t.same(events, ['one started', 'one stopped', 'database closed'])
})

t.test('two closes at once stop every service once, and tell the same; one after them resolves', async (t) => {
  const { app, events } = await observedApp(t)
  const error = new Error('cannot stop')
  app.jobs.service('one', resource('one', events, { stop: () => { events.push('one stopped'); throw error } }))
  await app.ready()
  const told = (await Promise.allSettled([app.close(), app.close()])).map((result) => result.status === 'rejected' && result.reason)
  t.equal(told[0], error)
  t.same(events, ['one started', 'one stopped'])
  await app.close()
  t.same(events, ['one started', 'one stopped'])
})

t.test("another plugin's throwing preClose keeps no service from stopping", async (t) => {
  const events: string[] = []
  const app = Fastify()
  app.addHook('preClose', async () => { throw new Error('not my day') })
  await app.register(backgroundJobs)
  app.jobs.service('one', resource('one', events))
  await app.ready()
  await Promise.resolve(app.close()).catch(() => {})
  t.same(events, ['one started', 'one stopped'])
})
