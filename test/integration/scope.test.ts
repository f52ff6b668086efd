import t from 'tap'
import { fastifyAwilixPlugin, type Cradle } from '@fastify/awilix'
import { asClass, asFunction, createContainer } from 'awilix'
import Fastify from 'fastify'
import backgroundJobs from '../../lib/index.ts'
import { buildApp, countScopes, deferred, logTo } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

t.test('a handler that does not touch its scope has none', async (t) => {
  const app = await buildApp(t)
  const count = countScopes(app)
  app.jobs.define('plain', async () => {})
  app.jobs.define('scoped', async (_payload, { diScope }) => { diScope.resolve('job') })
  await app.ready()
  await app.jobs.enqueue('plain', {})
  await app.jobs.idle()
  t.equal(count.scopes, 0)
  await app.jobs.enqueue('scoped', {})
  await app.jobs.idle()
  t.equal(count.scopes, 1)
})

t.test("job, signal and log in the scope are the attempt's own", async (t) => {
  const app = await buildApp(t)
  const seen = deferred<unknown[]>()
  app.jobs.define('scoped', async (_payload, { diScope, job, signal, log }) => {
    seen.resolve([diScope.resolve('job') === job, diScope.resolve('signal') === signal, diScope.resolve('log') === log])
  })
  await app.ready()
  await app.jobs.enqueue('scoped', {})
  t.same(await seen.promise, [true, true, true])
})

t.test('each attempt has a scope of its own, disposed once, whether it succeeds or fails', async (t) => {
  const app = await buildApp(t, { retry: { backoff: { delay: 0 } } })
  let disposed = 0
  class Connection { dispose (): void { disposed++ } }
  app.diContainer.register({ connection: asClass(Connection, { lifetime: 'SCOPED', dispose: (connection) => connection.dispose() }) })
  const connections = new Set<unknown>()
  app.jobs.define('query', { attempts: 2 }, async (_payload, { diScope, job }) => {
    connections.add(diScope.resolve('connection'))
    if (job.attempt === 1) throw new Error('once')
  })
  await app.ready()
  await app.jobs.enqueue('query', {})
  await app.jobs.idle({ delayed: true })
  t.equal(connections.size, 2)
  t.equal(disposed, 2)
})

t.test('a scope of a cancelled attempt is disposed once its handler has settled', async (t) => {
  const app = await buildApp(t)
  const events: string[] = []
  app.diContainer.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { events.push('disposed') } }) })
  const started = deferred()
  app.jobs.define('long', async (_payload, { diScope, signal }) => {
    diScope.resolve('thing')
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
    started.resolve()
    await aborted
    events.push('cleaned up')
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('long', {})
  await started.promise
  t.equal(await app.jobs.cancel(id), true)
  t.equal(await app.jobs.cancel(id), false, 'it was told already')
  await app.jobs.idle()
  t.same(events, ['cleaned up', 'disposed'])
})

t.test('a disposer that throws is logged and harmless', async (t) => {
  const lines: any[] = []
  const app = await buildApp(t, {}, logTo(lines, 'info'))
  app.diContainer.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { throw new Error('broken disposer') } }) })
  app.jobs.define('scoped', async (_payload, { diScope }) => { diScope.resolve('thing') })
  await app.ready()
  const { id } = await app.jobs.enqueue('scoped', {})
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'succeeded' })
  t.match(lines.filter(({ level }) => level >= 50), [{ jobId: id, jobName: 'scoped', err: { message: 'broken disposer' } }])
})

t.test("a request's correlation id is on every line of the job, and no line has the payload", async (t) => {
  const lines: any[] = []
  const app = await buildApp(t, { retry: { backoff: { delay: 0 } } }, logTo(lines, 'trace'))
  app.jobs.define('mail', { attempts: 2 }, async (_payload, { log }) => {
    log.info('sending')
    throw new Error('no route to host')
  })
  app.post('/mail', async (request) => app.jobs.enqueue('mail', request.body, { correlationId: request.id }))
  await app.ready()
  const { id } = (await app.inject({ method: 'POST', url: '/mail', payload: { to: 'top-secret' } })).json()
  await app.jobs.idle({ delayed: true })
  const ofJob = lines.filter(({ jobId }) => jobId === id)
  t.same(ofJob.map(({ msg, attempt }) => [msg, attempt]), [
    ['sending', 1], ['the attempt failed and will be retried', 1], ['sending', 2], ['the job failed and is a dead letter now', 2]
  ])
  for (const line of ofJob) t.match(line, { jobName: 'mail', queue: 'default', correlationId: /^req-/ })
  t.notMatch(JSON.stringify(lines), /top-secret/)
})

t.test('a disposer that never settles is left to itself, with a log line, and its slot goes on', async (t) => {
  const lines: any[] = []
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { concurrency: 1 } } }, logTo(lines))
  const release = deferred()
  app.diContainer.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => release.promise }) })
  app.jobs.define('scoped', async (_payload, { diScope }) => { diScope.resolve('thing') })
  app.jobs.define('next', async () => {})
  await app.ready()
  const { id } = await app.jobs.enqueue('scoped', {})
  const next = await app.jobs.enqueue('next', {})
  await clock.advance(9_999)
  t.match(await app.jobs.get(next.id), { state: 'waiting' })
  await clock.advance(1)
  t.match(await app.jobs.get(id), { state: 'succeeded' })
  t.match(await app.jobs.get(next.id), { state: 'succeeded' })
  t.match(lines, [{ level: 50, jobId: id, msg: /disposing.*10000 ms/ }])
  release.resolve()
  await clock.advance(1)
  t.match(await app.jobs.status(), { inFlight: 0 })
})

t.test('an unreadable error of a disposer or a hook does no harm', async (t) => {
  const lines: any[] = []
  const app = await buildApp(t, { queues: { default: { concurrency: 1 } } }, logTo(lines))
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  app.diContainer.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { throw proxy } }) })
  app.jobs.addHook('onStart', () => { throw proxy })
  app.jobs.define('scoped', { attempts: 1 }, async (_payload, { diScope }) => { diScope.resolve('thing'); throw proxy })
  await app.ready()
  const { id } = await app.jobs.enqueue('scoped', {})
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'dead' })
  t.equal(lines.length, 3)
})

t.test("job, signal and log can be resolved from an app's strict container", async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyAwilixPlugin, { container: createContainer<Cradle>({ strict: true }) })
  await app.register(backgroundJobs)
  app.diContainer.register({ service: asFunction(({ job }: { job: { name: string } }) => `for ${job.name}`).scoped() } as never)
  const seen = deferred<unknown>()
  app.jobs.define('scoped', async (_payload, { diScope }) => { seen.resolve(diScope.resolve('service')) })
  await app.ready()
  await app.jobs.enqueue('scoped', {})
  t.equal(await seen.promise, 'for scoped')
})
