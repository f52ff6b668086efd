import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { buildApp } from './helpers/app.ts'
import { leased } from './helpers/durable.ts'

const handler = async () => {}
const mail = { $id: 'mail', type: 'object', required: ['to'], properties: { to: { type: 'string', format: 'email' } } }
const good = { to: 'ada@example.org' }

/** Whether a job takes these payloads. */
async function assertTakes (t: Test, app: FastifyInstance, job: string, valid: unknown, invalid: unknown, message: RegExp): Promise<void> {
  await t.resolves(app.jobs.enqueue(job, valid))
  await t.rejects(app.jobs.enqueue(job, invalid), { code: 'FST_JOBS_INVALID_PAYLOAD', message })
}

t.test('a shared schema that was added before', async (t) => {
  const app = await buildApp(t)
  app.addSchema(mail)
  app.jobs.define('whole', { schema: { $ref: 'mail#' } }, handler)
  app.jobs.define('part', { schema: { type: 'object', properties: { address: { $ref: 'mail#/properties/to' } } } }, handler)
  app.jobs.define('itself', { schema: app.getSchema('mail') as object }, handler)
  app.jobs.define('itself-again', { schema: structuredClone(mail) }, handler)
  await assertTakes(t, app, 'whole', good, {}, /payload must have required property 'to'/)
  await assertTakes(t, app, 'part', { address: 'ada@example.org' }, { address: 'ada' }, /payload\/address must match format "email"/)
  for (const job of ['itself', 'itself-again']) await assertTakes(t, app, job, good, {}, /required property 'to'/)
})

t.test('shared schemas refer to each other, to themselves, and have parts with ids', async (t) => {
  const app = await buildApp(t)
  app.addSchema({ $id: 'tree', type: 'object', properties: { leaf: { $ref: 'address' }, branches: { type: 'array', items: { $ref: 'tree#' } } } })
  app.addSchema({ $id: 'parts', definitions: { address: { $id: 'address', type: 'string', format: 'email' } } })
  app.jobs.define('grow', { schema: { $ref: 'tree#' } }, handler)
  app.jobs.define('own-id', { schema: { $id: 'list', type: 'object', properties: { next: { $ref: 'list#' }, at: { $ref: 'address' } } } }, handler)
  await assertTakes(t, app, 'grow', { branches: [{ leaf: 'ada@example.org' }] }, { branches: [{ leaf: 'ada' }] }, /payload\/branches\/0\/leaf/)
  await assertTakes(t, app, 'own-id', { next: { at: 'ada@example.org' } }, { next: { at: 'ada' } }, /payload\/next\/at/)
})

t.test('a shared schema is that of the instance that defines the job', async (t) => {
  const app = await buildApp(t)
  // One object for both: what it refers to differs.
  const schema = { type: 'object', properties: { value: { $ref: 'value#' } } }
  for (const type of ['string', 'number']) {
    app.register(async (child) => {
      child.addSchema({ $id: 'value', type })
      child.jobs.define(type, { schema, aliases: [`former-${type}`] }, handler)
      child.jobs.define(`${type}-itself`, { schema: child.getSchema('value') as object }, handler)
    })
  }
  app.register(async (child) => {
    t.doesNotThrow(() => child.jobs.define('stranger', { schema }, handler), 'it may come until the app is ready')
    child.addSchema({ $id: 'value', type: 'boolean' })
  })
  await app.ready()
  await assertTakes(t, app, 'string', { value: 'a' }, { value: 1 }, /value must be string/)
  await assertTakes(t, app, 'number', { value: 1 }, { value: 'a' }, /value must be number/)
  await assertTakes(t, app, 'stranger', { value: true }, { value: 1 }, /value must be boolean/)
  await assertTakes(t, app, 'string-itself', 'a', 1, /payload must be string/)
  await assertTakes(t, app, 'number-itself', 1, 'a', /payload must be number/)
})

t.test('the schema of a job is no shared schema', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('a', { schema: { $id: 'own', type: 'string' } }, handler)
  app.jobs.define('b', { schema: { $ref: 'own#' } }, handler)
  await t.rejects(async () => app.ready(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /job 'b'.*'own'/ })
})

