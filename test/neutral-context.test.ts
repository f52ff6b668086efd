import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type BackgroundJobsOptions } from '../lib/index.ts'
import { buildApp, deferred } from './helpers/app.ts'
import { runChild } from './helpers/child.ts'
import { ManualClock } from './helpers/clock.ts'

const storage = new AsyncLocalStorage<string>()
const TENANTS = ['ada', 'bob', 'cyd', 'dan']

interface Seen { readonly what: string, readonly context: string | undefined }

/** An app whose requests each run in the context of their tenant, registered in the context 'registration'. */
async function tenantApp (t: Test, options: BackgroundJobsOptions = {}): Promise<{ app: FastifyInstance, seen: Seen[], see (what: string): void }> {
  const seen: Seen[] = []
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onRequest', (request, _reply, done) => storage.run(String(request.headers['x-tenant']), done))
  await storage.run('registration', async () => { await app.register(backgroundJobs, options) })
  return { app, seen, see: (what) => seen.push({ what, context: storage.getStore() }) }
}

function contextsOf (seen: readonly Seen[]): Record<string, (string | undefined)[]> {
  const contexts: Record<string, (string | undefined)[]> = {}
  for (const { what, context } of seen) (contexts[what] ??= []).push(context)
  return contexts
}

function ask (app: FastifyInstance, url: string): Promise<unknown[]> {
  return Promise.all(TENANTS.map((tenant) => app.inject({ url, headers: { 'x-tenant': tenant } })))
}

const FOUR = Array(4).fill('registration')

t.test('jobs, retries and hooks of four concurrent requests run in the context of the registration', async (t) => {
  const { app, seen, see } = await tenantApp(t, { retry: { backoff: () => 1 } })
  app.jobs.define('work', async (_payload, { job: { attempt } }) => {
    see(`attempt ${attempt}`)
    // What a handler enters does not reach the next job.
    storage.enterWith('a handler')
    await null
    if (attempt === 1) throw new Error('again')
  })
  for (const hook of ['onEnqueue', 'onStart', 'onRetry', 'onSuccess'] as const) app.jobs.addHook(hook, () => see(hook))
  app.get('/', async () => {
    t.equal(TENANTS.includes(storage.getStore()!), true)
    return app.jobs.enqueue('work', null)
  })
  await ask(app, '/')
  await app.jobs.idle({ delayed: true })
  await app.close()
  t.same(contextsOf(seen), {
    'attempt 1': FOUR, 'attempt 2': FOUR, onEnqueue: FOUR, onStart: [...FOUR, ...FOUR], onRetry: FOUR, onSuccess: FOUR
  })
})

t.test('a delayed job runs in the context of the registration, and so does an inline function', async (t) => {
  const clock = new ManualClock()
  const { app, seen, see } = await tenantApp(t, { clock })
  app.jobs.define('work', async () => see('delayed'))
  app.get('/', async () => {
    await app.jobs.enqueue(async () => see('inline'), { name: 'inline' })
    return app.jobs.enqueue('work', null, { delay: 1000 })
  })
  await ask(app, '/')
  await clock.advance(1000)
  t.same(contextsOf(seen), { inline: FOUR, delayed: FOUR })
})

t.test('a schedule ticks, and is run by hand, in the context of the registration', async (t) => {
  const clock = new ManualClock()
  const { app, seen, see } = await tenantApp(t, { clock })
  app.jobs.define('work', async (_payload, { job: { schedule } }) => see(schedule!.name))
  app.jobs.schedule('resumed', { every: 1000 }, 'work')
  app.jobs.schedule('by-hand', { every: 3_600_000 }, 'work')
  app.get('/', async () => {
    app.jobs.schedules.pause('resumed')
    app.jobs.schedules.resume('resumed')
    return app.jobs.schedules.run('by-hand')
  })
  await app.ready()
  await ask(app, '/')
  await clock.advance(1000)
  t.same(contextsOf(seen), { 'by-hand': FOUR, resumed: ['registration'] })
})

t.test('whoever cancels a job or lets its time run out, the signal aborts in the context of the registration', async (t) => {
  const clock = new ManualClock()
  const { app, seen, see } = await tenantApp(t, { clock })
  app.jobs.define('work', { timeout: 1000, attempts: 1 }, async (what, { signal }) => {
    signal.addEventListener('abort', () => see(what))
    await once(signal, 'abort')
  })
  app.get('/', async () => {
    await app.jobs.enqueue('work', 'timed out')
    const { id } = await app.jobs.enqueue('work', 'cancelled')
    return id
  })
  app.get('/cancel/:id', async (request) => app.jobs.cancel((request.params as { id: string }).id))
  const ids = (await ask(app, '/') as { body: string }[]).map(({ body }) => body)
  await clock.advance(0)
  for (const id of ids) await app.inject({ url: `/cancel/${id}`, headers: { 'x-tenant': 'ada' } })
  await clock.advance(1000)
  t.same(contextsOf(seen), { cancelled: FOUR, 'timed out': FOUR })
})

t.test('services start, run and stop in the context of the registration, whoever awaits the app or closes it', async (t) => {
  const { app, seen, see } = await tenantApp(t)
  const running = deferred()
  app.jobs.service('loop', {
    async start () { see('start') },
    async run ({ signal }) {
      see('run')
      running.resolve()
      await once(signal, 'abort')
    },
    async stop () { see('stop') }
  })
  await storage.run('ready', () => app.ready())
  await running.promise
  await storage.run('close', () => app.close())
  t.same(contextsOf(seen), { start: ['registration'], run: ['registration'], stop: ['registration'] })
})

t.test('without a context at the registration there is none in a job', async (t) => {
  const app = await buildApp(t)
  const seen = deferred<unknown>()
  app.jobs.define('work', async () => seen.resolve(storage.getStore()))
  await app.ready()
  await storage.run('a request', () => app.jobs.enqueue('work', null))
  t.equal(await seen.promise, undefined)
})

// How Node.js 20 and 22 keep contexts; newer ones still can.
const FORMER_WAY = '--no-async-context-frame'

t.test('what a handler enters reaches no later job, however Node.js keeps contexts', async (t) => {
  const flags = process.allowedNodeEnvironmentFlags.has(FORMER_WAY) ? [FORMER_WAY] : []
  t.match(await runChild(`
    import { AsyncLocalStorage } from 'node:async_hooks'
    const storage = new AsyncLocalStorage()
    await app.register(backgroundJobs)
    app.jobs.define('work', async () => {
      console.log(storage.getStore() ?? 'nothing')
      storage.enterWith('a handler')
    })
    await app.ready()
    await storage.run('a request', () => app.jobs.enqueue('work', null))
    await app.jobs.idle()
    await app.jobs.enqueue('work', null)
    await app.jobs.idle()
    await app.close()
  `, { flags }), { code: 0, output: 'nothing\nnothing\n' })
})
