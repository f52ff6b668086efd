import t from 'tap'
import type { Capabilities } from '../lib/backends/index.ts'
import { memory, type Backend } from '../lib/index.ts'
import { buildApp, deferred } from './helpers/app.ts'

/** A memory backend that cannot be looked into. */
function opaque (): Backend {
  const backend = memory()
  return Object.assign(backend, { name: 'opaque', capabilities: { ...backend.capabilities, inspect: false } satisfies Capabilities })
}

t.test('where no backend can be looked into, the question is an error that says so', async (t) => {
  const app = await buildApp(t, { backend: opaque() })
  await t.rejects(app.jobs.get('any'), { code: 'FST_JOBS_NOT_SUPPORTED', statusCode: 501, message: /'opaque'.*looking at jobs/ })
  await t.rejects(app.jobs.deadLetters.list(), { code: 'FST_JOBS_NOT_SUPPORTED' })
})

t.test('one opaque backend does not hide the jobs of the others', async (t) => {
  const app = await buildApp(t, { queues: { closed: { backend: opaque() } } })
  app.jobs.define('greet', () => {})
  await app.ready()
  const { id } = await app.jobs.enqueue('greet', {})
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'succeeded' })
  t.equal(await app.jobs.get('unknown'), undefined)
  await t.rejects(app.jobs.deadLetters.list({ queue: 'closed' }), { code: 'FST_JOBS_NOT_SUPPORTED' })
})

t.test('idle rejects with the error of a backend that cannot say what it holds', async (t) => {
  const backend = Object.assign(memory(), { stats: async () => { throw new Error('out of reach') } })
  const app = await buildApp(t, { backend })
  await t.rejects(app.jobs.idle(), { message: 'out of reach' })
})

t.test('a backend that is out of reach does not hide the jobs of the others, nor keep them from being changed', async (t) => {
  const away = async (): Promise<never> => { throw new Error('out of reach') }
  const backend = Object.assign(memory(), { find: away, cancel: away, retry: away, remove: away })
  const app = await buildApp(t, { backend, queues: { mails: { backend: memory() } } })
  app.jobs.define('greet', { queue: 'mails' }, () => {})
  app.jobs.define('fail', { queue: 'mails', attempts: 1 }, () => { throw new Error('always') })
  await app.ready()
  const dead = await Promise.all([1, 2].map((payload) => app.jobs.enqueue('fail', payload)))
  await app.jobs.idle()
  app.jobs.pause()
  const { id } = await app.jobs.enqueue('greet', {})
  t.match(await app.jobs.get(id), { state: 'waiting' })
  t.equal(await app.jobs.cancel(id), true)
  t.equal(await app.jobs.deadLetters.retry(dead[0]!.id), true)
  t.equal(await app.jobs.deadLetters.remove(dead[1]!.id), true)
  await t.rejects(app.jobs.get('unknown'), { message: 'out of reach' }, 'it may be there')
  await t.rejects(app.jobs.cancel('unknown'), { message: 'out of reach' })
})

t.test('an app that stops retries no dead letter', async (t) => {
  const app = await buildApp(t)
  const [began, gate] = [deferred(), deferred()]
  app.jobs.define('slow', async () => {
    began.resolve()
    await gate.promise
  })
  await app.ready()
  await app.jobs.enqueue('slow', null)
  await began.promise
  const closing = app.close()
  while (!(await app.jobs.status()).isStopping) await new Promise((resolve) => setImmediate(resolve))
  await t.rejects(app.jobs.deadLetters.retry('any'), { code: 'FST_JOBS_STOPPING' })
  gate.resolve()
  await closing
})
