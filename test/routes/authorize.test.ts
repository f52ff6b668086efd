import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import auth, { type FastifyAuthFunction } from '@fastify/auth'
import basicAuth from '@fastify/basic-auth'
import jwt from '@fastify/jwt'
import Fastify, { type FastifyInstance, type FastifyRequest, type FastifyServerOptions } from 'fastify'
import backgroundJobs, { type BackgroundJobsOptions } from '../../lib/index.ts'
import { deferred, logTo, turns } from '../helpers/app.ts'

type Authorize = NonNullable<BackgroundJobsOptions['admin']>['authorize']
type Headers = Record<string, string>
type Prepare = (app: FastifyInstance) => Promise<void> | void

const PAYLOAD = 'ada@example.com'
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** An app with a dead letter whose admin routes are behind what `authorizeOf` makes of the app. */
async function adminApp (t: Test, authorizeOf: (app: FastifyInstance) => Authorize, prepare: Prepare = () => {}, server: FastifyServerOptions = {}) {
  const app = Fastify(server)
  t.teardown(() => app.close())
  const routes: { method: string, path: string }[] = []
  app.addHook('onRoute', ({ method, url }) => {
    if (url.startsWith('/jobs/admin/')) routes.push(...[method].flat().map((one) => ({ method: one, path: url.replace(/:\w+/, 'nobody') })))
  })
  await prepare(app)
  await app.register(backgroundJobs, { retry: { attempts: 1 }, admin: { authorize: authorizeOf(app) } })
  app.jobs.define('fails', () => { throw new Error('it broke') })
  await app.ready()
  await app.jobs.enqueue('fails', PAYLOAD)
  await app.jobs.idle()
  return { app, routes }
}

/** What an app with that `authorize` answers to a stranger who asks for the dead letters. */
async function answerTo (t: Test, authorize: Authorize, prepare: Prepare = () => {}, server: FastifyServerOptions = {}) {
  const { app } = await adminApp(t, () => authorize, prepare, server)
  return app.inject('/jobs/admin/dead-letters')
}

async function withBasicAuth (app: FastifyInstance): Promise<void> {
  await app.register(basicAuth, {
    authenticate: { realm: 'jobs' },
    validate (user, password, _request, _reply, done) {
      if (user === 'ada' && password === 'right') done()
      else done(new Error('wrong password'))
    }
  })
}

async function withAuth (app: FastifyInstance): Promise<void> {
  await withBasicAuth(app)
  await app.register(jwt, { secret: 'a secret of the test' })
  await app.register(auth)
}

const verifyToken = async (request: FastifyRequest) => { await request.jwtVerify() }

interface Case {
  readonly prepare: Prepare
  readonly authorizeOf: (app: FastifyInstance) => Authorize
  /** Headers of requests that are let in, and of those that are not. */
  readonly right: (app: FastifyInstance) => Headers
  readonly wrong: (app: FastifyInstance) => Headers[]
}

const password = () => ({ authorization: basic('ada', 'right') })
const badPasswords = (): Headers[] => [{}, { authorization: basic('ada', 'wrong') }, { authorization: 'Basic' }]
const token = (app: FastifyInstance) => ({ authorization: `Bearer ${app.jwt.sign({ user: 'ada' })}` })
const badTokens = (app: FastifyInstance): Headers[] => [{}, { authorization: `${token(app).authorization}x` }, { authorization: 'Bearer x' }]
const withKey = () => ({ ...password(), 'x-key': 'right' })
const checkKey: FastifyAuthFunction = (request, _reply, done) => done(request.headers['x-key'] === 'right' ? undefined : new Error('wrong key'))

