import t, { type Test } from 'tap'
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance, type FastifyServerOptions, type RouteOptions } from 'fastify'
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { Type } from 'typebox'
import { z } from 'zod'
import backgroundJobs, { memory, type Backend, type BackgroundJobsOptions } from '../../lib/index.ts'
import { buildApp } from '../helpers/app.ts'
import { admin, answersOf, appWithEverything, REQUESTS } from '../helpers/route-answers.ts'

function useZod (app: FastifyInstance): void {
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  const schema = { querystring: z.object({ page: z.coerce.number() }), response: { 200: z.object({ page: z.number() }) } }
  app.get('/zod', { schema: schema as object }, async ({ query }) => query)
}

function useTypeBox (app: FastifyInstance): void {
  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  const page = Type.Object({ page: Type.Number() })
  app.get('/typebox', { schema: { querystring: page, response: { 200: page } } }, async ({ query }) => query)
}

function refuse (): never {
  throw new Error('only schemas of this app')
}

const APPS: Record<string, { prepare?: (app: FastifyInstance) => unknown, server?: FastifyServerOptions }> = {
  'the compilers of fastify-type-provider-zod': { prepare: useZod },
  'the compiler of @fastify/type-provider-typebox': { prepare: useTypeBox },
  'factories of compilers that take no JSON Schema': { server: { schemaController: { compilersFactory: { buildValidator: () => refuse, buildSerializer: () => refuse } } } },
  'a schemaErrorFormatter for other errors': { prepare: (app) => app.setSchemaErrorFormatter(refuse) },
  'ajv options that coerce nothing': { server: { ajv: { customOptions: { coerceTypes: false, useDefaults: false, allErrors: true, removeAdditional: 'all' } } } },
  'serializerOpts that round': { server: { serializerOpts: { rounding: 'ceil' } } },
  'a reply serializer': { prepare: (app) => app.setReplySerializer((payload) => JSON.stringify({ wrapped: payload })) },
  'a preSerialization hook': { prepare: (app) => app.addHook('preSerialization', async (_request, _reply, payload) => ({ wrapped: payload })) },
  'an onSend hook': { prepare: (app) => app.addHook('onSend', async (_request, reply, payload) => { reply.header('x-app', 'yes'); return payload }) },
  'a not found handler': { prepare: (app) => app.setNotFoundHandler(async () => ({ nothing: 'here' })) },
  'an error handler that passes errors on': { prepare: (app) => app.setErrorHandler((error, _request, reply) => reply.send(error)) }
}

for (const [what, { prepare, server }] of Object.entries(APPS)) {
  t.test(`every route answers the same in an app with ${what}`, async (t) => {
    const answers = await answersOf(await appWithEverything(t, prepare, server))
    t.same(answers.map(({ status }) => status), REQUESTS.map(([, , , status]) => status))
    t.same(answers, await answersOf(await appWithEverything(t)))
  })
}

t.test('the routes of the app keep its compilers', async (t) => {
  const zod = await appWithEverything(t, useZod)
  t.same((await zod.inject('/zod?page=2')).json(), { page: 2 })
  t.equal((await zod.inject('/zod?page=two')).statusCode, 400)
  const typeBox = await appWithEverything(t, useTypeBox)
  t.same((await typeBox.inject('/typebox?page=2')).json(), { page: 2 })
  t.equal((await typeBox.inject('/typebox?page=two')).statusCode, 400)
})

