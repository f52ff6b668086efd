import { type } from 'arktype'
import t, { type Test } from 'tap'
import * as v from 'valibot'
import { z } from 'zod'
import * as mini from 'zod/mini'
import * as v3 from 'zod/v3'
import type { StandardSchema } from '../lib/index.ts'
import { buildApp, turns } from './helpers/app.ts'
import { leased } from './helpers/durable.ts'

const handler = async () => {}
/** What no error may say. */
const SECRET = 'hunter2'

interface Library {
  /** Of an object with an email address `to`, a date `at` in text that becomes a Date, and `copies`, 1 if absent. */
  readonly mail: StandardSchema<any, any>
  /** Of an object with `age` less than 5, `kind` 'a' or 'b', `either` a number or an object with a number `n`, `items` with a text `name` each, `text` of at most 2 characters. */
  readonly strict: StandardSchema<any, any>
  readonly asynchronous?: StandardSchema<any, any>
  readonly throwing: StandardSchema<any, any>
}

const fail = (): never => { throw new Error('broken') }
const LIBRARIES: Record<string, Library> = {
  zod: {
    mail: z.object({ to: z.email(), at: z.coerce.date(), copies: z.number().default(1) }),
    strict: z.object({ age: z.number().lt(5), kind: z.enum(['a', 'b']), either: z.union([z.number(), z.object({ n: z.number() })]), items: z.array(z.object({ name: z.string() })), text: z.string().max(2) }),
    asynchronous: z.string().refine(async () => true),
    throwing: z.string().transform(fail)
  },
  valibot: {
    mail: v.object({ to: v.pipe(v.string(), v.email()), at: v.pipe(v.string(), v.isoTimestamp(), v.transform((text) => new Date(text))), copies: v.optional(v.number(), 1) }),
    strict: v.object({ age: v.pipe(v.number(), v.maxValue(5)), kind: v.picklist(['a', 'b']), either: v.union([v.number(), v.object({ n: v.number() })]), items: v.array(v.object({ name: v.string() })), text: v.pipe(v.string(), v.maxLength(2)) }),
    asynchronous: v.pipeAsync(v.string(), v.checkAsync(async () => true)),
    throwing: v.pipe(v.string(), v.transform(fail))
  },
  arktype: {
    mail: type({ to: 'string.email', at: 'string.date.iso.parse', copies: 'number = 1' }),
    strict: type({ age: 'number < 5', kind: "'a' | 'b'", either: type('number').or({ n: 'number' }), items: type({ name: 'string' }).array(), text: 'string <= 2' }),
    throwing: type('string').pipe(fail)
  }
}