const PLUGINS: Record<string, Case> = {
  '@fastify/basic-auth': {
    prepare: withBasicAuth, authorizeOf: (app) => app.basicAuth, right: password, wrong: badPasswords
  },
  '@fastify/basic-auth with an asynchronous validate': {
    prepare: async (app) => {
      await app.register(basicAuth, {
        authenticate: true,
        async validate (_user, password) {
          await turns(2)
          if (password !== 'right') throw new Error('wrong password')
        }
      })
    },
    authorizeOf: (app) => app.basicAuth,
    right: password,
    wrong: badPasswords
  },
  '@fastify/auth with one function': {
    prepare: withAuth, authorizeOf: (app) => app.auth([app.basicAuth]), right: password, wrong: badPasswords
  },
  '@fastify/auth with either of two functions': {
    prepare: withAuth, authorizeOf: (app) => app.auth([app.basicAuth, verifyToken], { relation: 'or' }), right: token, wrong: badTokens
  },
  '@fastify/auth with both of two functions': {
    prepare: withAuth,
    authorizeOf: (app) => app.auth([app.basicAuth, checkKey], { relation: 'and' }),
    right: withKey,
    wrong: (): Headers[] => [{}, password(), { 'x-key': 'right' }, { ...password(), 'x-key': 'wrong' }]
  },
  '@fastify/jwt': {
    prepare: withAuth, authorizeOf: () => verifyToken, right: token, wrong: badTokens
  },
  "@fastify/jwt's own recipe": {
    prepare: withAuth,
    authorizeOf: () => async (request, reply) => { try { await request.jwtVerify() } catch (error) { reply.send(error) } },
    right: token,
    wrong: badTokens
  }
}

for (const [name, { prepare, authorizeOf, right, wrong }] of Object.entries(PLUGINS)) {
  t.test(`with ${name} every admin route lets the right credentials in and answers 401 to the others`, async (t) => {
    const { app, routes } = await adminApp(t, authorizeOf, prepare)
    const base = await app.listen({ port: 0, host: '127.0.0.1' })
    t.equal(routes.length, 10)
    for (const { method, path } of routes) {
      for (const headers of wrong(app)) {
        const refused = await fetch(base + path, { method, headers })
        t.equal(refused.status, 401, `${method} ${path} ${JSON.stringify(headers)}`)
        t.notMatch(await refused.text(), PAYLOAD)
        if (name.startsWith('@fastify/basic-auth')) t.match(refused.headers.get('www-authenticate'), /^Basic/)
      }
      const letIn = await fetch(base + path, { method, headers: right(app) })
      t.equal(letIn.status, path.endsWith('dead-letters') ? 200 : 404, `${method} ${path}`)
    }
    t.equal((await fetch(`${base}/jobs/admin/dead-letters`, { method: 'OPTIONS' })).status, 404, 'no route answers it')
    t.match(await (await fetch(`${base}/jobs/admin/dead-letters`, { headers: right(app) })).text(), PAYLOAD)
    t.match((await app.jobs.status()).queues.default, { paused: false, deadLetters: 1 })
  })
}

const forbidden = { statusCode: 403, error: 'Forbidden', message: 'Not authorized to administer background jobs' }
const failure = (statusCode: number) => Object.assign(new Error('who are you?'), { statusCode })
const thrower = (thrown: unknown) => () => { throw thrown }

const YES: Record<string, Authorize> = {
  'returns true': () => true,
  'resolves to true': async () => true,
  'is an async function that returns': async () => {},
  'resolves to undefined by a thenable': () => ({ then: (resolve: (value?: unknown) => void) => resolve() }),
  'calls done': (_request, _reply, done) => { done() },
  'calls done with null': (_request, _reply, done) => done(null),
  'calls done with null and true': (_request, _reply, done) => done(null, true),
  'calls done later': (_request, _reply, done) => { setImmediate(done) },
  'calls done and then done with an error': (_request, _reply, done) => { done(); done(new Error('late')) },
  'calls done and throws': (_request, _reply, done) => { done(); throw new Error('late') },
  'calls done and returns a promise that rejects': (_request, _reply, done) => { done(); return Promise.reject(new Error('late')) },
  'calls done later and returns the reply': (_request, reply, done) => { setImmediate(done); return reply },
  'passes all its arguments on to a function that calls done': (...args) => ((_request, _reply, done) => done())(...args)
}

