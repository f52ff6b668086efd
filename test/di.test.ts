import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import autoload from '@fastify/autoload'
import { fastifyAwilixPlugin, type Cradle } from '@fastify/awilix'
import { asClass, asFunction, createContainer } from 'awilix'
import Fastify from 'fastify'
import t from 'tap'
import backgroundJobs from '../lib/index.ts'
import { buildApp, countScopes } from './helpers/app.ts'

const disposable = (events: string[], name: string) => asFunction(() => name, { lifetime: 'SCOPED', dispose: () => { events.push(`${name} disposed`) } })

t.test('a request has no scope, and an app may give it one of its own', async (t) => {
  const app = await buildApp(t)
  const count = countScopes(app)
  app.decorateRequest('diScope', null as never)
  app.get('/plain', async (request) => String(request.diScope))
  t.equal((await app.inject('/plain')).body, 'null')
  t.equal(count.scopes, 0)
})

t.test('jobs in a child, @fastify/awilix later in the app: requests of the child have the scopes of the app', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(async (child) => {
    await child.register(backgroundJobs)
    child.get('/child', async (request) => typeof request.diScope.resolve)
  })
  await app.register(fastifyAwilixPlugin, { container: createContainer<Cradle>() })
  t.equal((await app.inject('/child')).body, 'function')
})

t.test('with di.requestScopes each request has a scope, which is disposed with the response', async (t) => {
  const app = await buildApp(t, { di: { requestScopes: true } })
  const events: string[] = []
  app.diContainer.register({ connection: disposable(events, 'connection') } as never)
  app.get('/scoped', async (request) => request.diScope.resolve('connection' as never))
  t.equal((await app.inject('/scoped')).body, 'connection')
  t.equal((await app.inject('/scoped')).body, 'connection')
  await app.close()
  t.same(events, ['connection disposed', 'connection disposed'])
})

t.test('an app that has registered @fastify/awilix keeps its container and its request scopes', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const container = createContainer<Cradle>()
  await app.register(fastifyAwilixPlugin, { container })
  await app.register(backgroundJobs)
  t.equal(app.diContainer, container)
  container.register({ connection: disposable([], 'connection') } as never)
  app.get('/scoped', async (request) => request.diScope.resolve('connection' as never))
  t.equal((await app.inject('/scoped')).body, 'connection')
})

t.test('what is registered with asyncInit or eagerInject is there before workers start, and disposed when the app has closed', async (t) => {
  const events: string[] = []
  class Database {
    async init (): Promise<void> { events.push('init') }
    async end (): Promise<void> { events.push('end') }
  }
  class Eager {
    constructor () { events.push('eager') }
  }
  const app = await buildApp(t)
  app.diContainer.register({
    database: asClass(Database, { lifetime: 'SINGLETON', asyncInit: 'init', asyncDispose: 'end' }),
    eager: asClass(Eager, { lifetime: 'SINGLETON', eagerInject: true, dispose: () => { events.push('disposed') } })
  } as never)
  app.jobs.service('first', { async start () { events.push('service') } })
  app.jobs.define('last', async () => { events.push('job') })
  app.addHook('onClose', async () => { events.push('a later plugin closes') })
  await app.ready()
  await app.jobs.enqueue('last', {})
  await app.jobs.idle()
  t.same(events, ['eager', 'init', 'service', 'job'])
  await app.close()
  t.same(events.slice(4), ['a later plugin closes', 'end', 'disposed'])
})

t.test('an asyncInit that fails fails the start', async (t) => {
  const app = await buildApp(t)
  app.diContainer.register({ database: asFunction(() => ({ init: async () => { throw new Error('no such host') } }), { lifetime: 'SINGLETON', asyncInit: 'init' }) } as never)
  await t.rejects(async () => { await app.ready() }, /no such host/)
})

t.test('containers of two apps in one process are their own', async (t) => {
  const [one, other] = [await buildApp(t), await buildApp(t)]
  t.not(one.diContainer, other.diContainer)
})

const tooLate = { code: 'FST_JOBS_INVALID_OPTIONS', message: /register @fastify\/awilix first/ }

t.test('@fastify/awilix registered after the plugin is told to come first, in a child of the app, too', async (t) => {
  const late = Fastify()
  t.teardown(() => late.close())
  await late.register(backgroundJobs)
  await late.register(fastifyAwilixPlugin)
  t.equal(late.decorate('another', 1).decorateRequest('more', 2).hasDecorator('another'), true, 'other decorators are let through')
  await t.rejects(async () => { await late.ready() }, tooLate)

  const app = await buildApp(t)
  app.register(async (child) => { await child.register(fastifyAwilixPlugin) })
  await t.rejects(async () => { await app.ready() }, tooLate)
})

t.test('with di.requestScopes, too', async (t) => {
  const app = await buildApp(t, { di: { requestScopes: true } })
  await app.register(fastifyAwilixPlugin)
  await t.rejects(async () => { await app.ready() }, tooLate)
})

t.test("@fastify/autoload loads by the alphabet: the error tells of 'dependencies', and they help", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'autoload-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const dependencies = (names: string[]) => `import fp from ${JSON.stringify(import.meta.resolve('fastify-plugin'))}
    export default fp(async (app) => { await app.register(app.plugins.jobs) }, { name: 'jobs', dependencies: ${JSON.stringify(names)} })`
  await writeFile(join(directory, 'z-di.mjs'), `import fp from ${JSON.stringify(import.meta.resolve('fastify-plugin'))}
    export default fp(async (app) => { await app.register(app.plugins.awilix) }, { name: 'di' })`)
  const start = async () => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.decorate('plugins', { jobs: backgroundJobs, awilix: fastifyAwilixPlugin })
    await app.register(autoload, { dir: directory })
    await app.ready()
  }
  await writeFile(join(directory, 'a-jobs.mjs'), dependencies([]))
  await t.rejects(start(), tooLate)
  await rm(join(directory, 'a-jobs.mjs'))
  await writeFile(join(directory, 'b-jobs.mjs'), dependencies(['di']))
  await t.resolves(start)
})

t.test('di.requestScopes without @fastify/awilix says what to install', async (t) => {
  const { provideContainer } = await t.mockImport<typeof import('../lib/di.ts')>('../lib/di.ts', {
    '@fastify/awilix': { get fastifyAwilixPlugin () { throw new Error('Cannot find package') } }
  })
  await t.rejects(provideContainer(Fastify(), { requestScopes: true }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /npm install @fastify\/awilix/ })
})
