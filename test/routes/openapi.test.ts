import t, { type Test } from 'tap'
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import Fastify, { type FastifyInstance, type onRouteHookHandler } from 'fastify'
import { jsonSchemaTransform, serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod'
import { z } from 'zod'
import backgroundJobs, { type BackgroundJobsOptions } from '../../lib/index.ts'
import { admin, answersOf, appWithEverything } from '../helpers/route-answers.ts'

interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly security?: readonly Record<string, readonly string[]>[]
  readonly responses: Readonly<Record<string, { readonly description: string, readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>>
}

interface Schema { readonly type?: string, readonly required?: readonly string[], readonly items?: Schema, readonly properties?: Record<string, Schema>, readonly additionalProperties?: Schema | true }

interface Document { readonly openapi: string, readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> }

async function documentOf (t: Test, options: BackgroundJobsOptions = { admin }, documentation: FastifyDynamicSwaggerOptions = { openapi: {} }, prepare: (app: FastifyInstance) => void = () => {}): Promise<Document> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, documentation)
  prepare(app)
  await app.register(backgroundJobs, options)
  await app.ready()
  return app.swagger() as unknown as Document
}

async function checkValid (t: Test, document: Document): Promise<void> {
  const { valid, errors } = await new Validator().validate(structuredClone(document) as unknown as Record<string, unknown>)
  t.ok(valid, JSON.stringify(errors))
}

function operationsOf (document: Document): [name: string, operation: Operation][] {
  return Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]): [string, Operation] => [`${method.toUpperCase()} ${path}`, operation]))
}

t.test('the document that @fastify/swagger makes is valid, and every operation has an id of its own', async (t) => {
  const securitySchemes = { basic: { type: 'http', scheme: 'basic' } } as const
  const documents = [
    await documentOf(t),
    await documentOf(t, { admin }, { openapi: { openapi: '3.1.0' } }),
    await documentOf(t, { admin: { ...admin, security: [{ basic: [] }] } }, { openapi: { components: { securitySchemes } } }),
    await documentOf(t, { admin }, { openapi: {}, exposeHeadRoutes: true }),
    // Swagger 2.0, the default.
    await documentOf(t, { admin }, {}),
    await documentOf(t, { admin: { ...admin, security: [{ basic: [] }] } }, { swagger: { securityDefinitions: { basic: { type: 'basic' } } } })
  ]
  for (const document of documents) {
    await checkValid(t, document)
    const operations = operationsOf(document)
    t.ok(operations.length >= 14)
    const ids = operations.map(([, { operationId }]) => operationId)
    t.equal(new Set(ids).size, operations.length)
    for (const [name, { operationId, summary, tags }] of operations) {
      t.match(operationId, /^jobs[A-Za-z]+(-head)?$/, name)
      t.ok(summary, name)
      t.ok(tags?.length, name)
    }
  }
})

/** Objects in a schema, itself included. */
function objectsIn (schema: Schema): Schema[] {
  const inner = [schema.items, schema.additionalProperties, ...Object.values(schema.properties ?? {})].filter((one): one is Schema => typeof one === 'object')
  return [...schema.type === 'object' ? [schema] : [], ...inner.flatMap(objectsIn)]
}

t.test('every object that a route answers with says which properties are always there', async (t) => {
  for (const [name, { responses }] of operationsOf(await documentOf(t))) {
    for (const [status, { content = {} }] of Object.entries(responses)) {
      for (const { schema } of Object.values(content)) {
        for (const { properties, required = [] } of objectsIn(schema)) {
          if (properties !== undefined) t.ok(required.length > 0, `${name} ${status}`)
          for (const property of required) t.ok(properties![property], `${name} ${status} ${property}`)
        }
      }
    }
  }
})