for (const [library, { mail, strict, asynchronous, throwing }] of Object.entries(LIBRARIES)) {
  const stored = { to: 'ada@example.org', at: '2026-11-21T08:39:40.943Z' }
  const handled = { ...stored, at: new Date(stored.at), copies: 1 }

  t.test(`${library}: the handler gets what the schema makes of the payload; hooks, dead letters and retries have the payload itself`, async (t) => {
    for (const backend of [undefined, leased().backend]) {
      const app = await buildApp(t, { backend, retry: { attempts: 2, backoff: { delay: 0 } } })
      const seen: unknown[] = []
      const enqueued: unknown[] = []
      app.jobs.addHook('onEnqueue', (job) => { enqueued.push(job.payload) })
      app.jobs.define('send', { schema: mail }, async (payload) => {
        seen.push({ ...payload })
        // A handler may change what it got: the next attempt gets it anew.
        payload.copies++
        throw new Error('down')
      })
      await app.ready()
      const payload = { ...stored }
      await app.jobs.enqueue('send', payload)
      await app.jobs.idle({ delayed: true })
      t.same(seen, [handled, handled])
      t.same([payload, ...enqueued], [stored, stored], 'nothing is changed in what was given')
      t.match(await app.jobs.deadLetters.list(), [{ payload: stored, attempt: 2, error: { message: 'down' } }])
    }
  })

  t.test(`${library}: what does not fit is refused with its path, and never with its value`, async (t) => {
    const app = await buildApp(t)
    app.jobs.define('strict', { schema: strict }, handler)
    const good = { age: 1, kind: 'a', either: 1, items: [{ name: 'a' }], text: 'a' }
    await t.resolves(app.jobs.enqueue('strict', good))
    const bad: [object, RegExp][] = [
      [{ age: 4242 }, /payload\/age: \S/], [{ kind: SECRET }, /payload\/kind: \S/], [{ either: SECRET }, /payload\/either: \S/], [{ either: { n: SECRET } }, /payload\/either/],
      [{ items: [{ name: 'a' }, { name: 4242 }] }, /payload\/items\/1\/name: \S/], [{ text: SECRET }, /payload\/text: \S/], [{ age: undefined }, /payload\/age: \S/],
      [{ kind: { toString: () => SECRET } }, /payload\/kind: \S/]
    ]
    for (const [part, message] of bad) {
      const error = await app.jobs.enqueue('strict', { ...good, ...part }).then(() => t.fail(), (error) => error)
      t.match(error, { code: 'FST_JOBS_INVALID_PAYLOAD', statusCode: 400, message: /^Invalid payload for job 'strict': / })
      t.match(error.message, message)
      t.notMatch(error.message, SECRET)
      t.notMatch(error.message, /4242/)
    }
    await t.rejects(app.jobs.enqueue('strict', SECRET), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /job 'strict': payload: (?!.*hunter2)/ })
    const several = await app.jobs.enqueueMany([{ job: 'strict', payload: good }, { job: 'strict', payload: { ...good, age: SECRET, text: 1 } }]).then(() => '', ({ message }) => message)
    t.match(several, /payload\/age: .*; payload\/text: /)
  })

  t.test(`${library}: a payload that is stored and does not fit any more is a dead letter at once`, async (t) => {
    const { backend, store } = leased()
    const app = await buildApp(t, { backend })
    app.jobs.define('send', { schema: mail }, handler)
    await store({ id: 'bad', name: 'send', payload: { to: SECRET } })
    await app.ready()
    await app.jobs.idle()
    t.match(await app.jobs.get('bad'), { state: 'dead', attempt: 1, error: { code: 'FST_JOBS_INVALID_PAYLOAD', message: /payload\/to: (?!.*hunter2)/ } })
  })

  t.test(`${library}: schedules, upgrades and aliases`, async (t) => {
    const { backend, store } = leased()
    const app = await buildApp(t, { backend })
    const seen: Record<string, unknown> = {}
    app.jobs.define('send', { schema: mail, version: 2, aliases: ['mail'], upgrade: (to) => ({ ...stored, to }) }, async (payload, { job }) => { seen[job.name] = payload })
    t.throws(() => app.jobs.schedule('bad', { every: 1000 }, 'send', { payload: {} }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /payload\/to/ })
    app.jobs.schedule('daily', { cron: '0 2 * * *' }, 'send', { payload: stored })
    await store({ id: 'old', name: 'mail', payload: 'ada@example.org' })
    await app.ready()
    await app.jobs.schedules.run('daily')
    await app.jobs.idle()
    t.same(seen, { mail: handled, send: handled })
  })

  t.test(`${library}: a declared job is checked at the enqueue, and stored as it was given`, async (t) => {
    const { backend } = leased()
    const app = await buildApp(t, { backend, work: false })
    const payloads: unknown[] = []
    app.jobs.addHook('onEnqueue', ({ payload }) => { payloads.push(payload) })
    app.jobs.declare('send', { schema: mail })
    await t.rejects(app.jobs.enqueue('send', { ...stored, to: SECRET }), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /payload\/to/ })
    await app.jobs.enqueue('send', stored)
    await app.ready()
    await turns()
    t.same(payloads, [stored])
  })

  t.test(`${library}: a schema that throws`, async (t) => {
    const app = await buildApp(t)
    app.jobs.define('throwing', { schema: throwing }, handler)
    await t.rejects(app.jobs.enqueue('throwing', SECRET), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /a check or transform of its schema threw/, cause: { message: 'broken' } })
  })

  if (asynchronous !== undefined) {
    t.test(`${library}: an asynchronous schema is refused`, async (t) => assertRefusesPromises(t, asynchronous))
  }
}

