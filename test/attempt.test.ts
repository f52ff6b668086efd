import { asFunction } from 'awilix'
import t from 'tap'
import { memory } from '../lib/index.ts'
import { buildApp, deferred, logTo, turns } from './helpers/app.ts'
import { ManualClock } from './helpers/clock.ts'
import { leased } from './helpers/durable.ts'

t.test('whatever a handler throws, only its job fails and the worker goes on', async (t) => {
  const unhandled: unknown[] = []
  const listen = (reason: unknown) => { unhandled.push(reason) }
  process.on('unhandledRejection', listen)
  t.teardown(() => process.off('unhandledRejection', listen))
  const app = await buildApp(t)
  const thrown = [new Error('boom'), null, undefined, 'text', { toString () { throw new Error('no text') } }]
  app.jobs.define('throws', { attempts: 1 }, async (index) => { throw thrown[index as number] })
  app.jobs.define('throws-at-once', { attempts: 1 }, () => { throw new Error('sync') })
  app.jobs.define('fine', async () => {})
  await app.ready()
  const failing = await Promise.all(thrown.map((_, index) => app.jobs.enqueue('throws', index)))
  failing.push(await app.jobs.enqueue('throws-at-once', {}))
  await app.jobs.idle()
  for (const { id } of failing) t.match(await app.jobs.get(id), { state: 'dead' })
  const fine = await app.jobs.enqueue('fine', {})
  await app.jobs.idle()
  t.match(await app.jobs.get(fine.id), { state: 'succeeded' })
  t.same(unhandled, [])
})

t.test('an error that cannot be read fails its job only, and is logged as far as it can be', async (t) => {
  const lines: any[] = []
  const app = await buildApp(t, { queues: { default: { concurrency: 1 } } }, logTo(lines))
  const no = () => { throw new Error('no') }
  const closed = new Proxy({}, { has: no, get: no, getPrototypeOf: no, ownKeys: no })
  const unreadable = (keys: string[]) => Object.defineProperties(new Error('x'), Object.fromEntries(keys.map((key) => [key, { get () { throw new Error('no') } }])))
  app.jobs.define('throws', { attempts: 1 }, async (keys: string[]) => { throw unreadable(keys) })
  app.jobs.define('throws-proxy', { attempts: 2, backoff: () => 0 }, async () => { throw closed })
  const revoked = Proxy.revocable([], {})
  revoked.revoke()
  app.jobs.define('throws-errors', { attempts: 1 }, async () => { throw Object.assign(new Error('x'), { errors: revoked.proxy }) })
  await app.ready()
  const jobs = await Promise.all([['message'], ['stack'], ['cause'], ['name', 'code']].map((keys) => app.jobs.enqueue('throws', keys)))
  jobs.push(await app.jobs.enqueue('throws-errors', {}), await app.jobs.enqueue('throws-proxy', {}))
  await app.jobs.idle({ delayed: true })
  for (const { id } of jobs) t.match(await app.jobs.get(id), { state: 'dead', error: { name: String, message: String } })
  t.same(lines.map(({ jobId }) => jobId), jobs.map(({ id }) => id))
})

t.test('a long error is logged cut, with its class and its cause', async (t) => {
  const lines: any[] = []
  const app = await buildApp(t, {}, logTo(lines))
  app.jobs.define('long', { attempts: 1 }, async () => { throw new RangeError('x'.repeat(20 * 1024 * 1024), { cause: new Error('the reason') }) })
  await app.ready()
  await app.jobs.enqueue('long', null)
  await app.jobs.idle()
  t.match(lines, [{ err: { type: 'RangeError', message: /^x+… \[cut: 20971520 bytes\]: the reason$/ } }])
  t.ok(JSON.stringify(lines).length < 64 * 1024)
})

t.test('a handler that a timeout has left behind gets a signal that says why, and no scope', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const late = deferred()
  const found: unknown[] = []
  app.jobs.define('deaf', { attempts: 1, timeout: 100 }, async (_, context) => {
    await late.promise
    found.push(context.signal.reason)
    context.progress(1)
    try {
      found.push(context.diScope)
    } catch (error) {
      found.push(error)
    }
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('deaf', {})
  await turns()
  await clock.advance(850)
  late.resolve()
  await turns()
  t.match(found, [{ code: 'FST_JOBS_TIMEOUT' }, { code: 'FST_JOBS_ATTEMPT_OVER', message: /'deaf'/ }])
  t.equal((await app.jobs.get(id))!.progress, undefined)
})

t.test('a retry policy that fails is in the log, and the default applies', async (t) => {
  const lines: any[] = []
  const app = await buildApp(t, {}, logTo(lines))
  app.jobs.define('throws', { attempts: 2, backoff: () => { throw new Error('no table of delays') } }, async () => { throw new Error('once') })
  await app.ready()
  const { id } = await app.jobs.enqueue('throws', {})
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'delayed' })
  t.match(lines, [{ jobId: id, jobName: 'throws', err: { message: 'no table of delays' } }])
})

