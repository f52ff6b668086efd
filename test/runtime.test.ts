import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs, { memory } from '../lib/index.ts'

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
