import t from 'tap'
import type { HookJob } from '../lib/index.ts'
import { buildApp, turns } from './helpers/app.ts'

t.test('hooks hear of a job with its payload, and one that throws or rejects does no harm', async (t) => {
  const app = await buildApp(t)
  const told: unknown[] = []
  app.jobs.addHook('onEnqueue', () => { throw new Error('sync') })
  app.jobs.addHook('onEnqueue', async () => { throw new Error('rejected') })
  for (const name of ['onEnqueue', 'onStart', 'onSuccess', 'onRetry', 'onDeadLetter'] as const) {
    app.jobs.addHook(name, function (this: unknown, job: HookJob) { told.push([name, job.payload, this === app]) })
  }
  app.jobs.define('fails-once', { attempts: 2, backoff: { delay: 0 } }, async (_, { job }) => { if (job.attempt === 1) throw new Error('once') })
  app.jobs.define('fails', { attempts: 1 }, async () => { throw new Error('always') })
  await app.ready()
  await app.jobs.enqueue('fails-once', 1)
  await app.jobs.idle({ delayed: true })
  await app.jobs.enqueue('fails', 2)
  await app.jobs.idle()
  t.same(told, [
    ['onEnqueue', 1, true], ['onStart', 1, true], ['onRetry', 1, true], ['onStart', 1, true], ['onSuccess', 1, true],
    ['onEnqueue', 2, true], ['onStart', 2, true], ['onDeadLetter', 2, true]
  ])
  t.throws(() => app.jobs.addHook('onNothing' as 'onStart', () => {}), { code: 'FST_JOBS_INVALID_OPTIONS', message: /onNothing/ })
  t.throws(() => app.jobs.addHook('onStart', 'text' as never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /onStart/ })
})

t.test('onEnqueue hears the payload even when the job is over by then', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1, concurrency: 1, fullMode: 'dropOldest' } } })
  const told: unknown[] = []
  app.jobs.addHook('onEnqueue', ({ payload }) => { told.push(['enqueued', payload]) })
  app.jobs.addHook('onDrop', ({ payload }) => { told.push(['dropped', payload]) })
  app.jobs.define('work', async () => {})
  await app.ready()
  app.jobs.pause()
  await app.jobs.enqueueMany(['a', 'b'].map((payload) => ({ job: 'work', payload })))
  await turns()
  t.same(told, [['dropped', 'a'], ['enqueued', 'a'], ['enqueued', 'b']])
})

t.test('a hook that fails is logged with its name and its job, without the payload', async (t) => {
  const lines: string[] = []
  const app = await buildApp(t, {}, { logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } })
  app.jobs.addHook('onEnqueue', async () => { throw new Error('no such table') })
  app.jobs.define('work', async () => {})
  const { id } = await app.jobs.enqueue('work', 'secret', { correlationId: 'request-1' })
  await turns()
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0]!), { hook: 'onEnqueue', jobId: id, jobName: 'work', queue: 'default', attempt: 1, correlationId: 'request-1', err: { message: 'no such table' } })
  t.notMatch(lines[0]!, /secret/)
})

t.test('what a hook hears of is stored already: it may cancel, retry and enqueue', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 3, concurrency: 1, fullMode: 'dropWrite' } } })
  const seen: unknown[] = []
  const answers: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  app.jobs.define('fails-once', { attempts: 1 }, async (payload) => { if (seen.push(payload) === 5) throw new Error('once') })
  app.jobs.addHook('onDrop', async ({ id }) => { answers.push(['cancelled the dropped one', await app.jobs.cancel(id)]) })
  app.jobs.addHook('onSuccess', async ({ id, payload }) => {
    if (payload === 1) answers.push(['next of the key', (await app.jobs.enqueue('work', 'next', { uniqueKey: 'k' })).status, id !== ''])
  })
  app.jobs.addHook('onDeadLetter', async ({ id }) => { answers.push(['retried', await app.jobs.deadLetters.retry(id)]) })
  for (const payload of [1, 2, 3, 4]) await app.jobs.enqueue('work', payload, payload === 1 ? { uniqueKey: 'k' } : {})
  await turns()
  await app.ready()
  await app.jobs.idle()
  t.equal((await app.jobs.status()).queueDepth, 0)
  t.same(seen, [1, 2, 3, 'next'])
  await app.jobs.enqueue('fails-once', 'again')
  await app.jobs.idle()
  await app.jobs.idle()
  t.same(seen, [1, 2, 3, 'next', 'again', 'again'])
  t.same(answers, [['cancelled the dropped one', false], ['next of the key', 'enqueued', true], ['retried', true]])
})

t.test('a hook that enqueues each dropped job again does not overflow the stack, and the event loop turns', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 1, fullMode: 'dropWrite' } } })
  const again: unknown[] = []
  app.jobs.define('work', async () => {})
  app.jobs.addHook('onDrop', async ({ payload }) => { if (again.push(payload) < 2000) await app.jobs.enqueue('work', payload) })
  await app.jobs.enqueue('work', 1)
  t.equal((await app.jobs.enqueue('work', 2)).status, 'dropped')
  while (again.length < 2000) await turns(1)
  t.equal((await app.jobs.status()).queueDepth, 1)
})
