import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs, { memory, type BackgroundJobsOptions } from '../lib/index.ts'
import { resolveOptions } from '../lib/options.ts'
import { buildApp } from './helpers/app.ts'

const refused: [what: string, options: unknown, message: RegExp][] = [
  ['a capacity of 0', { queues: { mails: { capacity: 0 } } }, /queues\.mails\.capacity.*>= 1, got 0/],
  ['a capacity of -1', { queues: { mails: { capacity: -1 } } }, /queues\.mails\.capacity.*got -1/],
  ['a capacity of NaN', { queues: { mails: { capacity: NaN } } }, /queues\.mails\.capacity.*integer, got NaN/],
  ['a fractional concurrency', { queues: { mails: { concurrency: 1.5 } } }, /queues\.mails\.concurrency.*got 1\.5/],
  ['an unknown full mode', { queues: { mails: { fullMode: 'block' } } }, /queues\.mails\.fullMode.*wait, dropOldest/],
  ['a queue name with a space', { queues: { 'my mails': {} } }, /option 'queues' must not have the name 'my mails'/],
  ['an unknown option', { queus: {} }, /unknown option 'queus'/],
  ['an unknown nested option', { shutdown: { time: 1 } }, /unknown option 'shutdown\.time'/],
  ['an unknown shutdown mode', { shutdown: { mode: 'kill' } }, /shutdown\.mode/],
  ['attempts of 0', { retry: { attempts: 0 } }, /retry\.attempts/],
  ['a negative backoff', { retry: { backoff: { delay: -1 } } }, /retry\.backoff\.delay/],
  ['a jitter above 1', { retry: { backoff: { jitter: 2 } } }, /retry\.backoff\.jitter/],
  ['metrics: true', { metrics: true }, /option 'metrics' must be false or an object, got true/],
  ['metrics.path: true', { metrics: { path: true } }, /option 'metrics\.path' must be false or a path, got true/],
  ['a number that is null', { shutdown: { timeout: null } }, /option 'shutdown\.timeout' must be number, got null/],
  ['a path that is null and may not be false', { health: { path: null } }, /option 'health\.path' must be string, got null/],
  ['work as a text', { work: 'false' }, /option 'work' must be true, false or an array of queue names, got string/],
  ['work with a number', { work: [1] }, /option 'work\.0' must be string, got 1/],
  ['schedules as a text', { schedules: 'false' }, /option 'schedules' must be boolean, got string/],
  ['a routes prefix that is true', { routes: { prefix: true } }, /option 'routes\.prefix' must be false or a path, got true/],
  ['hidden routes by a text', { routes: { hide: 'yes' } }, /option 'routes\.hide' must be boolean, got string/],
  ['a registry that is none', { metrics: { registry: { metrics: 1, registerMetric () {} } } }, /metrics\.registry/],
  ['a clock that is none', { clock: { now: 1, monotonic: 1, setTimeout: 1, clearTimeout: 1 } }, /clock\.now.*function/],
  ['a prefix with a parameter', { routes: { prefix: '/jobs/:tenant' } }, /routes\.prefix/],
  ['a metrics path without a slash', { metrics: { path: 'metrics' } }, /metrics\.path/],
  ['no bucket', { metrics: { buckets: [] } }, /metrics\.buckets.*fewer than 1/],
  ['too many buckets', { metrics: { buckets: Array.from({ length: 51 }, (_, n) => n + 1) } }, /metrics\.buckets.*more than 50/],
  ['a bucket of 0', { metrics: { buckets: [0, 1] } }, /metrics\.buckets\.0.*> 0, got 0/],
  ['a bucket without end', { metrics: { buckets: [1, Infinity] } }, /metrics\.buckets\.1.*number, got Infinity/],
  ['buckets as text', { metrics: { buckets: ['secret-value'] } }, /metrics\.buckets\.0.*number, got string/],
  ['buckets that fall', { metrics: { buckets: [0.1, 1, 0.5] } }, /metrics\.buckets' must rise, but 1 is followed by 0\.5; sort/],
  ['a bucket twice', { metrics: { buckets: [0.1, 0.1] } }, /metrics\.buckets' must rise, but 0\.1 is followed by 0\.1/],
  ['degraded above unhealthy', { health: { degraded: 0.9, unhealthy: 0.5 } }, /health\.degraded/],
  ['a backend that is none', { backend: { name: 'secret-value' } }, /backend/],
  ['a backend without methods', { backend: { ...Object.fromEntries(['open', 'enqueue', 'consume', 'stats', 'abandon', 'close'].map((name) => [name, 1])), name: 'b', capabilities: {} } }, /backend\.open.*function/],
  ['an ajv plugin that is no function', { ajv: { plugins: ['secret-value'] } }, /ajv\.plugins\.0.*function, got string/]
]

for (const [what, options, message] of refused) {
  t.test(`${what} is refused at registration, by name and without quoting a value`, async (t) => {
    const app = Fastify()
    const error = await Promise.resolve(app.register(backgroundJobs, options as BackgroundJobsOptions)).then(() => undefined, (error) => error)
    t.match(error, { code: 'FST_JOBS_INVALID_OPTIONS', statusCode: 500, message })
    t.notMatch(error.message, /secret-value/)
  })
}

t.test('a queue named default exists whatever is configured, and each queue has its own settings', async (t) => {
  const app = await buildApp(t, { queues: { mails: { capacity: 5, concurrency: 2, backend: memory() } } })
  await app.ready()
  t.match((await app.jobs.status()).queues, {
    default: { capacity: 1000, concurrency: 10 },
    mails: { capacity: 5, concurrency: 2 }
  })
})

t.test('a full mode that the backend does not have is refused at registration', async (t) => {
  const backend = Object.assign(memory(), { name: 'narrow' })
  Object.assign(backend.capabilities, { fullModes: ['wait', 'reject'] })
  const app = Fastify()
  await t.rejects(async () => app.register(backgroundJobs, { queues: { mails: { backend, fullMode: 'dropOldest' } } }), {
    code: 'FST_JOBS_NOT_SUPPORTED',
    message: "Backend 'narrow' of queue 'mails' does not support fullMode 'dropOldest'; choose one of 'wait', 'reject'"
  })
  await buildApp(t, { queues: { mails: { backend, fullMode: 'reject' } } })
})

t.test('null means false where false is allowed', async (t) => {
  const app = await buildApp(t, { metrics: null, health: null, routes: null })
  for (const path of ['/metrics', '/health/live', '/health/ready', '/jobs/status', '/jobs/nobody']) {
    t.match((await app.inject(path)).json(), { message: /Route GET/ }, path)
  }
  t.equal(app.jobs.metrics, undefined)
  const other = await buildApp(t, { metrics: { path: null, registry: null } })
  t.equal((await other.inject('/metrics')).statusCode, 404)
  t.match(await other.jobs.metrics!.registry.metrics(), /jobs_queued_total/)
})

t.test('null is false where an option is true or false, too', async (t) => {
  for (const none of [null, false] as const) {
    const options = {
      work: none,
      schedules: none,
      metrics: { defaultMetrics: none },
      health: { ready: { capacity: none, backend: none } },
      routes: { prefix: none, hide: none },
      admin: { authorize: () => true, readOnly: none },
      services: { exitCode: none },
      di: { requestScopes: none }
    }
    t.match(resolveOptions(options), {
      works: new Set(),
      schedules: false,
      metrics: { defaultMetrics: false },
      health: { ready: { capacity: false, backend: false } },
      routes: false,
      hideRoutes: false,
      admin: { readOnly: false },
      services: { exitCode: false },
      di: { requestScopes: false }
    })
    const app = await buildApp(t, options)
    t.equal((await app.inject('/jobs/status')).statusCode, 404)
    t.equal((await app.inject('/jobs/admin/dead-letters')).statusCode, 200)
  }
})

t.test('null is as if the option were left out where an option takes an object', async (t) => {
  const none = { queues: null, backend: null, retry: null, unknownJobs: null, shutdown: null, admin: null, di: null, services: null, ajv: null, clock: null }
  for (const options of [none, { health: { ready: null } }, { queues: { default: null }, retry: { backoff: null } }, { queues: { default: { backend: null } } }]) {
    const app = await buildApp(t, options)
    await app.ready()
    t.match((await app.jobs.status()).queues, { default: { capacity: 1000, concurrency: 10 } })
    t.match((await app.inject('/jobs/admin/dead-letters')).json(), { message: /Route GET/ })
  }
})

t.test('a queue whose backend is null has that of the app', async (t) => {
  const backend = memory({ serialize: true })
  const app = await buildApp(t, { backend, queues: { mails: { backend: null } } })
  const payloads: unknown[] = []
  app.jobs.define('mail', { queue: 'mails' }, (payload) => { payloads.push(payload) })
  await app.ready()
  await app.jobs.enqueue('mail', new Date(0))
  await app.jobs.idle()
  t.same(payloads, ['1970-01-01T00:00:00.000Z'])
})

t.test('the given options are not changed', async (t) => {
  const options = Object.freeze({ queues: Object.freeze({ mails: Object.freeze({ capacity: 5 }) }), retry: Object.freeze({ attempts: 2 }) })
  await buildApp(t, options)
  t.same(options, { queues: { mails: { capacity: 5 } }, retry: { attempts: 2 } })
})

t.test("payload schemas take the app's ajv options and plugins", async (t) => {
  const app = await buildApp(t, {
    ajv: {
      customOptions: { allErrors: true },
      plugins: [
        ((ajv: { addFormat (name: string, format: RegExp): void }) => ajv.addFormat('shout', /^[A-Z]+$/)) as never,
        [((ajv: { addFormat (name: string, format: RegExp): void }, format: RegExp) => ajv.addFormat('whisper', format)) as never, /^[a-z]+$/]
      ]
    }
  })
  app.jobs.define('greet', { schema: { type: 'object', properties: { a: { format: 'shout', type: 'string' }, b: { type: 'integer' }, c: { format: 'whisper', type: 'string' } } } }, () => {})
  await t.rejects(app.jobs.enqueue('greet', { a: 'quiet', b: 1.5, c: 'LOUD' }), {
    code: 'FST_JOBS_INVALID_PAYLOAD', message: /payload\/a must match format "shout", payload\/b must be integer, payload\/c must match format "whisper"/
  })
})

t.test('an ajv plugin that fails is refused, with the cause', async (t) => {
  const cause = new Error('no such keyword')
  await t.rejects(buildApp(t, { ajv: { plugins: [() => { throw cause }] } }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'ajv' failed \(no such keyword\)/, cause })
  await t.rejects(buildApp(t, { ajv: { plugins: [[] as never] } }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /ajv\.plugins\.0/ })
})
