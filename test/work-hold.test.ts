import { join } from 'node:path'
import t from 'tap'
import { Queue } from '../lib/queue.ts'
import { WorkHold } from '../lib/work-hold.ts'
import { runChild } from './helpers/child.ts'

const ended = { code: 0, signal: null }

t.test('a process that listens on no port lives until its jobs in memory have run, delayed ones and retries included', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs, { retry: { backoff: { delay: 20, jitter: 0 } } })
    app.jobs.define('work', async (n, { job }) => {
      if (job.attempt === 1) throw new Error('once')
      console.log('ran', n)
    })
    await app.ready()
    await app.jobs.enqueue('work', 1)
    await app.jobs.enqueue('work', 2, { delay: 50 })
  `), { ...ended, output: /ran 1\n[^]*ran 2\n/ })
})

t.test('a process with nothing to do ends, though it was never closed; nothing could resume a queue that was paused', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs)
    app.jobs.define('work', async () => {})
    await app.ready()
    app.jobs.pause()
    await app.jobs.enqueue('work', 1)
    const idle = Fastify()
    await idle.register(backgroundJobs)
    await idle.ready()
    console.log('ready')
  `), { ...ended, output: 'ready\n' })
})

t.test('a worker of a shared queue lives until it is closed, also while nothing waits', async (t) => {
  if (process.getBuiltinModule?.('node:sqlite') === undefined) return t.pass('no SQLite on this Node.js')
  t.match(await runChild(`
    const { sqlite } = await import(${JSON.stringify(new URL('../lib/backends/sqlite/index.ts', import.meta.url).href)})
    await app.register(backgroundJobs, { backend: sqlite({ path: ${JSON.stringify(join(t.testdir(), 'jobs.db'))} }) })
    await app.ready()
    process.once('beforeExit', () => setImmediate(() => app.close().then(() => console.log('closed by hand'))))
  `), { ...ended, output: /closed by hand/ })
})

t.test('schedules and services that loop keep the process alive until it is closed', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs)
    let ticks = 0
    app.jobs.schedule('tick', { every: 20 }, async () => { if (++ticks === 3) app.close().then(next) })
    await app.ready()
    async function next () {
      console.log('three ticks')
      const other = Fastify()
      await other.register(backgroundJobs)
      let passes = 0
      other.jobs.service('loop', poll(20, async () => { if (++passes === 3) other.close().then(() => console.log('three passes')) }))
      await other.ready()
    }
  `), { ...ended, output: 'three ticks\nthree passes\n' })
})

t.test('a program whose start has failed, or which sets an exit code, ends', async (t) => {
  t.match(await runChild(`
    await app.register(backgroundJobs)
    app.jobs.schedule('tick', { every: 20 }, async () => {})
    app.addHook('onReady', async () => { throw new Error('no database') })
    await app.ready().catch(({ message }) => { console.log(message); process.exitCode = 3 })
    const other = Fastify()
    await other.register(backgroundJobs)
    other.jobs.schedule('tick', { every: 20 }, async () => {})
    await other.ready()
    console.log('the port is taken, say')
  `), { code: 3, signal: null, output: 'no database\nthe port is taken, say\n' })
})

t.test('one listener serves all apps of a process, and goes with the last one', async (t) => {
  const before = process.listenerCount('beforeExit')
  const [one, other] = [new WorkHold(() => false), new WorkHold(() => true)]
  one.begin()
  other.begin()
  t.equal(process.listenerCount('beforeExit'), before + 1)
  one.end()
  t.equal(process.listenerCount('beforeExit'), before + 1)
  other.end()
  other.end()
  t.equal(process.listenerCount('beforeExit'), before)
})

t.test('a backend of jobs in memory that cannot say at once what it holds keeps no process alive', async (t) => {
  const queue = (stats: () => unknown) => {
    const queue = new Queue({ name: 'odd' } as never, { capabilities: { durable: false }, stats } as never, true, [])
    queue.worker = { inFlight: 0, paused: false } as never
    return queue
  }
  t.equal(queue(() => ({ waiting: 0, delayed: 1 })).isBusy, true)
  t.equal(queue(() => Promise.reject(new Error('no'))).isBusy, false)
  t.equal(queue(() => { throw new Error('no') }).isBusy, false)
  const running = queue(() => ({ waiting: 0, delayed: 0 }))
  running.worker = { inFlight: 1 } as never
  t.equal(running.isBusy, true)
})

t.test('a process that only enqueues is not kept alive by its queues', async (t) => {
  t.equal(new Queue({ name: 'mails' } as never, { capabilities: { durable: true } } as never, false, []).isBusy, false)
  t.equal(new Queue({ name: 'mails' } as never, { capabilities: { durable: true } } as never, true, []).isBusy, true)
})
