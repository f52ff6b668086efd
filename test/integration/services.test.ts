import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import Fastify from 'fastify'
import backgroundJobs, { type Service } from '../../lib/index.ts'
import { buildApp, deferred, turns } from '../helpers/app.ts'
import { runChild } from '../helpers/child.ts'

/** What a user would write: a TCP listener that answers each line, and whose stop waits for the open connections. */
class EchoListener implements Service {
  readonly events: string[] = []
  readonly server: Server
  readonly #port: number

  constructor (port = 0, onSocket: (socket: Socket) => void = (socket) => socket.pipe(socket)) {
    this.#port = port
    this.server = createServer({ allowHalfOpen: true }, onSocket)
  }

  get port (): number {
    return (this.server.address() as AddressInfo).port
  }

  async start (): Promise<void> {
    this.server.listen(this.#port, '127.0.0.1')
    await once(this.server, 'listening')
    this.events.push('listening')
  }

  async stop (): Promise<void> {
    this.server.close()
    await once(this.server, 'close')
    this.events.push('closed')
  }
}

async function send (port: number, line: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(line)
  return text(socket)
}

t.test('a TCP listener serves once the app is ready, and is closed with it', async (t) => {
  const app = await buildApp(t)
  const listener = new EchoListener()
  app.jobs.service('echo', listener)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = listener
  t.equal(await send(port, 'hello'), 'hello')
  t.match((await app.jobs.status()).services, { echo: { state: 'running' } })
  await app.close()
  t.same(listener.events, ['listening', 'closed'])
  await t.rejects(send(port, 'hello'), { code: 'ECONNREFUSED' })
})

t.test('connections that are open when the app closes are served to their end', async (t) => {
  const app = await buildApp(t)
  const listener = new EchoListener()
  app.jobs.service('echo', listener)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const socket = connect(listener.port, '127.0.0.1')
  socket.write('hel')
  await once(socket, 'data')
  const closing = app.close()
  while (listener.server.listening) await turns(1)
  socket.end('lo')
  t.equal(await text(socket), 'lo')
  await closing
  t.same(listener.events, ['listening', 'closed'])
})

t.test('a listener whose connections do not end is left behind when the budget is over', async (t) => {
  const app = await buildApp(t, { shutdown: { timeout: 50 } })
  const sockets = new Set<Socket>()
  const listener = new EchoListener(0, (socket) => { sockets.add(socket) })
  app.jobs.service('deaf', listener)
  await app.ready()
  const socket = connect(listener.port, '127.0.0.1')
  await once(listener.server, 'connection')
  await app.close()
  t.same(listener.events, ['listening'])
  t.match((await app.jobs.status()).services, { deaf: { state: 'stopping' } })
  for (const one of [socket, ...sockets]) one.destroy()
})

t.test('a port that is taken fails the start of the app with the error of the listener, and those before it are closed', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const app = Fastify()
  await app.register(backgroundJobs)
  const [first, second, third] = [new EchoListener(), new EchoListener((taken.address() as AddressInfo).port), new EchoListener()]
  app.jobs.service('first', first)
  app.jobs.service('second', second)
  app.jobs.service('third', third)
  await t.rejects(app.listen({ host: '127.0.0.1', port: 0 }), { code: 'EADDRINUSE' })
  t.equal(app.server.listening, false)
  t.same(first.events, ['listening', 'closed'])
  t.same(third.events, [])
  t.match((await app.jobs.status()).services, { first: { state: 'stopped' }, second: { state: 'failed' }, third: { state: 'stopped' } })
  await app.close()
  t.same(first.events, ['listening', 'closed'])
})

t.test('a listener that fails while it runs closes the app, requests in flight are answered', async (t) => {
  const app = await buildApp(t, {}, { keepAliveTimeout: 500 })
  const listener = new EchoListener()
  const [arrived, gate, told] = [deferred(), deferred(), deferred<unknown>()]
  app.jobs.service('echo', {
    start: () => listener.start(),
    run: async ({ signal }) => {
      const [error] = await once(listener.server, 'error', { signal })
      throw error
    },
    stop: () => listener.stop()
  }, { onFailure: 'close' })
  app.get('/slow', async () => { arrived.resolve(); await gate.promise; return 'done' })
  app.addHook('preClose', async () => { Promise.resolve(app.close()).then(told.resolve, told.resolve) })
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const answer = fetch(`${base}/slow`, { headers: { connection: 'close' } })
  await arrived.promise
  await turns()
  const error = new Error('too many open files')
  listener.server.emit('error', error)
  while (!(await app.jobs.status()).isStopping) await turns(1)
  gate.resolve()
  t.equal(await (await answer).text(), 'done')
  t.equal(await told.promise, error)
  t.same(listener.events, ['listening', 'closed'])
  t.equal(app.server.listening, false)
})

