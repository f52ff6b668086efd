import { Agent, get, type IncomingMessage } from 'node:http'
import dns from 'node:dns'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import type { BackgroundJobsOptions } from '../../lib/index.ts'
import { buildApp, deferred, turns } from '../helpers/app.ts'
import { runChild } from '../helpers/child.ts'

interface Answer { readonly status: number, readonly headers: IncomingMessage['headers'], readonly body: string }

async function request (app: FastifyInstance, path: string, agent?: Agent): Promise<Answer> {
  const { port } = app.server.address() as { port: number }
  const [response] = await once(get({ host: '127.0.0.1', port, path, agent }), 'response') as [IncomingMessage]
  return { status: response.statusCode!, headers: response.headers, body: await text(response) }
}

function keepAliveAgent (t: Test, maxSockets = Infinity): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets })
  t.teardown(() => agent.destroy())
  return agent
}

async function listeningApp (t: Test, options: BackgroundJobsOptions = {}, routes: (app: FastifyInstance) => void = () => {}): Promise<FastifyInstance> {
  const app = await buildApp(t, options, { keepAliveTimeout: 500 })
  routes(app)
  app.jobs.define('job', async () => {})
  await app.listen({ host: '127.0.0.1', port: 0 })
  return app
}

t.test('a request in flight that enqueues during the close gets 503 with Retry-After', async (t) => {
  const [arrived, gate] = [deferred(), deferred()]
  const app = await listeningApp(t, {}, (app) => {
    app.get('/slow', async (_request, reply) => {
      arrived.resolve()
      await gate.promise
      await app.jobs.enqueue('job', 1)
      return reply.code(202).send()
    })
  })
  const answer = request(app, '/slow')
  await arrived.promise
  const closing = app.close()
  while (!(await app.jobs.status()).isStopping) await turns(1)
  gate.resolve()
  const { status, headers, body } = await answer
  t.equal(status, 503)
  t.equal(headers['retry-after'], '5')
  t.match(JSON.parse(body), { statusCode: 503, code: 'FST_JOBS_STOPPING', error: 'Service Unavailable' })
  await closing
})

t.test('a request that waits for room is answered at once when the close begins, and does not hold the server', async (t) => {
  const gate = deferred()
  const arrived = deferred()
  const app = await listeningApp(t, { queues: { default: { capacity: 1, concurrency: 1 } } }, (app) => {
    app.jobs.define('slow', () => gate.promise)
    app.get('/enqueue', async () => { arrived.resolve(); return app.jobs.enqueue('slow', 1) })
  })
  await app.jobs.enqueue('slow', 1)
  while ((await app.jobs.status()).inFlight === 0) await turns(1)
  await app.jobs.enqueue('slow', 2)
  const answer = request(app, '/enqueue')
  await arrived.promise
  await turns()
  const closing = app.close()
  t.match(await answer, { status: 503, headers: { 'retry-after': '5' } })
  gate.resolve()
  await closing
})

t.test('a new request on a kept-alive socket while the app closes gets 503 with Retry-After', async (t) => {
  const [arrived, gate] = [deferred(), deferred()]
  const app = await listeningApp(t, {}, (app) => {
    app.get('/slow', async () => { arrived.resolve(); await gate.promise; return 'done' })
    app.get('/fast', async () => 'fast')
    // The listener stays open for as long as a preClose hook takes.
    app.addHook('preClose', () => gate.promise)
  })
  const agent = keepAliveAgent(t, 1)
  t.match(await request(app, '/fast', agent), { status: 200, body: 'fast' })
  const slow = request(app, '/slow')
  await arrived.promise
  const closing = app.close()
  while (!(await app.jobs.status()).isStopping) await turns(1)
  for (const path of ['/fast', '/health/ready', '/nowhere']) {
    const { status, headers } = await request(app, path, agent)
    t.equal(status, 503, path)
    t.equal(headers['retry-after'], '5', path)
  }
  gate.resolve()
  t.match(await slow, { status: 200, body: 'done' }, 'the one in flight is served to its end')
  agent.destroy()
  await closing
})

