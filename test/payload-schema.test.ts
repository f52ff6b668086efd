import t from 'tap'
import { buildApp } from './helpers/app.ts'

t.test('what is no schema is refused', async (t) => {
  const app = await buildApp(t)
  const define = app.jobs.define.bind(app.jobs) as (...args: unknown[]) => unknown
  for (const schema of [1, 'text', null, [], true]) t.throws(() => define('a', { schema }, () => {}), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'a': option 'schema' must/ })
})

t.test('a validator without Standard Schema is refused: as a JSON Schema it would let everything pass', async (t) => {
  const app = await buildApp(t)
  const define = app.jobs.define.bind(app.jobs) as (...args: unknown[]) => unknown
  class Joi { validate () {} }
  for (const schema of [new Joi(), { parse () {} }, () => true, class {}]) {
    t.throws(() => define('a', { schema }, () => {}), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'a'.*'schema' is a validator without '~standard'/ })
  }
})