t.test("an app's error handler shapes what the routes refuse or fail with, whole", async (t) => {
  const backend: Backend = Object.assign(memory(), { stats () { throw new Error('connection refused at 10.0.0.7') } })
  const app = Fastify()
  t.teardown(() => app.close())
  app.setErrorHandler<Error & { statusCode: number, code?: string }>((error, _request, reply) =>
    reply.code(error.statusCode).send({ problem: error.message, code: error.code, validation: Array.isArray((error as { validation?: unknown }).validation) }))
  await app.register(backgroundJobs, { admin, backend })
  const ask = async (url: string, role: string) => (await app.inject({ url, headers: { 'x-role': role } })).json()
  t.same(await ask('/jobs/admin/dead-letters?limit=0', 'admin'), { problem: 'querystring/limit must be >= 1', code: 'FST_ERR_VALIDATION', validation: true })
  t.same(await ask('/jobs/admin/dead-letters', 'stranger'), { problem: 'who are you?', validation: false })
  t.same(await ask('/jobs/status', 'admin'), {
    problem: "A backend of background jobs does not answer; the server's log has the cause", code: 'FST_JOBS_BACKEND_UNAVAILABLE', validation: false
  })
})

t.test('what a backend adds to its answers does not leave the process, whatever serializes the replies', async (t) => {
  for (const prepare of [() => {}, (app: FastifyInstance) => app.setReplySerializer((payload) => JSON.stringify(payload))]) {
    const inner = memory()
    const { find, listDead } = inner
    const backend: Backend = Object.assign(inner, {
      find: async (id: string) => ({ ...await find!.call(inner, id), secret: 'hunter2', correlationId: { secret: 'hunter2' } }),
      listDead: async (...args: Parameters<NonNullable<Backend['listDead']>>) => (await listDead!.apply(inner, args)).map((letter) => ({ ...letter, secret: 'hunter2' }))
    })
    const answers = await answersOf(await appWithEverything(t, prepare, {}, { backend }))
    t.same(answers.filter(({ body }) => body.includes('hunter2')), [])
    t.match(answers.find(({ request }) => request.startsWith('GET /jobs/dead '))!.body, /"state":"dead"/)
  }
})

/** Method and URL of each route that the plugin registers, with its schema. */
async function routesOf (t: Test, options: BackgroundJobsOptions = { admin }, server: FastifyServerOptions = {}) {
  const app = Fastify(server)
  t.teardown(() => app.close())
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => { routes.push(route) })
  await app.register(backgroundJobs, options)
  await app.ready()
  return { app, routes: routes.map((route) => ({ ...route, request: `${String(route.method)} ${route.url}` })) }
}

t.test('every route of the plugin brings its own compilers', async (t) => {
  const { routes } = await routesOf(t)
  t.ok(routes.length >= 19)
  for (const { request, validatorCompiler, serializerCompiler, schemaErrorFormatter } of routes) {
    for (const own of [validatorCompiler, serializerCompiler, schemaErrorFormatter]) t.type(own, 'function', request)
  }
})

t.test('a GET route answers HEAD with the same headers and no body, unless the app wants none', async (t) => {
  const app = await appWithEverything(t)
  for (const [method, url, role, status] of REQUESTS.filter(([method]) => method === 'GET')) {
    const [get, head] = [await app.inject({ method: 'GET', url, headers: { 'x-role': role } }), await app.inject({ method: 'HEAD', url, headers: { 'x-role': role } })]
    t.equal(head.statusCode, status, `${method} ${url}`)
    t.equal(head.body, '')
    for (const header of ['content-type', 'content-length']) t.equal(head.headers[header], get.headers[header], `${header} of ${url}`)
  }
  const none = await appWithEverything(t, () => {}, { exposeHeadRoutes: false })
  t.equal((await none.inject({ method: 'HEAD', url: '/jobs/status' })).statusCode, 404)
})

t.test('the prefix of an encapsulated registration comes before every path', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(async (child) => child.register(backgroundJobs, { admin }), { prefix: '/v1' })
  for (const path of ['/jobs/status', '/jobs/admin/dead-letters', '/health', '/health/live', '/health/ready', '/metrics']) {
    t.equal((await app.inject({ url: `/v1${path}`, headers: { 'x-role': 'admin' } })).statusCode, 200, path)
    t.equal((await app.inject({ url: path, headers: { 'x-role': 'admin' } })).statusCode, 404, path)
  }
})

