import t from 'tap'
import { buildApp } from './helpers/app.ts'

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

t.test('the options of a definition may be undefined', async (t) => {
  const app = await buildApp(t)
  t.match(app.jobs.define('plain', undefined as never, () => {}), { name: 'plain', queue: 'default' })
})
