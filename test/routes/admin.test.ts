import t, { type Test } from 'tap'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import backgroundJobs, { type BackgroundJobsOptions } from '../../lib/index.ts'
import { buildApp, deferred } from '../helpers/app.ts'

type AdminOptions = NonNullable<BackgroundJobsOptions['admin']>

const authorize: AdminOptions['authorize'] = async (request) => {
  if (request.headers['x-role'] !== 'admin') throw Object.assign(new Error('who are you?'), { statusCode: 401 })
}

/** An app with one dead letter, and what asks it as an administrator. */
async function adminApp (t: Test, options: BackgroundJobsOptions = { admin: { authorize } }) {
  const app = await buildApp(t, { retry: { attempts: 1 }, ...options })
  const seen: unknown[] = []
  app.jobs.define('fails', async (payload) => { seen.push(payload); throw Object.assign(new Error('no route to host'), { code: 'EHOST' }) })
  app.jobs.define('fails-deeply', async () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED', { cause: new Error('no route') }), { code: 'ECONNREFUSED' })
    throw new AggregateError([new RangeError('first')], 'fetch failed', { cause: refused })
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('fails', { to: 'ada@example.com' }, { correlationId: 'request-1' })
  await app.jobs.idle()
  const ask = async (method: 'GET' | 'POST' | 'DELETE', path: string, role = 'admin') =>
    app.inject({ method, url: `/jobs/admin${path}`, headers: { 'x-role': role } })
  return { app, id, ask, seen }
}

t.test('without the option no admin route exists', async (t) => {
  const { ask } = await adminApp(t, {})
  t.match((await ask('GET', '/dead-letters')).json(), { statusCode: 404, message: /Route GET/ })
})

t.test('dead letters are listed with their error and their payload, oldest first, of one queue and up to a limit', async (t) => {
  const { app, id, ask } = await adminApp(t)
  const response = await ask('GET', '/dead-letters')
  t.equal(response.statusCode, 200)
  const [letter] = response.json()
  t.match(letter, {
    id,
    name: 'fails',
    queue: 'default',
    attempt: 1,
    correlationId: 'request-1',
    error: { name: 'Error', message: 'no route to host', code: 'EHOST', stack: /admin\.test/ },
    payload: '{"to":"ada@example.com"}'
  })
  t.equal(new Date(letter.finishedAt).toISOString(), letter.finishedAt)
  await app.jobs.enqueue('fails', 2n)
  await app.jobs.idle()
  const both = (await ask('GET', '/dead-letters?queue=default')).json()
  t.same(both.map(({ payload }: { payload?: string }) => payload), ['{"to":"ada@example.com"}', undefined], 'a payload that is not JSON is left out')
  t.equal((await ask('GET', '/dead-letters?limit=1')).json().length, 1)
  t.equal((await ask('GET', '/dead-letters?limit=0')).statusCode, 400)
  t.same((await ask('GET', '/dead-letters?queue=nowhere')).json(), { statusCode: 404, error: 'Not Found', message: "There is no queue 'nowhere'" })
})

t.test('a dead letter is run again, and removed', async (t) => {
  const { app, id, ask, seen } = await adminApp(t)
  t.equal((await ask('POST', `/dead-letters/${id}/retry`)).statusCode, 204)
  await app.jobs.idle()
  t.equal(seen.length, 2)
  t.equal((await ask('DELETE', `/dead-letters/${id}`)).statusCode, 204)
  t.same(await app.jobs.deadLetters.list(), [])
  t.same((await ask('DELETE', `/dead-letters/${id}`)).json(), { statusCode: 404, error: 'Not Found', message: `There is no dead letter '${id}'` })
  t.equal((await ask('POST', `/dead-letters/${id}/retry`)).statusCode, 404)
})

t.test('a retry of a dead letter whose unique key another job has by now is 409 with the id of that job', async (t) => {
  const { app, ask } = await adminApp(t)
  const { id } = await app.jobs.enqueue('fails', null, { uniqueKey: 'key' })
  await app.jobs.idle()
  app.jobs.pause()
  const other = await app.jobs.enqueue('fails', null, { uniqueKey: 'key' })
  const answer = await ask('POST', `/dead-letters/${id}/retry`)
  t.equal(answer.statusCode, 409)
  t.match(answer.json(), { statusCode: 409, code: 'FST_JOBS_UNIQUE_KEY_TAKEN', error: 'Conflict', message: new RegExp(other.id), heldBy: other.id })
  await app.jobs.cancel(other.id)
  t.equal((await ask('POST', `/dead-letters/${id}/retry`)).statusCode, 204)
})

t.test('a dead letter shows the causes of its error, and the errors that an AggregateError gathers', async (t) => {
  const { app, ask } = await adminApp(t, { admin: { authorize }, retry: { attempts: 1 } })
  await app.jobs.enqueue('fails-deeply', null)
  await app.jobs.idle()
  const letter = (await ask('GET', '/dead-letters')).json().find(({ name }: { name: string }) => name === 'fails-deeply')
  t.match(letter.error, {
    name: 'AggregateError',
    message: 'fetch failed',
    cause: { name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED', stack: /ECONNREFUSED/, cause: { message: 'no route' } },
    errors: [{ name: 'RangeError', message: 'first' }]
  })
  t.equal((await app.inject(`/jobs/${letter.id}`)).json().error, 'fetch failed', 'whoever may ask for a job does not see causes, which name hosts')
})

t.test('a job is cancelled, a queue is paused and resumed', async (t) => {
  const { app, ask } = await adminApp(t)
  const gate = deferred()
  t.teardown(() => gate.resolve())
  t.equal((await ask('POST', '/queues/default/pause')).statusCode, 204)
  t.match((await app.jobs.status()).queues.default, { paused: true })
  const { id } = await app.jobs.enqueue('fails', 1)
  t.equal((await ask('POST', `/jobs/${id}/cancel`)).statusCode, 204)
  t.match(await app.jobs.get(id), { state: 'cancelled' })
  t.match((await ask('POST', `/jobs/${id}/cancel`)).json(), { statusCode: 404, message: /waits or runs/ })
  t.equal((await ask('POST', '/queues/default/resume')).statusCode, 204)
  t.match((await app.jobs.status()).queues.default, { paused: false })
  for (const verb of ['pause', 'resume']) t.match((await ask('POST', `/queues/nowhere/${verb}`)).json(), { statusCode: 404, message: "There is no queue 'nowhere'" })
})

const REQUESTS = [
  ['GET', '/dead-letters'], ['POST', '/dead-letters/x/retry'], ['DELETE', '/dead-letters/x'],
  ['POST', '/jobs/x/cancel'], ['POST', '/queues/default/pause'], ['POST', '/queues/default/resume'],
  ['POST', '/schedules/x/run'], ['POST', '/schedules/x/pause'], ['POST', '/schedules/x/resume']
] as const

t.test('a schedule is run, paused and resumed', async (t) => {
  const app = await buildApp(t, { admin: { authorize } })
  let runs = 0
  app.jobs.schedule('tick', { every: 3_600_000 }, async () => { runs++ })
  await app.ready()
  const post = async (path: string) => app.inject({ method: 'POST', url: `/jobs/admin/schedules/${path}`, headers: { 'x-role': 'admin' } })
  const run = await post('tick/run')
  t.equal(run.statusCode, 202)
  await app.jobs.idle()
  t.equal(runs, 1)
  t.match(await app.jobs.get(run.json().jobId), { state: 'succeeded' })
  t.equal((await post('tick/pause')).statusCode, 204)
  t.match(app.jobs.schedules.list(), [{ paused: true }])
  t.equal((await post('tick/resume')).statusCode, 204)
  t.match(app.jobs.schedules.list(), [{ paused: false }])
  for (const verb of ['run', 'pause', 'resume']) {
    t.match((await post(`nothing/${verb}`)).json(), { statusCode: 404, message: "There is no schedule 'nothing'" })
  }
})

t.test('authorize is asked first for every route; it refuses by throwing, replying or returning false', async (t) => {
  const refusals: [AdminOptions['authorize'], number][] = [
    [authorize, 401],
    [() => false, 403],
    [async () => false, 403],
    [async (_request, reply) => { await reply.code(418).send({ message: 'no tea' }) }, 418],
    [() => { throw Object.assign(new Error('at once'), { statusCode: 402 }) }, 402]
  ]
  for (const [authorize, statusCode] of refusals) {
    const { app, ask } = await adminApp(t, { admin: { authorize } })
    for (const [method, path] of REQUESTS) t.equal((await ask(method, path, 'stranger')).statusCode, statusCode, `${method} ${path}`)
    t.match((await app.jobs.status()).queues.default, { paused: false, deadLetters: 1 })
  }
})

t.test('readOnly leaves only what changes nothing', async (t) => {
  const { ask } = await adminApp(t, { admin: { authorize, readOnly: true } })
  for (const [method, path] of REQUESTS) t.equal((await ask(method, path)).statusCode, method === 'GET' ? 200 : 404, `${method} ${path}`)
})

t.test('the routes follow the prefix of the status routes, and stay without them', async (t) => {
  for (const [routes, path] of [[{ prefix: '/work/' }, '/work/admin/dead-letters'], [false, '/jobs/admin/dead-letters']] as const) {
    const app = await buildApp(t, { routes, admin: { authorize: () => true } })
    t.same((await app.inject(path)).json(), [])
  }
})

t.test('admin needs an authorize function', async (t) => {
  for (const admin of [{}, { authorize: true }, { authorize, readonly: true }]) {
    const app = Fastify()
    await t.rejects(Promise.resolve(app.register(backgroundJobs, { admin } as never)), { code: 'FST_JOBS_INVALID_OPTIONS', message: /admin/ })
  }
})

t.test('@fastify/swagger documents the admin routes', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: {} })
  await app.register(backgroundJobs, { admin: { authorize } })
  await app.ready()
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, { summary: string, responses: object }>> }
  const found = Object.entries(paths).filter(([path]) => path.startsWith('/jobs/admin')).flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`))
  t.same(found.sort(), [
    'delete /jobs/admin/dead-letters/{id}', 'get /jobs/admin/dead-letters', 'post /jobs/admin/dead-letters/{id}/retry',
    'post /jobs/admin/jobs/{id}/cancel', 'post /jobs/admin/queues/{queue}/pause', 'post /jobs/admin/queues/{queue}/resume',
    'post /jobs/admin/schedules/{schedule}/pause', 'post /jobs/admin/schedules/{schedule}/resume', 'post /jobs/admin/schedules/{schedule}/run'
  ])
  t.same(Object.keys(paths['/jobs/admin/jobs/{id}/cancel']!.post!.responses), ['204', '401', '403', '404', '501', '503'])
})
