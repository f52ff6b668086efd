import '@fastify/auth'
import '@fastify/basic-auth'
import '@fastify/jwt'
import Fastify, { type onRequestAsyncHookHandler, type onRequestHookHandler } from 'fastify'
import { describe, expect, test } from 'tstyche'
import type { Consumer, Deliver, EnqueueResult, JobEnvelope, Outcome, QueueStats } from '../lib/backends/index.ts'
import backgroundJobs, { backgroundJobs as named, ManualClock, memory, systemClock, type Backend, type BackgroundJobsOptions, type MemoryOptions } from '../lib/index.ts'

describe('the options of the plugin', () => {
  test('every option is optional', () => {
    expect<BackgroundJobsOptions>().type.toBeAssignableFrom<{}>()
    expect(named).type.toBe<typeof backgroundJobs>()
  })

  test('what each option takes', () => {
    const options: BackgroundJobsOptions = {
      queues: { mail: { capacity: 10, concurrency: 2, fullMode: 'dropOldest', enqueueTimeout: 5, history: 1, deadLetters: 1, maxPayloadBytes: 10, backend: memory() } },
      backend: memory({ serialize: true }),
      retry: { attempts: 3, backoff: { type: 'fixed', delay: 10, max: 100, jitter: 0 } },
      clock: new ManualClock(new Date()),
      unknownJobs: { retryAfter: 1000, giveUpAfter: 60_000 },
      shutdown: { mode: 'drainQueued', timeout: 1000 },
      metrics: { path: false, prefix: 'app_', defaultMetrics: true, buckets: [0.1, 1] },
      health: false,
      routes: { prefix: '/background', hide: true },
      admin: { authorize: async (request) => request.headers.authorization !== undefined, readOnly: true, security: [{ bearer: [] }, { oauth: ['jobs'] }] },
      ajv: { customOptions: { coerceTypes: true }, plugins: [() => {}, [(_ajv, prefix: string) => prefix, 'x']] }
    }
    expect(backgroundJobs).type.toBeCallableWith(Fastify(), options)
    expect(backgroundJobs).type.toBeCallableWith(Fastify(), { clock: systemClock })
    expect(new ManualClock().advance(1000)).type.toBe<Promise<void>>()
  })

  test('null is false, or as if an option that takes an object were left out', () => {
    const app = Fastify()
    expect(backgroundJobs).type.toBeCallableWith(app, { metrics: null, health: null, routes: null, admin: null, backend: null, queues: null, clock: null })
    expect(backgroundJobs).type.toBeCallableWith(app, { retry: null, unknownJobs: null, shutdown: null, ajv: null, metrics: { path: null, registry: null } })
    expect(backgroundJobs).type.toBeCallableWith(app, { queues: { mail: null, other: { backend: null } }, retry: { backoff: null } })
    expect(backgroundJobs).type.toBeCallableWith(app, { work: null, schedules: null, health: { ready: { capacity: null, backend: null } }, routes: { prefix: null, hide: null } })
    expect(backgroundJobs).type.toBeCallableWith(app, { metrics: { defaultMetrics: null }, services: { exitCode: null }, di: { requestScopes: null } })
    expect(backgroundJobs).type.toBeCallableWith(app, { admin: { authorize: () => true, readOnly: null }, routes: { prefix: false } })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { shutdown: { timeout: null } })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { health: { path: null } })
  })

  test('admin routes need an authorize function', () => {
    expect(backgroundJobs).type.not.toBeCallableWith(Fastify(), { admin: false })
    expect(backgroundJobs).type.not.toBeCallableWith(Fastify(), { admin: {} })
    expect(backgroundJobs).type.not.toBeCallableWith(Fastify(), { admin: { authorize: true } })
  })

  test('authorize takes the hooks that plugins and apps have', () => {
    const app = Fastify()
    type Admin = NonNullable<BackgroundJobsOptions['admin']>
    expect<Admin['authorize']>().type.toBeAssignableFrom(app.basicAuth)
    expect<Admin['authorize']>().type.toBeAssignableFrom(app.auth([(_request, _reply, done) => done()]))
    expect<Admin['authorize']>().type.toBeAssignableFrom<onRequestHookHandler>()
    expect<Admin['authorize']>().type.toBeAssignableFrom<onRequestAsyncHookHandler>()
    const admins: Admin[] = [
      { authorize: app.basicAuth },
      { authorize: app.auth([(_request, _reply, done) => done()], { relation: 'and' }) },
      { authorize: async (request) => { await request.jwtVerify() } },
      { authorize: (request) => request.headers['x-role'] === 'admin' },
      { authorize: async (request) => request.headers['x-role'] === 'admin' },
      { authorize: (request, reply) => reply.code(request.ip === '' ? 401 : 403).send() },
      { authorize: async (_request, reply) => reply.code(401).send() },
      { authorize: (_request, _reply, done) => done() },
      { authorize: (_request, _reply, done) => done(new Error('no')) },
      { authorize: (_request, _reply, done) => done(null, false) },
      { authorize (request, reply, done) { expect(this.jobs).type.toBe<typeof app.jobs>(); app.basicAuth.call(this, request, reply, done) } }
    ]
    for (const admin of admins) app.register(backgroundJobs, { admin })
  })

  test('an unknown option is an error', () => {
    const app = Fastify()
    // @ts-expect-error No overload matches this call.
    app.register(backgroundJobs, { queue: {} })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { queue: {} })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { queues: { mail: { capcity: 1 } } })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { shutdown: { mode: 'later' } })
    expect(backgroundJobs).type.toBeCallableWith(app, { unknownJobs: 'deadLetter' as const })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { unknownJobs: 'ignore' })
    expect(backgroundJobs).type.not.toBeCallableWith(app, { queues: { mail: { fullMode: 'drop' } } })
    expect<MemoryOptions>().type.not.toBeAssignableFrom<{ serialize: string }>()
  })
})

describe('the backend contract', () => {
  test('can be implemented outside, without the optional methods', () => {
    const consumer: Consumer = { pause () {}, resume () {}, async stop () {} }
    class Custom implements Backend {
      readonly name = 'custom'
      readonly capabilities = { durable: true, delegates: false, delay: true, priority: false, unique: false, inspect: false }
      async open () {}
      async enqueue (_queue: string, jobs: readonly JobEnvelope[]): Promise<EnqueueResult[]> {
        return jobs.map(({ id }) => ({ id, status: 'enqueued' }))
      }

      consume () { return consumer }
      stats (): QueueStats { return { waiting: 0, delayed: 0, active: 0, dead: 0 } }
      abandon () { return [] }
      async close () {}
    }
    expect<Backend>().type.toBeAssignableFrom<Custom>()
    expect<BackgroundJobsOptions>().type.toBeAssignableFrom<{ backend: Custom }>()
    expect<Backend>().type.not.toBeAssignableFrom<{ name: string }>()
  })

  test('a delivery is answered by a promise, or by a callback', () => {
    const deliver = (() => {}) as unknown as Deliver
    const delivery = { envelope: {} as JobEnvelope, tag: 1 }
    expect(deliver(delivery)).type.toBe<Promise<Outcome>>()
    expect(deliver(delivery, ({ tag }, outcome) => {
      expect(tag).type.toBe<number>()
      expect(outcome).type.toBe<Outcome>()
    })).type.toBe<void>()
  })

  test('memory() is one', () => {
    expect(memory()).type.toBe<Backend>()
  })
})