t.test('a shared schema may be added after the job, until the app is ready', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('send', { schema: { $ref: 'mail#' }, aliases: ['mail'] }, handler)
  await t.rejects(app.jobs.enqueue('send', good), { code: 'FST_JOBS_INVALID_OPTIONS', message: /job 'send'.*refers to 'mail'.*no shared schemas.*addSchema/ }, 'not yet')
  t.throws(() => app.jobs.schedule('daily', { every: 1000 }, 'send', { payload: good }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /schedule 'daily'.*refers to 'mail'/ })
  app.addSchema(mail)
  await assertTakes(t, app, 'send', good, {}, /required property 'to'/)
  app.jobs.schedule('daily', { every: 1000 }, 'send', { payload: good })
  app.jobs.define('later', { schema: { $ref: 'body#' } }, handler)
  app.addSchema({ $id: 'body', type: 'string' })
  await app.ready()
  await assertTakes(t, app, 'later', 'text', 1, /must be string/)
})

t.test('what nobody has added by then fails the start, and says what there is', async (t) => {
  const app = await buildApp(t)
  app.addSchema(mail)
  app.register(async (child) => {
    child.addSchema({ $id: 'body', type: 'string' })
    child.jobs.define('send', { schema: { $ref: 'mial#' } }, handler)
  })
  await t.rejects(async () => app.ready(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /job 'send'.*refers to 'mial'.*has only 'mail', 'body'.*addSchema\(\)/ })
})

t.test('what can never be compiled is refused at once', async (t) => {
  const app = await buildApp(t)
  app.addSchema({ $id: 'broken', type: 'nonsense' })
  app.addSchema({ $id: 'modern', $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'string' })
  const bad: [object, RegExp][] = [
    [{ $ref: '#/definitions/missing' }, /'a'.*#\/definitions\/missing/],
    [{ $ref: 'broken#' }, /'a'.*type/],
    [{ $ref: 'modern#' }, /'a'.*'modern' is of another draft/],
    [{ $schema: 'https://json-schema.org/draft/2020-12/schema', $ref: '#/$defs/missing' }, /'a'.*\$defs\/missing/],
    [{ $schema: 'http://json-schema.org/draft-04/schema#' }, /'a'.*'\$schema' is unknown: 'http:\/\/json-schema.org\/draft-04\/schema#'.*2020-12/],
    [{ $schema: 'draft-2020-12' }, /unknown/], [{ $schema: '' }, /unknown/], [{ $schema: 'http://[' }, /'a'.*schema/], [{ $schema: 5 }, /'a'.*\$schema/]
  ]
  for (const [schema, message] of bad) t.throws(() => app.jobs.define('a', { schema }, handler), { code: 'FST_JOBS_INVALID_OPTIONS', message })
})

t.test('a part that a shared schema lacks is refused at once, or at the start when the schema comes later', async (t) => {
  const app = await buildApp(t)
  const schema = { $ref: 'mail#/definitions/missing' }
  const refusal = (job: string) => ({ code: 'FST_JOBS_INVALID_OPTIONS', message: new RegExp(`job '${job}'.*no 'mail#/definitions/missing'.*has no such part`) })
  app.jobs.define('early', { schema }, handler)
  app.addSchema(mail)
  t.throws(() => app.jobs.define('late', { schema }, handler), refusal('late'))
  await t.rejects(async () => app.ready(), refusal('early'))
})

t.test('a schema that refers to itself as a whole is refused', async (t) => {
  const app = await buildApp(t)
  app.addSchema(mail)
  for (const schema of [{ $id: 'mail', $ref: 'mail#' }, { $id: 'mail#', $ref: 'mail' }, { $ref: '#' }]) {
    t.throws(() => app.jobs.define('a', { schema }, handler), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'a'.*refers to the schema itself/ })
  }
})

t.test('a schema is compiled once, whatever the number of aliases', async (t) => {
  const compiled: unknown[] = []
  const app = await buildApp(t, {
    ajv: {
      plugins: [(ajv: any) => {
        const compile = ajv.compile.bind(ajv)
        ajv.compile = (schema: object) => {
          compiled.push(schema)
          return compile(schema)
        }
      }]
    }
  })
  const schema = { type: 'object' }
  app.jobs.define('a', { schema, aliases: ['b', 'c'] }, handler)
  await app.ready()
  t.same(compiled, [schema])
})

