import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs, { memory } from '../lib/index.ts'
import { deferred, logTo, now } from './helpers/app.ts'

t.test('an app whose backend cannot be opened does not start, and says which backend and why', async (t) => {
  const refused = new Error('connect ECONNREFUSED')
  const backend = Object.assign(memory(), { name: 'remote', open: async () => { throw refused } })
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(backgroundJobs, { queues: { emails: { backend }, reports: { backend } } })
  await t.rejects(Promise.resolve(app.ready()), {
    code: 'FST_JOBS_BACKEND_UNAVAILABLE', statusCode: 503, message: /'remote' of queue 'emails', 'reports'/, cause: refused
  })
})

t.test("a backend's own FST_JOBS error is told as it is", async (t) => {
  const own = Object.assign(new Error('needs Node 22'), { code: 'FST_JOBS_NOT_SUPPORTED' })
  const backend = Object.assign(memory(), { open: async () => { throw own } })
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(backgroundJobs, { backend })
  await t.rejects(Promise.resolve(app.ready()), own)
})

t.test('where one backend cannot be opened, the others are closed', async (t) => {
  const closed: string[] = []
  const opening = deferred()
  const backendOf = (name: string, open: () => Promise<void>, close: () => Promise<void> = async () => {}) => {
    return Object.assign(memory(), { name, open, close: async () => { closed.push(name); await close() } })
  }
  const lines: any[] = []
  const app = Fastify(logTo(lines))
  t.teardown(() => app.close())
  const backends = {
    quick: { backend: backendOf('quick', async () => {}) },
    failing: { backend: backendOf('failing', async () => { throw new Error('connect ECONNREFUSED') }) },
    clumsy: { backend: backendOf('clumsy', async () => {}, async () => { throw new Error('cannot close') }) },
    slow: { backend: backendOf('slow', () => opening.promise) }
  }
  app.register(backgroundJobs, { queues: backends })
  const ready = Promise.resolve(app.ready())
  ready.catch(() => {})
  t.equal(await now(ready.catch(() => {})), 'pending', 'one that is being opened cannot be closed')
  opening.resolve()
  await t.rejects(ready, { code: 'FST_JOBS_BACKEND_UNAVAILABLE', message: /'failing'/ })
  t.same(closed.sort(), ['clumsy', 'quick', 'slow'])
  t.match(lines, [{ level: 50, backend: 'clumsy', err: { message: 'cannot close' } }])
})

t.test('a backend that opens when Fastify has given up on the plugin is closed', async (t) => {
  const opening = deferred()
  const closed = deferred<string>()
  const backend = Object.assign(memory(), { open: () => opening.promise, close: async () => closed.resolve('closed') })
  const app = Fastify({ pluginTimeout: 20 })
  app.register(backgroundJobs, { backend, queues: { mails: {} } })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_ERR_PLUGIN_TIMEOUT' })
  await app.close()
  opening.resolve()
  t.equal(await closed.promise, 'closed')
})
