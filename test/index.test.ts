import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'

t.test('a job that was enqueued before ready runs once the app is ready', async (t) => {
  const app = await buildApp(t)
  const seen: unknown[] = []
  app.jobs.define('greet', async (payload) => { seen.push(payload) })
  const job = await app.jobs.enqueue('greet', { name: 'Ada' })
  t.match(job, { name: 'greet', queue: 'default', status: 'enqueued' })
  t.same(seen, [])
  await app.ready()
  await app.jobs.idle()
  t.same(seen, [{ name: 'Ada' }])
  t.match(await app.jobs.get(job.id), { state: 'succeeded', attempt: 1, attempts: 3 })
})

t.test('registering twice under one instance is a clear error', async (t) => {
  const app = await buildApp(t)
  await t.rejects(Promise.resolve(app.register(backgroundJobs)), { code: 'FST_JOBS_INVALID_OPTIONS', message: /registered already/ })
})

t.test('registering in a child of an instance that has it is the same error', async (t) => {
  const app = Fastify()
  await app.register(backgroundJobs)
  app.register(async (child) => { await child.register(backgroundJobs) })
  await t.rejects(Promise.resolve(app.ready()), { code: 'FST_JOBS_INVALID_OPTIONS' })
})

t.test("a handler's this is the instance that defined it, and the queue is one for the whole tree", async (t) => {
  const app = await buildApp(t)
  app.register(async (child) => {
    child.decorate('greeting', 'hello from the child')
    child.jobs.define('greet', async function () { seen.push((this as unknown as { greeting: string }).greeting) })
  })
  const seen: string[] = []
  await app.ready()
  await app.jobs.enqueue('greet', undefined)
  await app.jobs.idle()
  t.same(seen, ['hello from the child'])
})

t.test('two apps in one process share nothing', async (t) => {
  const [one, two] = await Promise.all([buildApp(t), buildApp(t)])
  one.jobs.define('only-here', async () => {})
  await Promise.all([one.ready(), two.ready()])
  await t.rejects(two.jobs.enqueue('only-here', {}), { code: 'FST_JOBS_UNKNOWN_JOB', message: /only-here/ })
  t.not(one.diContainer, two.diContainer)
  const job = await one.jobs.enqueue('only-here', {})
  t.equal(await two.jobs.get(job.id), undefined)
  await one.close()
  t.equal((await two.jobs.status()).isRunning, true)
})
