import { getEventListeners } from 'node:events'
import t from 'tap'
import { asFunction, createContainer, type AwilixContainer } from 'awilix'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import { RunContext, type ServiceHost } from '../../lib/services/context.ts'
import { TimerHeap } from '../../lib/timer-heap.ts'
import { logTo, now, turns } from '../helpers/app.ts'
import { hastyClock, ManualClock } from '../helpers/clock.ts'
import { gc } from '../helpers/gc.ts'

interface Fixture { readonly context: RunContext, readonly controller: AbortController, readonly host: ServiceHost, readonly clock: ManualClock, readonly lines: any[] }

function fixture ({ createScope = createContainer as () => AwilixContainer, clock = new ManualClock() } = {}): Fixture {
  const lines: any[] = []
  const host = { sleepers: new TimerHeap<() => void>(clock, (wake) => wake()), log: Fastify(logTo(lines, 'info')).log as FastifyBaseLogger, createScope }
  const controller = new AbortController()
  return { context: new RunContext('tail', controller.signal, host), controller, host, clock, lines }
}

t.test('sleep resolves when its time has come', async (t) => {
  const { context, clock } = fixture()
  const sleeping = context.sleep(100)
  await clock.advance(99)
  t.equal(await now(sleeping), 'pending')
  await clock.advance(1)
  t.equal(await sleeping, undefined)
})

t.test('sleep resolves when the signal aborts, and at once when it has', async (t) => {
  const { context, controller, clock, host } = fixture()
  const sleeping = [context.sleep(100), context.sleep(Infinity), context.sleep(0)]
  controller.abort()
  await Promise.all(sleeping)
  t.equal(host.sleepers.size, 0)
  t.equal(clock.pending, 0)
  await context.sleep(100)
  t.equal(clock.pending, 0)
})

t.test('sleep takes every number of milliseconds there is', async (t) => {
  const { context, controller, clock } = fixture()
  for (const delay of [0, -0, -1, -Infinity, 0.1, Number.MIN_VALUE]) {
    const sleeping = context.sleep(delay)
    t.equal(await now(sleeping), 'pending', `${delay} is a turn of the event loop at the least`)
    await clock.advance(1)
    await sleeping
  }
  for (const delay of [2 ** 31, 2 ** 40, Number.MAX_VALUE, Infinity]) {
    const sleeping = context.sleep(delay)
    await clock.advance(1000)
    t.equal(await now(sleeping), 'pending', `${delay}`)
  }
  controller.abort()
})

t.test('sleep takes nothing else', (t) => {
  const { context, clock } = fixture()
  for (const delay of [NaN, '100', null, undefined, 5n, {}, new Date()]) {
    t.throws(() => context.sleep(delay as number), { code: 'FST_JOBS_INVALID_OPTIONS', message: /sleep of service 'tail': it takes milliseconds, got/ })
  }
  t.equal(clock.pending, 0)
  t.end()
})

t.test('sleep can be taken from its context', async (t) => {
  const { context: { sleep }, clock } = fixture()
  const sleeping = sleep(1)
  await clock.advance(1)
  t.equal(await sleeping, undefined)
})

t.test('a hundred thousand sleeps leave no listener and no memory behind', async (t) => {
  const { context, controller: { signal }, host } = fixture({ clock: hastyClock() as ManualClock })
  const heapAfterSleeping = async (): Promise<number> => {
    for (let n = 0; n < 100_000; n++) await context.sleep(1000)
    await turns()
    gc()
    return process.memoryUsage().heapUsed
  }
  const before = await heapAfterSleeping()
  const grown = await heapAfterSleeping() - before
  t.ok(grown < 5_000_000, `${grown} bytes`)
  t.equal(getEventListeners(signal, 'abort').length, 0)
  t.equal(host.sleepers.size, 0)
})

t.test('scope and logger are made when they are first touched, once', async (t) => {
  let scopes = 0
  const { context, lines } = fixture({ createScope: () => { scopes++; return createContainer() } })
  await context.end()
  t.equal(scopes, 0)
  t.equal(context.diScope, context.diScope)
  t.equal(scopes, 1)
  t.equal(context.log, context.log)
  context.log.info('hello')
  t.match(lines, [{ service: 'tail', msg: 'hello' }])
  t.equal(context.diScope.resolve('log'), context.log)
  t.equal(context.diScope.resolve('signal'), context.signal)
  await context.end()
})

t.test('signal and log can be resolved from a strict container', (t) => {
  const { context } = fixture({ createScope: () => createContainer({ strict: true }).createScope() })
  context.diScope.register({ client: asFunction(({ signal }: { signal: AbortSignal }) => ({ signal })).scoped() })
  t.equal(context.diScope.resolve<{ signal: AbortSignal }>('client').signal, context.signal)
  t.end()
})

t.test('the end disposes the scope, and never rejects', async (t) => {
  let disposed = 0
  const { context, lines, clock } = fixture()
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  context.diScope.register({
    thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { disposed++; throw proxy } })
  })
  context.diScope.resolve('thing')
  await context.end()
  t.equal(disposed, 1)
  t.match(lines, [{ level: 50, service: 'tail', msg: "disposing the service's scope failed" }])
  t.equal(clock.pending, 0)
})

t.test('the end waits ten seconds for a disposer, not longer, whether the signal has aborted or not', async (t) => {
  for (const aborted of [false, true]) {
    const { context, controller, lines, clock } = fixture()
    let release!: () => void
    context.diScope.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => new Promise<void>((resolve) => { release = resolve }) }) })
    context.diScope.resolve('thing')
    if (aborted) controller.abort()
    const ending = context.end()
    await clock.advance(9_999)
    t.equal(await now(ending), 'pending')
    await clock.advance(1)
    await ending
    t.match(lines, [{ level: 50, service: 'tail', msg: /took longer than 10000 ms and is left to itself/ }])
    release()
    await now(ending)
    t.equal(lines.length, 1)
  }
})