const CONFLICTS: readonly [url: string, method: 'GET' | 'POST' | 'HEAD', wayOut: RegExp, options: BackgroundJobsOptions][] = [
  ['/metrics', 'GET', /'metrics\.path'.*metrics: \{ path: false \}/, { metrics: { path: false } }],
  ['/metrics', 'HEAD', /'metrics\.path'.*metrics: \{ path: false \}/, { metrics: { path: '/internal/metrics' } }],
  ['/health', 'GET', /'health\.path'.*health: false/, { health: false }],
  ['/health/ready', 'GET', /'health\.path'.*health: false/, { health: { path: '/internal/health' } }],
  ['/health/live', 'GET', /'health\.path'.*health: false/, { health: false }],
  ['/jobs/status', 'GET', /'routes\.prefix'.*routes: false/, { routes: { prefix: '/work' } }],
  ['/jobs/:jobId', 'GET', /'routes\.prefix'.*routes: false/, { routes: false }],
  ['/jobs/admin/dead-letters', 'GET', /'routes\.prefix'.*'admin'/, { routes: { prefix: '/work' } }],
  ['/jobs/admin/jobs/:id/cancel', 'POST', /'routes\.prefix'.*'admin'/, { admin: null }]
]

for (const [url, method, wayOut, options] of CONFLICTS) {
  const theirs = { method, url, handler: async () => 'theirs' }

  t.test(`when the app has a route ${method} ${url} already, the error names the option to change`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.route(theirs)
    app.register(backgroundJobs, { admin })
    if (method === 'HEAD') return await t.resolves(Promise.resolve(app.ready()), "Fastify leaves the app's HEAD route alone")
    const cause = { code: 'FST_ERR_DUPLICATED_ROUTE' }
    await t.rejects(Promise.resolve(app.ready()), { code: 'FST_JOBS_INVALID_OPTIONS', message: new RegExp(`'${method}'.*'.*'.*${wayOut.source}`), cause })
  })

  t.test(`when a route ${method} ${url} comes after the plugin, the error names the option, too`, async (t) => {
    const app = await buildApp(t, { admin })
    await app.after()
    t.throws(() => app.route(theirs), { code: 'FST_JOBS_INVALID_OPTIONS', message: new RegExp(`'${method}'.*'${url}'.*${wayOut.source}`) })
    t.throws(() => app.route({ ...theirs, method: ['PUT', method] }), { code: 'FST_JOBS_INVALID_OPTIONS' })
  })

  t.test(`with the option changed the app has its own route ${method} ${url}`, async (t) => {
    for (const order of ['before', 'after']) {
      const app = Fastify()
      t.teardown(() => app.close())
      if (order === 'before') app.route(theirs)
      await app.register(backgroundJobs, { admin, ...options })
      if (order === 'after') app.route(theirs)
      t.equal((await app.inject({ method, url })).statusCode, 200)
      t.equal((await app.inject({ method, url })).body, method === 'HEAD' ? '' : 'theirs')
    }
  })
}

const SPELLINGS: readonly [server: FastifyServerOptions, url: string, ours: string][] = [
  [{ routerOptions: { caseSensitive: false } }, '/Jobs/:Id', '/jobs/7'],
  [{ routerOptions: { ignoreTrailingSlash: true } }, '/metrics/', '/metrics'],
  [{ routerOptions: { ignoreDuplicateSlashes: true } }, '//health///ready', '/health/ready'],
  [{ caseSensitive: false }, '/METRICS', '/metrics'],
  [{ ignoreTrailingSlash: true }, '/health/', '/health'],
  [{ ignoreDuplicateSlashes: true }, '/jobs//status', '/jobs/status']
]