for (const [name, authorize] of Object.entries(YES)) {
  t.test(`it is a yes when authorize ${name}`, async (t) => {
    const response = await answerTo(t, authorize)
    t.equal(response.statusCode, 200)
    t.equal(response.json().length, 1)
  })
}

const NO: Record<string, [Authorize, statusCode: number]> = {
  'returns false': [() => false, 403],
  'returns nothing': [() => {}, 403],
  'returns null': [() => null, 403],
  'returns 0': [() => 0, 403],
  'returns 1': [() => 1, 403],
  'returns an empty text': [() => '', 403],
  'returns a text': [() => 'yes', 403],
  'returns an object': [() => ({ user: 'ada' }), 403],
  'returns an array': [() => [true], 403],
  'returns a function': [() => () => true, 403],
  'returns an Error': [() => new Error('no'), 403],
  'resolves to false': [async () => false, 403],
  'resolves to null': [async () => null, 403],
  'resolves to 0': [async () => 0, 403],
  'resolves to an empty text': [async () => '', 403],
  'resolves to an object': [async () => ({ user: 'ada' }), 403],
  'resolves to an Error': [async () => new Error('no'), 403],
  'rejects with an error': [() => Promise.reject(failure(401)), 401],
  'rejects with an error without a status': [async () => { throw new Error('no') }, 500],
  'rejects with null': [() => Promise.reject(null), 403], // eslint-disable-line prefer-promise-reject-errors
  'rejects with undefined': [() => Promise.reject(undefined), 403], // eslint-disable-line prefer-promise-reject-errors
  'rejects by a thenable': [() => ({ then (_resolve: unknown, reject: (error: unknown) => void) { reject(failure(402)) } }), 402],
  'resolves and rejects by a thenable': [() => ({ then (resolve: (value: unknown) => void, reject: (error: unknown) => void) { resolve(false); reject(failure(402)) } }), 403],
  'returns a thenable that throws': [() => ({ then: thrower(failure(402)) }), 402],
  'returns an object that cannot be read': [() => ({ get then () { throw failure(402) } }), 402],
  'throws an error': [thrower(failure(401)), 401],
  'throws null': [thrower(null), 403],
  'throws undefined': [thrower(undefined), 403],
  'throws false': [thrower(false), 403],
  'throws 0': [thrower(0), 403],
  'throws an empty text': [thrower(''), 403],
  'throws a text': [thrower('no'), 500],
  'throws true': [thrower(true), 500],
  'throws a symbol': [thrower(Symbol('no')), 500],
  'throws a function': [thrower(() => {}), 500],
  'throws an object with a status': [thrower({ statusCode: 401, message: 'who are you?' }), 401],
  'throws a frozen error': [thrower(Object.freeze(failure(401))), 401],
  'throws what cannot be read': [thrower(new Proxy({}, { get: thrower(new Error('unreadable')) })), 500],
  'sends a reply': [(_request, reply) => { reply.code(401).send({}) }, 401],
  'sends a reply and returns true': [(_request, reply) => { reply.code(401).send({}); return true }, 401],
  'sends a reply and resolves to true': [async (_request, reply) => { reply.code(401).send({}); return true }, 401],
  'sends a reply and throws': [(_request, reply) => { reply.code(401).send({}); throw failure(402) }, 401],
  'sends a reply and rejects': [async (_request, reply) => { reply.code(401).send({}); throw failure(402) }, 401],
  'sends a reply and returns it': [async (_request, reply) => reply.code(401).send({}), 401],
  'sends a reply and awaits it': [async (_request, reply) => { await reply.code(401).send({}) }, 401],
  'returns the reply and sends it later': [async (_request, reply) => { setImmediate(() => reply.code(401).send({})); return reply }, 401],
  'is not async, returns the reply and sends it later': [(_request, reply) => { setImmediate(() => reply.code(401).send({})); return reply }, 401],
  'sends an error as the reply': [async (_request, reply) => { reply.send(failure(401)) }, 401],
  redirects: [async (_request, reply) => { reply.redirect('/login') }, 302],
  'calls the handler of unknown routes': [async (_request, reply) => { reply.callNotFound() }, 404],
  'hijacks the reply': [async (_request, reply) => { reply.hijack(); setImmediate(() => { reply.raw.writeHead(401).end() }) }, 401],
  'writes to the socket itself': [async (_request, reply) => { reply.raw.writeHead(401); setImmediate(() => { reply.raw.end() }) }, 401],
  'calls done with an error': [(_request, _reply, done) => done(failure(401)), 401],
  'calls done with an error later': [(_request, _reply, done) => { setImmediate(done, failure(401)) }, 401],
  'calls done with null and false': [(_request, _reply, done) => done(null, false), 403],
  'calls done with null and null': [(_request, _reply, done) => (done as (...args: unknown[]) => void)(null, null), 403],
  'calls done with null and an object': [(_request, _reply, done) => (done as (...args: unknown[]) => void)(null, {}), 403],
  'calls done with false': [(_request, _reply, done) => done(false), 403],
  'calls done with 0': [(_request, _reply, done) => done(0), 403],
  'calls done with an empty text': [(_request, _reply, done) => done(''), 403],
  'calls done with a text': [(_request, _reply, done) => done('no'), 500],
  'calls done with true': [(_request, _reply, done) => done(true), 500],
  'calls done with an error and then without': [(_request, _reply, done) => { done(failure(401)); done() }, 401],
  'calls done with an error and returns true': [(_request, _reply, done) => { done(failure(401)); return true }, 401],
  'takes done and throws': [(_request, _reply, _done) => { throw failure(401) }, 401],
  'takes done and throws null': [(_request, _reply, _done) => thrower(null)(), 403],
  'takes done and returns a promise that rejects': [(_request, _reply, _done) => Promise.reject(failure(401)), 401],
  'takes done, returns true and calls done with an error': [(_request, _reply, done) => { setImmediate(done, failure(401)); return true }, 401],
  'takes done, resolves and calls done with an error': [(_request, _reply, done) => { setImmediate(done, failure(401)); return Promise.resolve(true) }, 401],
  'takes done and sends a reply': [(_request, reply, _done) => { reply.code(401).send({}) }, 401],
  'sends a reply and calls done': [(_request, reply, done) => { reply.code(401).send({}); done() }, 401],
  'calls done and sends a reply': [(_request, reply, done) => { done(); reply.code(401).send({}) }, 401],
  'sends a reply and calls done with an error later': [(_request, reply, done) => { reply.code(401).send({}); setImmediate(done, failure(402)) }, 401],
  'passes all its arguments on to a function that calls done with an error': [async (...args) => ((_request: unknown, _reply: unknown, done: (error: unknown) => void) => done(failure(401)))(...args), 401]
}

