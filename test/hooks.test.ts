import t from 'tap'
import type { HookJob } from '../lib/index.ts'
import { buildApp } from './helpers/app.ts'

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