async function assertRefusesPromises (t: Test, schema: StandardSchema<any, any>): Promise<void> {
  const { backend, store } = leased()
  const app = await buildApp(t, { backend })
  app.jobs.define('slow', { schema }, () => t.fail())
  const refusal = { code: 'FST_JOBS_INVALID_OPTIONS', message: /job 'slow': option 'schema' answered with a promise.*checked at once.*asynchronous/ }
  await t.rejects(app.jobs.enqueue('slow', 'text'), refusal)
  await t.rejects(app.jobs.enqueueMany([{ job: 'slow', payload: 'text' }]), refusal)
  t.throws(() => app.jobs.schedule('daily', { every: 1000 }, 'slow', { payload: 'text' }), refusal)
  await store({ id: 'stored', name: 'slow', payload: 'text' })
  await app.ready()
  await app.jobs.idle()
  t.match(await app.jobs.get('stored'), { state: 'dead', attempt: 1, error: { code: 'FST_JOBS_INVALID_OPTIONS' } })
}

function standard (validate: (value: unknown) => unknown): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate: validate as StandardSchema['~standard']['validate'] } }
}

t.test('a promise that rejects is nobody else\'s to handle', async (t) => assertRefusesPromises(t, standard(async () => { throw new Error('late') })))

t.test('another version of the specification, and one that cannot validate, are refused', async (t) => {
  const app = await buildApp(t)
  for (const given of [{ version: 2, vendor: 'test', validate () {} }, { version: 1, vendor: 'test' }, null, undefined]) {
    t.throws(() => app.jobs.define('a', { schema: { '~standard': given } }, handler), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'a'.*'~standard' without version 1 or without 'validate'/ })
  }
})

t.test('paths of keys and of objects with keys, symbols too; many issues', async (t) => {
  const app = await buildApp(t)
  const issues = [
    { message: 'a', path: ['list', { key: 0 }, Symbol('s')] }, { message: 'b', path: [] }, { message: 'c' }, { message: 'd', path: ['missing', 'deeper'] }, { message: `e "${SECRET}"`, path: ['secret'] },
    { message: 'f' }, { message: 'g' }
  ]
  app.jobs.define('a', { schema: standard(() => ({ issues })) }, handler)
  await t.rejects(app.jobs.enqueue('a', { secret: SECRET }), {
    message: "Invalid payload for job 'a': payload/list/0/Symbol(s): a; payload: b; payload: c; payload/missing/deeper: d; payload/secret: e string; and 2 more"
  })
})

t.test('a transform that throws is the fault of the payload, in zod 3, 4 and mini', async (t) => {
  const app = await buildApp(t)
  app.post('/', async (request) => request.jobs.enqueue('v4', request.body))
  for (const [job, { string }] of Object.entries({ v3: v3 as unknown as typeof z, v4: z })) {
    app.jobs.define(job, { schema: string().transform((text) => new URL(text)) }, handler)
    await t.resolves(app.jobs.enqueue(job, 'https://example.org'))
    await t.rejects(app.jobs.enqueue(job, SECRET), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /^(?!.*hunter2).*threw, see the cause/, cause: { code: 'ERR_INVALID_URL' } })
    app.jobs.define(`${job}-slow`, { schema: string().refine(async () => true) }, handler)
    await t.rejects(app.jobs.enqueue(`${job}-slow`, SECRET), { code: 'FST_JOBS_INVALID_OPTIONS', message: /answered with a promise/ })
  }
  app.jobs.define('mini', { schema: mini.pipe(mini.string(), mini.transform(fail)) }, handler)
  await t.rejects(app.jobs.enqueue('mini', SECRET), { code: 'FST_JOBS_INVALID_PAYLOAD', cause: { message: 'broken' } })
  const response = await app.inject({ method: 'POST', url: '/', payload: SECRET, headers: { 'content-type': 'text/plain' } })
  t.match(response.json(), { statusCode: 400, code: 'FST_JOBS_INVALID_PAYLOAD' })
})