t.test('a loop that waits for an event with its signal needs no code to stop', async (t) => {
  const app = await buildApp(t)
  const listener = new EchoListener()
  app.jobs.service('echo', { run: async ({ signal }) => { await once(listener.server, 'never', { signal }) } })
  await app.ready()
  await turns()
  await app.close()
  t.match((await app.jobs.status()).services, { echo: { state: 'stopped' } })
})

t.test("a process whose app was closed by onFailure 'close' exits by itself, quietly, with code 1", async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs)
    app.addHook('onClose', async () => console.log('closing'))
    app.jobs.service('feed', poll(1000, () => {}))
    app.jobs.service('fatal', { async run () { throw new Error('fatal') } }, { onFailure: 'close' })
    await app.listen({ host: '127.0.0.1', port: 0 })
    console.log('listening')
  `), { code: 1, signal: null, output: 'listening\nclosing\n' })
})

t.test('the exit code is left alone with services.exitCode: false, and where the app has set another one', async (t) => {
  const failing = `
    app.jobs.service('fatal', { async run () { throw new Error('fatal') } }, { onFailure: 'close' })
    await app.ready()
  `
  t.match(await runChild(`await app.register(backgroundJobs, { services: { exitCode: false } })${failing}`), { code: 0 })
  t.match(await runChild(`process.exitCode = 3; await app.register(backgroundJobs)${failing}`), { code: 3 })
})

t.test('so does one in which stopping the others fails as well, at start or at close', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs)
    app.addHook('onClose', async () => { throw new Error('onClose') })
    app.jobs.service('one', { start () {}, stop () { throw new Error('stop') } })
    app.jobs.service('two', { run () { throw new Error('two') } }, { onFailure: 'close' })
    app.jobs.service('three', { run () { return Promise.reject(null) } }, { onFailure: 'close' })
    await app.listen({ host: '127.0.0.1', port: 0 })
    console.log('listening')
  `), { code: 1, signal: null, output: 'listening\n' })
  t.match(await runChild(`
    await app.register(backgroundJobs)
    app.jobs.service('one', { start () {}, stop () { throw new Error('stop') } })
    app.jobs.service('two', { start () { throw new Error('start') } })
    await app.listen({ host: '127.0.0.1', port: 0 }).catch(({ message }) => console.log(message))
    await app.close().catch(({ message }) => console.log(message))
  `), { code: 0, signal: null, output: 'start\nstop\n' })
})

t.test('a process whose service ignores its signal lives until the close has said so, and then exits', async (t) => {
  const { code, output } = await runChild(`
    await app.register(backgroundJobs, { shutdown: { timeout: 50 } })
    app.jobs.service('deaf', { run: () => new Promise(() => {}) })
    app.jobs.service('hanging', { start () {}, stop: () => new Promise(() => {}) })
    app.log.error = (fields) => console.log(fields.services.join())
    await app.ready()
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    await app.close()
    console.log('closed')
  `)
  t.match({ code, output }, { code: 0, output: 'deaf,hanging\nclosed\n' })
})

t.test('a start that fails after pluginTimeout raises no unhandledRejection', async (t) => {
  t.match(await runChild(`
    const slow = Fastify({ pluginTimeout: 2000 })
    await slow.register(backgroundJobs)
    let fail
    slow.jobs.service('one', { start () {}, stop () { console.log('stopped') } })
    slow.jobs.service('slow', { start: () => new Promise((resolve, reject) => { fail = reject }) })
    await slow.ready().catch(({ code }) => console.log(code))
    fail(new Error('at last'))
    await new Promise((resolve) => setImmediate(resolve))
    await slow.close()
    console.log('closed')
  `), { code: 0, signal: null, output: 'FST_ERR_HOOK_TIMEOUT\nstopped\nclosed\n' })
})
