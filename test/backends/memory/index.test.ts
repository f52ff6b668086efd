import t from 'tap'
import { memory } from '../../../lib/index.ts'
import { buildApp, turns } from '../../helpers/app.ts'
import { gc } from '../../helpers/gc.ts'

t.test('memory({ serialize: true }) refuses what is not JSON', async (t) => {
  const app = await buildApp(t, { backend: memory({ serialize: true }) })
  app.jobs.define('work', async () => {})
  await app.ready()
  const cyclic: { self?: unknown } = {}
  cyclic.self = cyclic
  for (const payload of [cyclic, { big: 1n }]) {
    await t.rejects(app.jobs.enqueue('work', payload), { code: 'FST_JOBS_INVALID_PAYLOAD', statusCode: 400, message: /'work'.*not JSON/ })
  }
  await t.rejects(app.jobs.enqueueMany([{ job: 'work', payload: 1 }, { job: 'work', payload: cyclic }]), { code: 'FST_JOBS_INVALID_PAYLOAD' })
  t.equal((await app.jobs.status()).queueDepth, 0)
})

t.test('memory({ serialize: true }) counts a payload in UTF-8 bytes', async (t) => {
  const app = await buildApp(t, { backend: memory({ serialize: true }), queues: { default: { maxPayloadBytes: 8 } } })
  app.jobs.define('work', async () => {})
  t.equal((await app.jobs.enqueue('work', 'äöü')).status, 'enqueued')
  await t.rejects(app.jobs.enqueue('work', 'äöüx€'), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE', statusCode: 413, message: /12 bytes, more than the 8/ })
})

t.test('memory({ serialize: true }) gives the handler a copy', async (t) => {
  const app = await buildApp(t, { backend: memory({ serialize: true }) })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  const payload = { when: new Date(0), list: [1] }
  await app.jobs.enqueue('work', payload)
  payload.list.push(2)
  await app.jobs.enqueue('work', undefined)
  await app.ready()
  await app.jobs.idle()
  t.same(seen, [{ when: '1970-01-01T00:00:00.000Z', list: [1] }, null])
})

t.test('memory({ serialize: true }) gives every attempt the payload as it was enqueued, and keeps it so as a dead letter', async (t) => {
  const app = await buildApp(t, { backend: memory({ serialize: true }), retry: { attempts: 3, backoff: () => 0 } })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload: { list: number[] }) => {
    seen.push([...payload.list])
    payload.list.push(2)
    throw new Error('again')
  })
  await app.ready()
  await app.jobs.enqueue('work', { list: [1] })
  await app.jobs.idle({ delayed: true })
  t.same(seen, [[1], [1], [1]])
  t.match(await app.jobs.deadLetters.list(), [{ payload: { list: [1] } }])
})

t.test('memory() gives the handler the very object that was enqueued', async (t) => {
  const app = await buildApp(t, { backend: memory() })
  const payload = { cyclic: undefined as unknown, big: 1n }
  payload.cyclic = payload
  let seen: unknown
  app.jobs.define('work', async (given) => { seen = given })
  await app.ready()
  await app.jobs.enqueue('work', payload)
  await app.jobs.idle()
  t.equal(seen, payload)
})

t.test('an inline function runs in memory, and is refused where payloads are serialised', async (t) => {
  const app = await buildApp(t, { queues: { plain: {}, stored: { backend: memory({ serialize: true }) } } })
  let ran = false
  await app.ready()
  await app.jobs.enqueue(() => { ran = true }, { name: 'inline', queue: 'plain' })
  await app.jobs.idle()
  t.equal(ran, true)
  await t.rejects(app.jobs.enqueue(() => {}, { name: 'inline', queue: 'stored' }), { code: 'FST_JOBS_NOT_SERIALIZABLE', message: /'inline'.*'stored'/ })
})

t.test('questions about an id that nobody knows', async (t) => {
  const app = await buildApp(t)
  await app.ready()
  t.equal(await app.jobs.get('nobody'), undefined)
  t.equal(await app.jobs.cancel('nobody'), false)
  t.equal(await app.jobs.deadLetters.retry('nobody'), false)
  t.equal(await app.jobs.deadLetters.remove('nobody'), false)
})

t.test('get tells progress, times, attempts and correlation id', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('work', async (_payload, { progress }) => { progress(0.5) })
  await app.ready()
  const { id } = await app.jobs.enqueue('work', 1, { correlationId: 'request-1', attempts: 7 })
  await app.jobs.idle()
  const view = (await app.jobs.get(id))!
  t.match(view, { state: 'succeeded', progress: 0.5, correlationId: 'request-1', attempts: 7, attempt: 1 })
  t.ok(view.startedAt! >= view.enqueuedAt && view.finishedAt! >= view.startedAt!)
})

t.test('one memory() does not serve two apps', async (t) => {
  const backend = memory()
  await buildApp(t, { backend })
  await t.rejects(buildApp(t, { backend }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /memory\(\) once for each app/ })
})

t.test('memory({ serialize: true }) refuses a payload whose toJSON throws anything', async (t) => {
  const app = await buildApp(t, { backend: memory({ serialize: true }) })
  app.jobs.define('work', async () => {})
  for (const thrown of [null, 'no', new Error('no')]) {
    await t.rejects(app.jobs.enqueue('work', { toJSON () { throw thrown } }), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /not JSON/ })
  }
})

t.test('a finished inline function is let go with everything that it captured, a dead one is kept to be run again', async (t) => {
  const app = await buildApp(t, { retry: { attempts: 2, backoff: () => 0 } })
  await app.ready()
  let kept: object | undefined = { large: true }
  const gone = new WeakRef(kept)
  const enqueue = (captured: object) => app.jobs.enqueue(() => { captured.toString() }, { name: 'captures' })
  const { id } = await enqueue(kept)
  await app.jobs.idle()
  kept = undefined
  await turns()
  gc()
  t.equal(gone.deref(), undefined)
  t.match(await app.jobs.get(id), { state: 'succeeded', attempts: 2 })

  let attempts = 0
  const dead = await app.jobs.enqueue(() => { if (++attempts < 3) throw new Error('not yet') }, { name: 'fails' })
  await app.jobs.idle({ delayed: true })
  t.equal(await app.jobs.deadLetters.retry(dead.id), true)
  await app.jobs.idle({ delayed: true })
  t.equal(attempts, 3)
})

t.test('an inline function named like a job keeps its own number of attempts', async (t) => {
  const app = await buildApp(t, { retry: { attempts: 4 } })
  app.jobs.define('report', { attempts: 7 }, async () => {})
  const { id } = await app.jobs.enqueue(() => {}, { name: 'report' })
  t.equal((await app.jobs.get(id))!.attempts, 4)
})

t.test('memory() refuses options that it does not have', async (t) => {
  const invalid = { code: 'FST_JOBS_INVALID_OPTIONS' }
  t.throws(() => memory({ serialise: true } as never), { ...invalid, message: /memory\(\): unknown option 'serialise'/ })
  t.throws(() => memory({ serialize: 'no' } as never), { ...invalid, message: /serialize/ })
  t.throws(() => memory(null as never), invalid)
})