t.test('an answer that is none of Standard Schema is named', async (t) => {
  const app = await buildApp(t)
  for (const [index, answer] of [undefined, null, 1, {}, { issues: 'none' }, { issues: [null] }].entries()) {
    app.jobs.define(`a${index}`, { schema: standard(() => answer) }, handler)
    await t.rejects(app.jobs.enqueue(`a${index}`, SECRET), { code: 'FST_JOBS_INVALID_OPTIONS', message: /job 'a\d'.*'schema' answered with (undefined|null|number|object), where Standard Schema 1/ })
  }
  app.jobs.define('paths', { schema: standard(() => ({ issues: [{ message: 'a', path: null }, { message: 'b', path: [null] }] })) }, handler)
  await t.rejects(app.jobs.enqueue('paths', 1), { code: 'FST_JOBS_INVALID_PAYLOAD', message: /payload: a; payload\/null: b/ })
})

t.test('what arktype expects is told, and nothing that it got', async (t) => {
  const app = await buildApp(t)
  const long = `my credit card is 4111 1111 1111 1111, ${SECRET}`
  const cases: [StandardSchema<any, any>, unknown, string][] = [
    [type({ a: 'string.json.parse' }), { a: long }, 'payload/a: must be a JSON string'],
    [type({ a: 'string.json' }), { a: `{"pw": ${long}` }, 'payload/a: must be a JSON string'],
    [type('string > 10 & string.email'), SECRET, 'payload: must be an email address and at least length 11'],
    [type({ in: type({ a: "'x'" }).or({ b: 'number' }) }), { in: { a: SECRET, b: SECRET } }, 'payload/in: must be "x" at a or a number at b'],
    [type({ a: type('number').configure({ message: 'give a number' }) }), { a: SECRET }, 'payload/a: give a number'],
    [type({ a: type('number').configure({ message: ({ problem }) => `it ${problem}!` }) }), { a: 'x' }, 'payload/a: it must be a number (was a string)!'],
    [type({ a: type('string').narrow((text, context) => context.reject({ message: `no "${text}"` })) }), { a: SECRET }, 'payload/a: no string']
  ]
  for (const [index, [schema, payload, message]] of cases.entries()) {
    app.jobs.define(`a${index}`, { schema }, handler)
    await t.rejects(app.jobs.enqueue(`a${index}`, payload), { code: 'FST_JOBS_INVALID_PAYLOAD', message: `Invalid payload for job 'a${index}': ${message}` })
  }
})

t.test('a message that quotes a text inside of the value, or an error that a check caught', async (t) => {
  const app = await buildApp(t)
  const itself: Record<string, unknown> = { b: SECRET, list: [`pass"w\n${SECRET}`] }
  itself.itself = itself
  app.jobs.define('nested', { schema: z.object({ a: z.any().refine(() => false, { error: ({ input }: any) => `bad "${input.b}", ${JSON.stringify(input.list[0])}` }) }) }, handler)
  await t.rejects(app.jobs.enqueue('nested', { a: itself }), { message: /payload\/a: bad string, string$/ })
  app.jobs.define('caught', { schema: standard(() => ({ issues: [{ message: `no JSON (SyntaxError: "${SECRET.slice(0, 3)}"... is not)` }] })) }, handler)
  await t.rejects(app.jobs.enqueue('caught', SECRET), { message: /payload: no JSON$/ })
})

t.test('parts of a payload are transformed', async (t) => {
  const app = await buildApp(t)
  const seen: unknown[] = []
  app.jobs.define('event', { schema: z.object({ id: z.string(), payload: z.object({ day: z.coerce.date() }) }) }, async ({ payload }) => { seen.push(payload.day instanceof Date) })
  await app.ready()
  await app.jobs.enqueue('event', { id: 'a', payload: { day: '2026-11-21' } })
  await app.jobs.idle()
  t.same(seen, [true])
})