for (const [server, url, ours] of SPELLINGS) {
  t.test(`a path that is the same with ${JSON.stringify(server)} is taken, whichever comes first, and free without`, async (t) => {
    const refusal = { code: 'FST_JOBS_INVALID_OPTIONS', message: /'(metrics\.path|health\.path|routes\.prefix)'/ }
    const second = await buildApp(t, {}, server)
    t.throws(() => second.get(url, async () => 'theirs'), refusal)
    const first = Fastify(server)
    t.teardown(() => first.close())
    first.get(url, async () => 'theirs')
    await t.rejects(Promise.resolve(first.register(backgroundJobs)), refusal)
    if (url.includes(':')) return
    const both = await buildApp(t)
    both.get(url, async () => 'theirs')
    t.equal((await both.inject(url)).body, 'theirs')
    t.not((await both.inject(ours)).body, 'theirs')
  })
}

t.test('a route of the same path with constraints of its own is no conflict', async (t) => {
  const app = await buildApp(t)
  app.get('/metrics', { constraints: { host: 'metrics.example.com' } }, async () => 'theirs')
  t.equal((await app.inject({ url: '/metrics', headers: { host: 'metrics.example.com' } })).body, 'theirs')
  t.match((await app.inject('/metrics')).body, /jobs_queued_total/)
})

t.test('a route that takes other parameters than ours is no conflict', async (t) => {
  const app = await buildApp(t)
  app.get('/jobs/:number(^\\d+$)', async () => 'theirs')
  t.equal((await app.inject('/jobs/7')).body, 'theirs')
  t.equal((await app.inject('/jobs/seven')).statusCode, 404)
})

t.test('two paths of the plugin that are the same are refused by the name of the later option', async (t) => {
  await t.rejects(buildApp(t, { metrics: { path: '/health/ready' } }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /metrics\.path/ })
})

t.test('what an onRoute hook of the app throws is thrown on as it is', async (t) => {
  for (const refusal of [new Error('no route without a tag of ours'), 'no route']) {
    const app = Fastify()
    t.teardown(() => app.close())
    app.addHook('onRoute', () => { throw refusal })
    const thrown = await Promise.resolve(app.register(backgroundJobs)).then(() => 'nothing', (error: unknown) => error)
    t.equal(thrown, refusal)
  }
})

t.test('routes.hide hides every route from documentation, and nothing by default', async (t) => {
  for (const hide of [true, false, undefined]) {
    const { routes } = await routesOf(t, { admin, routes: { hide } })
    t.ok(routes.length >= 19)
    for (const { request, schema } of routes) t.equal((schema as { hide?: boolean }).hide, hide ?? false, request)
  }
})

/** An app whose hook changes each route before the plugin's own are registered. */
async function appThatChanges (t: Test, change: (route: RouteOptions & { schema: { response?: Record<string, object>, params?: object } }) => void, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  return appWithEverything(t, (app) => app.addHook('onRoute', (route) => change(route as never)), server)
}

t.test('an onRoute hook of the app may set the config of the routes', async (t) => {
  const app = await appThatChanges(t, (route) => {
    route.config ??= {}
    Object.assign(route.config, { rateLimit: route.url })
  })
  t.same(await answersOf(app), await answersOf(await appWithEverything(t)))
})

t.test('what an onRoute hook changes stays with that route, and with that app', async (t) => {
  await appThatChanges(t, ({ schema, config, url }) => {
    Object.assign(config!, { changedBy: url })
    for (const answer of Object.values(schema.response!)) Object.assign(answer, { changedBy: url })
    schema.response!['5xx'] = { changedBy: url }
  }, { exposeHeadRoutes: false })
  const { routes } = await routesOf(t)
  t.ok(routes.length >= 19)
  for (const { request, config, schema } of routes) t.notMatch(JSON.stringify([config, schema]), /changedBy/, request)

  const seen: unknown[] = []
  await appThatChanges(t, ({ schema, config }) => { seen.push(config, schema, schema.response, ...Object.values(schema.response!)) }, { exposeHeadRoutes: false })
  t.equal(new Set(seen).size, seen.length)
})