t.test('every address of localhost tells when to come back while the app closes', async (t) => {
  const app = await buildApp(t, {}, { keepAliveTimeout: 500 })
  const gate = deferred()
  app.get('/fast', async () => 'fast')
  app.addHook('preClose', () => gate.promise)
  const { lookup } = dns
  t.teardown(() => { dns.lookup = lookup })
  // As where localhost has an IPv6 address too: Fastify opens a server for each.
  dns.lookup = ((host: string, options: { all?: boolean }, ...rest: [(error: null, addresses: object[]) => void]) => {
    if (host !== 'localhost' || !options.all) return lookup(host, options, ...rest as [never])
    rest[0](null, [{ address: '127.0.0.1', family: 4 }, { address: '127.0.0.2', family: 4 }])
  }) as unknown as typeof lookup
  await app.listen({ host: 'localhost', port: 0 })
  const hosts = app.addresses() as AddressInfo[]
  t.equal(hosts.length, 2)
  const elsewhere = await listeningApp(t, {}, (other) => { other.get('/fast', async () => 'fast') })
  const closing = app.close()
  while (!(await app.jobs.status()).isStopping) await turns(1)
  for (const { address, port } of hosts) {
    const [response] = await once(get({ host: address, port, path: '/fast' }), 'response') as [IncomingMessage]
    t.equal(response.statusCode, 503, address)
    t.equal(response.headers['retry-after'], '5', address)
    response.resume()
  }
  t.notOk((await request(elsewhere, '/fast')).headers['retry-after'], 'another app of the process is not concerned')
  gate.resolve()
  await closing
})

t.test('what is still answered while the app closes has no Retry-After', async (t) => {
  const app = await buildApp(t, {}, { return503OnClosing: false, keepAliveTimeout: 500 })
  const gate = deferred()
  app.get('/fast', async () => 'fast')
  app.addHook('preClose', () => gate.promise)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const closing = app.close()
  while (!(await app.jobs.status()).isStopping) await turns(1)
  const fast = await request(app, '/fast')
  t.equal(fast.status, 200)
  t.notOk(fast.headers['retry-after'])
  t.match(await request(app, '/health/ready'), { status: 503, headers: { 'retry-after': '5' } })
  gate.resolve()
  await closing
})

t.test('a request in flight is served before the drain ends, and the job that it enqueued earlier runs', async (t) => {
  const [arrived, gate] = [deferred(), deferred()]
  let ran = false
  const app = await listeningApp(t, {}, (app) => {
    app.jobs.define('long', async () => { await gate.promise; await turns(20); ran = true })
    app.get('/slow', async () => {
      await app.jobs.enqueue('long', 1)
      while ((await app.jobs.status()).inFlight === 0) await turns(1)
      arrived.resolve()
      await gate.promise
      return 'done'
    })
  })
  const answer = request(app, '/slow')
  await arrived.promise
  const closing = app.close()
  await turns(20)
  gate.resolve()
  t.match(await answer, { status: 200, body: 'done' })
  await closing
  t.equal(ran, true)
})

t.test('a process that ran a job and closed its app exits by itself', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs, { metrics: { defaultMetrics: true } })
    app.jobs.define('greet', { timeout: 60_000 }, async (name) => console.log('hello', name))
    await app.listen({ host: '127.0.0.1', port: 0 })
    await app.jobs.enqueue('greet', 'Ada')
    await app.jobs.idle()
    await app.close()
    console.log('closed')
  `), { code: 0, signal: null, output: 'hello Ada\nclosed\n' })
})

t.test('a process with delayed jobs and retries pending exits by itself when its app is closed', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs)
    app.jobs.define('fails', async () => { throw new Error('again') })
    await app.ready()
    await app.jobs.enqueue('fails', 1)
    await app.jobs.enqueue('fails', 2, { delay: 3_600_000, uniqueKey: 'a', uniqueFor: 3_600_000 })
    await app.jobs.idle()
    await app.close()
    console.log((await app.jobs.status()).isStopped)
  `), { code: 0, signal: null, output: 'true\n' })
})

t.test('a process whose handler hangs on nothing lives until the close has named it, and then exits', async (t) => {
  const { code, output } = await runChild(`
    await app.register(backgroundJobs, { shutdown: { timeout: 50 } })
    app.jobs.define('deaf', () => new Promise(() => {}))
    app.log.error = () => {}
    await app.ready()
    await app.jobs.enqueue('deaf', 1)
    while ((await app.jobs.status()).inFlight === 0) await new Promise((resolve) => setImmediate(resolve))
    const began = Date.now()
    await app.close()
    const took = Date.now() - began
    console.log(took >= 45 && took < 10_000 ? 'closed' : took)
  `)
  t.match({ code, output }, { code: 0, output: 'closed\n' })
})

t.test('a process in which an enqueue waits for room lives until it has given up', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs, { queues: { default: { capacity: 1, enqueueTimeout: 100 } } })
    app.jobs.define('later', async () => {})
    await app.ready()
    await app.jobs.enqueue('later', 1, { delay: 3_600_000 })
    await app.jobs.enqueue('later', 2).catch(({ code }) => console.log(code))
    await app.close()
    console.log('over')
  `), { code: 0, output: 'FST_JOBS_QUEUE_FULL\nover\n' })
})