t.test('a timeout aborts the signal, and a handler that ignores it is left to itself after a grace', async (t) => {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, queues: { default: { concurrency: 1 } } })
  const late = deferred()
  let signal: AbortSignal | undefined
  let disposed = 0
  app.jobs.define('slow', { attempts: 1, timeout: 100 }, async (_, context) => {
    signal = context.signal
    context.diScope.register({ thing: asFunction(() => ({})).scoped().disposer(() => { disposed++ }) })
    context.diScope.resolve('thing')
    await late.promise
  })
  app.jobs.define('next', async () => {})
  await app.ready()
  const slow = await app.jobs.enqueue('slow', {})
  const next = await app.jobs.enqueue('next', {})
  await turns()
  await clock.advance(100)
  t.match(signal!.reason, { code: 'FST_JOBS_TIMEOUT' })
  t.match(await app.jobs.get(slow.id), { state: 'active' })
  await clock.advance(750)
  t.match(await app.jobs.get(slow.id), { state: 'dead' })
  t.match(await app.jobs.get(next.id), { state: 'succeeded' }, 'the slot is free again')
  late.resolve()
  await turns()
  t.match(await app.jobs.get(slow.id), { state: 'dead' }, 'settling late changes nothing')
  t.equal(disposed, 1)
})

t.test('a running job that is cancelled is neither retried nor a dead letter', async (t) => {
  const app = await buildApp(t)
  const started = deferred()
  app.jobs.define('long', async (_, { signal }) => {
    started.resolve()
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  })
  await app.ready()
  const { id } = await app.jobs.enqueue('long', {})
  await started.promise
  t.equal(await app.jobs.cancel(id), true)
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'cancelled', attempt: 1 })
  t.same(await app.jobs.deadLetters.list(), [])
  t.equal(await app.jobs.cancel('unknown'), false)
})

t.test('a logger that fails costs no slot', async (t) => {
  const app = await buildApp(t)
  app.jobs.define('fails', { attempts: 1 }, async () => { throw new Error('no') })
  await app.ready()
  const broken = () => { throw new Error('disk full') }
  app.log.child = () => Object.assign(Object.create(app.log), { warn: broken, error: broken })
  const { id } = await app.jobs.enqueue('fails', {})
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'dead' })
})

t.test('an older payload is upgraded before its schema check, at every attempt from what is stored', async (t) => {
  const { backend, store } = leased()
  const app = await buildApp(t, { backend, retry: { attempts: 2, backoff: () => 0 } })
  const upgrades: unknown[] = []
  const seen: unknown[] = []
  app.jobs.define('work', {
    version: 3,
    schema: { type: 'object', required: ['recipients'], additionalProperties: false, properties: { recipients: { type: 'array' } } },
    async upgrade (payload: { to: string }, from: number) {
      upgrades.push([payload, from])
      return { recipients: [payload.to] }
    }
  }, async (payload, { job: { attempt } }) => {
    seen.push([payload, attempt])
    if (attempt === 1) throw new Error('again')
  })
  await store({ id: 'old', name: 'work', payload: { to: 'ada' } })
  await store({ id: 'current', name: 'work', payload: { recipients: ['bob'] }, options: { version: 3 } })
  await app.ready()
  await app.jobs.idle({ delayed: true })
  t.same(upgrades, [[{ to: 'ada' }, 1], [{ to: 'ada' }, 1]])
  const byAttempt = seen.sort()
  t.same(byAttempt.length, 4)
  t.ok(byAttempt.every((one) => JSON.stringify(one).includes('recipients')))
})

t.test('what an upgrade throws, or what does not fit afterwards, is a dead letter at once', async (t) => {
  const { backend, store } = leased()
  const app = await buildApp(t, { backend })
  const broken = Object.freeze(new Error('no address'))
  app.jobs.define('throws', { version: 2, upgrade: () => { throw broken } }, async () => t.fail('it ran'))
  app.jobs.define('rejects', { version: 2, upgrade: async () => { throw broken } }, async () => t.fail('it ran'))
  app.jobs.define('misfits', { version: 2, schema: { type: 'object' }, upgrade: () => 'a text' }, async () => t.fail('it ran'))
  for (const name of ['throws', 'rejects', 'misfits']) await store({ id: name, name, payload: {} })
  await app.ready()
  await app.jobs.idle({ delayed: true })
  for (const id of ['throws', 'rejects']) t.match(await app.jobs.get(id), { state: 'dead', attempt: 1, error: { name: 'NonRetryableError', message: /upgrade of the payload from version 1 to 2 failed: no address/, cause: { message: 'no address' } } })
  t.match(await app.jobs.get('misfits'), { state: 'dead', attempt: 1, error: { code: 'FST_JOBS_INVALID_PAYLOAD' } })
})

