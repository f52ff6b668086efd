import t from 'tap'
import { buildApp } from './helpers/app.ts'
import { leased } from './helpers/durable.ts'
import { parseExposition } from './helpers/prometheus.ts'

t.test('a bad definition is refused and named', async (t) => {
  const app = await buildApp(t)
  const define = app.jobs.define.bind(app.jobs) as (...args: unknown[]) => unknown
  const handler = async () => {}
  define('taken', handler)
  const bad: [unknown[], RegExp][] = [
    [['', handler], /job name/], [['a\0b', handler], /job name/], [['a\ud83d', handler], /job name/], [[1, handler], /job name/], [['delegate', handler], /delegate/],
    [['taken', handler], /taken.*already/], [['a', {}, 'text'], /'a'.*handler/], [['a'], /'a'.*handler/],
    [['a', { schema: { type: 'nonsense' } }, handler], /'a'.*schema/], [['a', { secret: 1 }, handler], /'secret'/],
    [['a', { timeout: 0 }, handler], /timeout/], [['a', { backoff: { type: 'hunter2' } }, handler], /backoff\.type/]
  ]
  for (const [args, message] of bad) t.throws(() => define(...args), { code: 'FST_JOBS_INVALID_OPTIONS', message })
  t.throws(() => define('a', { queue: 'nowhere' }, handler), { code: 'FST_JOBS_UNKNOWN_QUEUE', message: /nowhere/ })
  await app.ready()
  t.throws(() => define('late', handler), { code: 'FST_JOBS_INVALID_OPTIONS', message: /late/ })
})

t.test('an asynchronous schema is refused: it would let every payload pass', async (t) => {
  const app = await buildApp(t)
  t.throws(() => app.jobs.define('lookup', { schema: { $async: true, type: 'object' } }, () => {}), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'lookup'.*\$async/ })
})

t.test('bad versions and aliases are refused and named', async (t) => {
  const app = await buildApp(t)
  const handler = async () => {}
  app.jobs.define('send-email', { aliases: ['mail', 'e-mail'] }, handler)
  app.jobs.define('other', handler)
  const bad: [string, object, RegExp][] = [
    ['a', { version: 0 }, /version/], ['a', { version: 1.5 }, /version/], ['a', { version: '2' }, /version/],
    ['a', { upgrade: () => {} }, /'upgrade' needs a 'version' of 2 or more/], ['a', { version: 2, upgrade: true }, /upgrade/],
    ['a', { aliases: 'mail' }, /aliases/], ['a', { aliases: [''] }, /aliases/], ['a', { aliases: ['a\0b'] }, /aliases.*well-formed/],
    ['a', { aliases: ['a'] }, /'aliases'.*twice, nor the job's own/], ['a', { aliases: ['b', 'b'] }, /'aliases'.*twice/],
    ['a', { aliases: ['other'] }, /job 'other' is declared or defined already/], ['a', { aliases: ['mail'] }, /'mail' is an alias of job 'send-email' already/],
    ['a', { aliases: ['delegate'] }, /delegate/], ['mail', {}, /definition of job 'mail': 'mail' is an alias of job 'send-email' already/]
  ]
  for (const [name, options, message] of bad) t.throws(() => app.jobs.define(name, options as never, handler), { code: 'FST_JOBS_INVALID_OPTIONS', message })
  t.ok(app.jobs.define('a', { version: 2, upgrade: (payload: unknown) => payload, aliases: ['b'] }, handler), 'what was refused has left nothing behind')
})

t.test('an alias runs as its definition and keeps its name in history and metrics; nothing is enqueued or scheduled by it', async (t) => {
  const { backend, store } = leased()
  const app = await buildApp(t, { backend })
  const seen: unknown[] = []
  app.jobs.define('send-email', { aliases: ['mail'], attempts: 7, schema: { type: 'object', required: ['to'] } }, async function (payload, { job }) {
    seen.push([payload, job.name, job.attempts, this === app])
  })
  for (const enqueue of [app.jobs.enqueue('mail', { to: 'ada' }), app.jobs.enqueueMany([{ job: 'mail', payload: { to: 'ada' } }])]) {
    await t.rejects(enqueue as Promise<unknown>, { code: 'FST_JOBS_INVALID_OPTIONS', message: /'mail'.*alias of job 'send-email'/ })
  }
  t.throws(() => app.jobs.schedule('daily', { cron: '0 2 * * *' }, 'mail', { payload: { to: 'ada' } }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'mail'/ })
  await store({ id: 'old', name: 'mail', payload: { to: 'ada' } })
  await store({ id: 'wrong', name: 'mail', payload: {} })
  await app.ready()
  await app.jobs.idle()
  t.same(seen, [[{ to: 'ada' }, 'mail', 7, true]])
  t.match(await app.jobs.get('old'), { name: 'mail', state: 'succeeded', attempts: 7 })
  t.match(await app.jobs.get('wrong'), { name: 'mail', state: 'dead' })
  const metrics = parseExposition((await app.inject('/metrics')).body)
  t.equal(metrics.value('jobs_succeeded_total', { job_name: 'mail' }), 1)
  t.equal(metrics.value('jobs_succeeded_total', { job_name: 'send-email' }), 0)
})

t.test('the options of a definition may be undefined', async (t) => {
  const app = await buildApp(t)
  t.match(app.jobs.define('plain', undefined as never, () => {}), { name: 'plain', queue: 'default' })
})