for (const [name, [authorize, statusCode]] of Object.entries(NO)) {
  t.test(`it is a no when authorize ${name}`, async (t) => {
    const response = await answerTo(t, authorize)
    t.equal(response.statusCode, statusCode)
    t.notMatch(response.body, PAYLOAD)
    if (statusCode === 403) t.same(response.json(), forbidden)
  })
}

t.test('a reply of authorize ends the request while the app still works on sending it', async (t) => {
  const slowly: Prepare = (app) => {
    app.addHook('onSend', async (_request, _reply, payload) => { await turns(5); return payload })
    app.addHook('onError', async () => turns(5))
    app.setNotFoundHandler(async (_request, reply) => { await turns(5); return reply.code(404).send({ nothing: 'here' }) })
  }
  const answers: [Authorize, number][] = [
    [async (_request, reply) => { reply.code(401).send({}) }, 401],
    [async (_request, reply) => { reply.send(failure(401)) }, 401],
    [async (_request, reply) => { reply.callNotFound() }, 404],
    [(_request, reply) => { reply.code(401).send({}); return true }, 401],
    [(_request, reply, done) => { reply.code(401).send({}); done() }, 401],
    [async (_request, reply) => { setImmediate(() => reply.code(401).send({})); return reply }, 401]
  ]
  for (const [authorize, statusCode] of answers) {
    const { app } = await adminApp(t, () => authorize, slowly)
    t.equal((await app.inject('/jobs/admin/dead-letters')).statusCode, statusCode, String(authorize))
    t.equal((await app.inject({ method: 'POST', url: '/jobs/admin/queues/default/pause' })).statusCode, statusCode, String(authorize))
    t.match((await app.jobs.status()).queues.default, { paused: false }, 'the route did not run')
  }
})