t.test('a job keeps the version of its definition where it is stored, and only there', async (t) => {
  const { backend } = leased()
  const stored: unknown[] = []
  const { enqueue } = backend
  backend.enqueue = (queue, jobs, options) => {
    stored.push(...jobs.map(({ name, options }) => [name, options]))
    return enqueue.call(backend, queue, jobs, options)
  }
  const app = await buildApp(t, { backend, queues: { memory: { backend: memory() } } })
  app.jobs.define('first', async () => {})
  app.jobs.define('second', { version: 2 }, async () => {})
  app.jobs.define('here', { version: 2, queue: 'memory', upgrade: () => t.fail('nothing is older here') }, async () => {})
  await app.ready()
  await app.jobs.enqueue('first', null)
  await app.jobs.enqueue('second', null)
  await app.jobs.enqueue('second', null, { priority: 5 })
  await app.jobs.enqueueMany([{ job: 'second', payload: null, attempts: 2 }])
  await app.jobs.enqueue('here', null)
  await app.jobs.idle()
  t.same(stored, [['first', undefined], ['second', { version: 2 }], ['second', { priority: 5, version: 2 }], ['second', { attempts: 2, version: 2 }]])
})

t.test('a handler does not begin when its attempt was interrupted during the upgrade', async (t) => {
  const clock = new ManualClock()
  const { backend, store, loseLease, outcomes } = leased()
  const app = await buildApp(t, { backend, clock })
  const gate = deferred()
  for (const [name, timeout] of [['cancelled', undefined], ['stolen', undefined], ['late', 1000]] as const) {
    app.jobs.define(name, { version: 2, attempts: 1, timeout, upgrade: () => gate.promise }, async () => t.fail(`'${name}' began`))
    await store({ id: name, name, payload: {} })
  }
  await app.ready()
  await clock.advance(0)
  t.equal(await app.jobs.cancel('cancelled'), true)
  app.jobs.pause()
  loseLease('stolen')
  await clock.advance(1000)
  gate.resolve()
  await turns()
  t.same(outcomes.map(({ type }) => type).sort(), ['cancelled', 'dead', 'released'])
  t.match(await app.jobs.get('late'), { error: { code: 'FST_JOBS_TIMEOUT' } })
})

t.test('a job that succeeds is logged at debug, with its duration; nothing of the kind is made at other levels', async (t) => {
  const lines: any[] = []
  const clock = new ManualClock()
  const app = await buildApp(t, { clock }, logTo(lines, 'debug'))
  const gate = deferred()
  app.jobs.define('work', () => gate.promise)
  await app.ready()
  const { id } = await app.jobs.enqueue('work', {}, { correlationId: 'req-1' })
  await turns()
  await clock.advance(42)
  gate.resolve()
  await app.jobs.idle()
  t.match(lines.filter(({ jobId }) => jobId === id), [{ level: 20, jobName: 'work', queue: 'default', attempt: 1, correlationId: 'req-1', duration: 42, msg: 'the job succeeded' }])
  app.log.level = 'info'
  await app.jobs.enqueue('work', {})
  await app.jobs.idle()
  t.equal(lines.filter(({ msg }) => msg === 'the job succeeded').length, 1)
})

t.test('loggers that are not pino are asked by their level; one that fails fails no job', async (t) => {
  const said: string[] = []
  const logger = (level: string) => {
    const log = { level, fatal () {}, error () {}, warn () {}, info () {}, trace () {}, debug (_fields: unknown, message: string) { said.push(`${level}: ${message}`); throw new Error('the disk is full') }, child: () => log }
    return log
  }
  for (const level of ['trace', 'debug', 'info']) {
    const app = await buildApp(t, {}, { loggerInstance: logger(level) as never })
    app.jobs.define('work', async () => {})
    await app.ready()
    const { id } = await app.jobs.enqueue('work', {})
    await app.jobs.idle()
    t.match(await app.jobs.get(id), { state: 'succeeded' })
  }
  t.same(said.filter((line) => line.includes('job')), ['trace: the job succeeded', 'debug: the job succeeded'])
})
