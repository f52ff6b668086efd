import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs, { memory } from '../../lib/index.ts'
import { buildApp, logTo } from '../helpers/app.ts'

const SECRET = /hunter2|10\.0\.0\.7|var\/lib/
const METHODS = ['stats', 'find', 'listDead', 'retry', 'remove', 'cancel', 'enqueue'] as const

/** The memory backend, until it fails with the error of a backend that the app's author wrote. */
function failingBackend () {
  const backend = memory()
  let isBroken = false
  for (const method of METHODS) {
    const original = backend[method] as (...args: unknown[]) => unknown
    Object.assign(backend, {
      [method]: (...args: unknown[]) => {
        if (isBroken) throw Object.assign(new Error('connect ECONNREFUSED queue://ada:hunter2@10.0.0.7/var/lib/jobs.db'), { code: 'ECONNREFUSED' })
        return Reflect.apply(original, backend, args)
      }
    })
  }
  // Without the optional `offer` every job is enqueued by `enqueue`.
  return { backend: Object.assign(backend, { offer: undefined }), setBroken: (value: boolean) => { isBroken = value } }
}

t.test('no route tells clients where a backend is, by what it fails; the log does', async (t) => {
  const { backend, setBroken } = failingBackend()
  const lines: { err?: { stack: string } }[] = []
  const app = Fastify(logTo(lines))
  t.teardown(() => app.close())
  const routes: { method: string, url: string }[] = []
  app.addHook('onRoute', ({ method, url }) => { routes.push(...[method].flat().map((one) => ({ method: one, url }))) })
  await app.register(backgroundJobs, { queues: { default: { backend } }, admin: { authorize: () => true } })
  app.jobs.define('work', async () => {})
  app.jobs.schedule('hourly', { cron: '0 * * * *' }, 'work')
  await app.ready()
  setBroken(true)
  t.teardown(() => setBroken(false))
  let failures = 0
  for (const { method, url } of routes) {
    const response = await app.inject({ method: method as 'GET', url: url.replace(':schedule', 'hourly').replace(':queue', 'default').replace(/:\w+/, 'nobody') })
    t.notMatch(response.body + JSON.stringify(response.headers), SECRET, `${method} ${url}`)
    t.not(response.statusCode, 500, `${method} ${url}`)
    if (response.statusCode === 503 && method !== 'HEAD' && !url.startsWith('/health')) {
      failures++
      t.match(response.json(), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', message: /log has the cause/ }, `${method} ${url}`)
      t.match(lines.at(-1)!.err!.stack, SECRET, 'the log tells')
    }
  }
  t.equal(failures, 7)
})

t.test("the plugin's own errors reach the client as they are", async (t) => {
  const backend = memory()
  const opaque = Object.assign(backend, { capabilities: { ...backend.capabilities, inspect: false } })
  const app = await buildApp(t, { queues: { default: { backend: opaque } } })
  const response = await app.inject('/jobs/nobody')
  t.equal(response.statusCode, 501)
  t.match(response.json(), { code: 'FST_JOBS_NOT_SUPPORTED', message: /'memory'.*'default'/ })
})