t.test('every answer is one that the document describes', async (t) => {
  const ajv = (addFormats as unknown as (ajv: Ajv) => Ajv)(new Ajv({ strict: false }))
  const app = await appWithEverything(t, (app) => app.register(swagger, { openapi: {} }))
  const operations = operationsOf(app.swagger() as unknown as Document)
  const answers = await answersOf(app)
  for (const { request, status, type, body } of answers) {
    const [method, url] = request.split(' ') as [string, string]
    const path = url.replace(/\?.*/, '')
    const [, { responses }] = operations.find(([name]) => new RegExp(`^${name.replace(/\{\w+\}/g, '[^/]+')}$`).test(`${method} ${path}`))!
    const response = responses[status]
    t.ok(response, request)
    if (status === 204) {
      t.equal(response!.content, undefined)
      continue
    }
    const [[mediaType, { schema }]] = Object.entries(response!.content!) as [[string, { schema: Schema }]]
    t.ok(String(type).startsWith(mediaType), request)
    const validate = ajv.compile(schema)
    t.ok(validate(mediaType === 'text/plain' ? body : JSON.parse(body)), `${request} ${ajv.errorsText(validate.errors)}`)
  }
})

t.test('admin operations tell about 401 and 403, and about security when the option names schemes', async (t) => {
  const securitySchemes = { basic: { type: 'http', scheme: 'basic' } } as const
  const security = [{ basic: [] }]
  for (const given of [undefined, null, security]) {
    const document = await documentOf(t, { admin: { ...admin, security: given } }, { openapi: { components: { securitySchemes } } })
    for (const [name, operation] of operationsOf(document)) {
      const isAdmin = name.includes(' /jobs/admin/')
      t.same(operation.security, isAdmin && given ? security : undefined, name)
      for (const status of [401, 403]) t.equal(status in operation.responses, isAdmin, `${name} ${status}`)
    }
  }
  for (const wrong of ['basic', ['basic'], [{ basic: 'read' }]]) {
    const app = Fastify()
    await t.rejects(Promise.resolve(app.register(backgroundJobs, { admin: { ...admin, security: wrong } } as never)), { code: 'FST_JOBS_INVALID_OPTIONS', message: /admin\.security/ })
  }
})

t.test('routes.hide keeps every route out of the document, the HEAD routes too', async (t) => {
  for (const routes of [{ hide: true }, { prefix: false, hide: true }] as const) {
    const document = await documentOf(t, { admin, routes }, { openapi: {}, exposeHeadRoutes: true }, (app) => { app.get('/theirs', async () => 'theirs') })
    t.same(operationsOf(document).map(([name]) => name), ['GET /theirs', 'HEAD /theirs'])
  }
})

t.test('Swagger 2.0 says that metrics are a text', async (t) => {
  const document = await documentOf(t, {}, {})
  t.match(Object.fromEntries(operationsOf(document))['GET /metrics'], { produces: ['text/plain'], responses: { 200: { schema: { type: 'string' } } } })
})

t.test("an onRoute hook may hide single routes, or give the app's transform back to them", async (t) => {
  const transform = ({ schema, url }: { schema: object, url: string }) => ({ schema: { ...schema, hide: /admin|metrics/.test(url) }, url })
  const hooks: Record<string, onRouteHookHandler> = {
    hide ({ schema, url }) { if (schema !== undefined && /admin|metrics/.test(url)) schema.hide = true },
    transform ({ config }) { if (config?.swaggerTransform === false) delete config.swaggerTransform }
  }
  for (const [name, hook] of Object.entries(hooks)) {
    const document = await documentOf(t, { admin }, { openapi: {}, exposeHeadRoutes: true, transform }, (app) => app.addHook('onRoute', hook))
    const paths = Object.keys(document.paths)
    t.ok(paths.includes('/jobs/status'), name)
    t.same(paths.filter((path) => /admin|metrics/.test(path)), [], name)
  }
})

t.test("with fastify-type-provider-zod's transform the document has its routes and ours", async (t) => {
  const document = await documentOf(t, { admin }, { openapi: {}, transform: jsonSchemaTransform }, (app) => {
    app.setValidatorCompiler(validatorCompiler)
    app.setSerializerCompiler(serializerCompiler)
    const schema: object = { querystring: z.object({ page: z.coerce.number() }), response: { 200: z.object({ page: z.number() }) } }
    app.get('/zod', { schema }, async ({ query }) => query)
  })
  await checkValid(t, document)
  const byName = Object.fromEntries(operationsOf(document))
  t.same(byName['GET /zod']!.responses['200']!.content!['application/json']!.schema.required, ['page'])
  t.ok(byName['GET /jobs/status']!.responses['200']!.content!['application/json']!.schema.required!.includes('queues'))
})