t.test('a client that hangs up before authorize has replied gets nothing done', async (t) => {
  const asked = deferred()
  const closed = deferred()
  const { app } = await adminApp(t, () => async (_request, reply) => {
    reply.raw.once('close', () => closed.resolve())
    asked.resolve()
    return reply // It answers later.
  })
  const { port } = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  const socket = connect(Number(port), '127.0.0.1')
  socket.write('POST /jobs/admin/queues/default/pause HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n')
  await asked.promise
  socket.destroy()
  await Promise.all([once(socket, 'close'), closed.promise])
  await turns(10)
  t.match((await app.jobs.status()).queues.default, { paused: false })
})

t.test('a function that takes done and never calls it lets nobody in', async (t) => {
  const { app } = await adminApp(t, () => (_request, _reply, _done) => Promise.resolve(true), () => {}, { handlerTimeout: 50 })
  t.equal((await app.inject({ method: 'POST', url: '/jobs/admin/queues/default/pause' })).statusCode, 503)
  t.match((await app.jobs.status()).queues.default, { paused: false })
})

t.test('an async function that takes done is refused when the plugin is registered', async (t) => {
  const authorize = async function (_request: unknown, _reply: unknown, done: () => void) { done() }
  for (const refused of [authorize, authorize.bind(null)]) {
    const app = Fastify()
    await t.rejects(Promise.resolve(app.register(backgroundJobs, { admin: { authorize: refused } })), { code: 'FST_JOBS_INVALID_OPTIONS', message: /admin\.authorize.*async/ })
  }
})

t.test('authorize gets the request, and the instance as its this', async (t) => {
  for (const style of ['sync', 'done'] as const) {
    let self: FastifyInstance | undefined
    const response = await answerTo(t, style === 'sync'
      ? function (request) { self = this; return request.url === '/jobs/admin/dead-letters' }
      : function (request, _reply, done) { self = this; done(request.url === '/jobs/admin/dead-letters' ? null : new Error('no')) })
    t.equal(response.statusCode, 200)
    t.ok(self!.hasDecorator('jobs'))
  }
})

t.test('an answer that is neither yes nor no is logged once, by its kind and not by its value', async (t) => {
  const answers: [Authorize, kind: RegExp][] = [
    [() => 'hunter2', /string/],
    [async () => ({ password: 'hunter2' }), /object/],
    [() => {}, /undefined/],
    [thrower(null), /null/]
  ]
  for (const [authorize, kind] of answers) {
    const lines: { level: number, msg: string }[] = []
    const { app } = await adminApp(t, () => authorize, () => {}, logTo(lines, 'warn'))
    for (let index = 0; index < 3; index++) t.equal((await app.inject('/jobs/admin/dead-letters')).statusCode, 403)
    const found = lines.filter(({ msg }) => msg.includes('admin.authorize'))
    t.match(found, [{ level: 40, msg: kind }])
    t.equal(found.length, 1)
    t.notMatch(JSON.stringify(lines), 'hunter2')
  }
})

t.test('a clear no is not logged', async (t) => {
  for (const authorize of [() => false, async () => false, (_request: unknown, _reply: unknown, done: (error: null, allowed: boolean) => void) => done(null, false)]) {
    const lines: { msg: string }[] = []
    await answerTo(t, authorize, () => {}, logTo(lines, 'warn'))
    t.same(lines.filter(({ msg }) => msg.includes('admin.authorize')), [])
  }
})