t.test('drafts', async (t) => {
  const app = await buildApp(t)
  const prefixItems = [{ type: 'string' }, { $ref: '#/$defs/count' }]
  for (const $schema of ['https://json-schema.org/draft/2020-12/schema', 'https://json-schema.org/draft/2020-12/schema#']) {
    app.jobs.define($schema, { schema: { $schema, $defs: { count: { type: 'number' } }, type: 'array', prefixItems, unevaluatedItems: false } }, handler)
    await assertTakes(t, app, $schema, ['a', 1], ['a', 'b'], /payload\/1 must be number/)
    await assertTakes(t, app, $schema, ['a', 1], ['a', 1, 2], /payload must NOT have more than 2 items|unevaluated/)
  }
  app.jobs.define('2019-09', { schema: { $schema: 'https://json-schema.org/draft/2019-09/schema', type: 'object', properties: { a: {} }, unevaluatedProperties: false, dependentRequired: { a: ['b'] } } }, handler)
  await assertTakes(t, app, '2019-09', {}, { a: 1 }, /must have property b/)
  for (const $schema of ['http://json-schema.org/draft-07/schema#', 'http://json-schema.org/draft-07/schema', 'http://json-schema.org/schema']) {
    app.jobs.define($schema, { schema: { $schema, items: [{ type: 'string' }] } }, handler)
    await assertTakes(t, app, $schema, ['a'], [1], /payload\/0 must be string/)
  }
  app.addSchema({ $id: 'point', $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: [{ type: 'number' }] })
  app.jobs.define('shared-2020-12', { schema: { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object', properties: { at: { $ref: 'point#' } } } }, handler)
  await assertTakes(t, app, 'shared-2020-12', { at: [1] }, { at: ['a'] }, /payload\/at\/0 must be number/)
})

t.test("the option 'ajv' goes for every draft, and plugins may add meta-schemas and schemas of their own", async (t) => {
  const custom = { $id: 'http://example.org/meta', type: 'object' }
  const app = await buildApp(t, {
    ajv: {
      customOptions: { allErrors: true },
      plugins: [(ajv: any) => ajv.addKeyword({ keyword: 'shout', validate: (_: unknown, value: string) => value === value.toUpperCase() }), (ajv: any) => ajv.addMetaSchema(custom).addSchema({ $id: 'word', type: 'string', shout: true })]
    }
  })
  const schema = { type: 'object', required: ['a', 'b'], properties: { word: { $ref: 'word#' } } }
  for (const $schema of [undefined, 'https://json-schema.org/draft/2019-09/schema', 'https://json-schema.org/draft/2020-12/schema', 'http://example.org/meta']) {
    const job = String($schema)
    app.jobs.define(job, { schema: { $schema, ...schema } }, handler)
    await assertTakes(t, app, job, { a: 1, b: 1, word: 'A' }, { word: 'a' }, /property 'a', payload must have required property 'b', payload\/word must pass "shout"/)
  }
})

t.test("an option 'ajv' that another draft's Ajv refuses is named", async (t) => {
  const app = await buildApp(t, { ajv: { plugins: [(ajv: any) => { if (ajv.constructor.name === 'Ajv2020') throw new Error('not for me') }] } })
  t.throws(() => app.jobs.define('a', { schema: { $schema: 'https://json-schema.org/draft/2020-12/schema' } }, handler), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'ajv' failed \(not for me\)/ })
})

t.test('payloads of a durable backend are checked again by a schema that refers to a shared one', async (t) => {
  const { backend, store } = leased()
  const app = await buildApp(t, { backend })
  app.jobs.define('send', { schema: { $ref: 'mail#' } }, handler)
  app.addSchema(mail)
  await store({ id: 'good', name: 'send', payload: good })
  await store({ id: 'bad', name: 'send', payload: {} })
  await app.ready()
  await app.jobs.idle()
  t.match(await app.jobs.get('good'), { state: 'succeeded' })
  t.match(await app.jobs.get('bad'), { state: 'dead', attempt: 1, error: { code: 'FST_JOBS_INVALID_PAYLOAD' } })
})
