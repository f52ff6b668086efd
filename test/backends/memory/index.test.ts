import t from 'tap'
import { memory } from '../../../lib/index.ts'
import { buildApp, turns } from '../../helpers/app.ts'
import { gc } from '../../helpers/gc.ts'

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
