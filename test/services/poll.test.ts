import t, { type Test } from 'tap'
import { getEventListeners } from 'node:events'
import { asFunction, createContainer } from 'awilix'
import Fastify, { type FastifyInstance } from 'fastify'
import { poll, type PollPass } from '../../lib/index.ts'
import { RunContext } from '../../lib/services/context.ts'
import { TimerHeap } from '../../lib/timer-heap.ts'
import { buildApp, deferred, logTo, turns } from '../helpers/app.ts'
import { hastyClock, ManualClock } from '../helpers/clock.ts'

async function polling (t: Test, every: number, pass: PollPass, prepare: (app: FastifyInstance) => void = () => {}): Promise<{ app: FastifyInstance, clock: ManualClock, lines: any[] }> {
  const lines: any[] = []
  const clock = new ManualClock()
  const app = await buildApp(t, { clock, shutdown: { timeout: 1000 } }, logTo(lines))
  app.jobs.service('feed', poll(every, pass))
  prepare(app)
  await app.ready()
  await turns()
  return { app, clock, lines }
}

function countScopes (app: FastifyInstance): { scopes: number } {
  const count = { scopes: 0 }
  const { createScope } = app.diContainer
  app.diContainer.createScope = function (this: typeof app.diContainer) {
    count.scopes++
    const scope = createScope.call(this)
    scope.createScope = app.diContainer.createScope
    return scope
  } as typeof createScope
  return count
}

t.test('the first pass comes at once, the others every so many milliseconds', async (t) => {
  const passes: number[] = []
  const { app, clock } = await polling(t, 100, () => { passes.push(clockOf()) })
  function clockOf (): number { return passes.length * 100 }
  t.same(passes, [0])
  await clock.advance(99)
  t.equal(passes.length, 1)
  await clock.advance(1)
  t.equal(passes.length, 2)
  await clock.advance(1000)
  t.equal(passes.length, 12)
  t.match((await app.jobs.status()).services, { feed: { state: 'running', restarts: 0 } })
})

t.test('passes never overlap: one that takes longer is followed by the next at once', async (t) => {
  const gates = [deferred(), deferred(), deferred()]
  const events: string[] = []
  let pass = 0
  const { clock } = await polling(t, 100, async () => {
    const index = pass++
    events.push(`begin ${index}`)
    await gates[index]?.promise
    events.push(`end ${index}`)
  })
  await clock.advance(350)
  t.same(events, ['begin 0'])
  gates[0]!.resolve()
  await turns()
  t.same(events, ['begin 0', 'end 0', 'begin 1'], 'and those that were missed are not made up for')
  gates[1]!.resolve()
  await clock.advance(99)
  t.equal(pass, 2)
  await clock.advance(1)
  t.equal(pass, 3)
  gates[2]!.resolve()
  await turns()
})

t.test('a pass that fails, however it does, is logged, and the loop goes on', async (t) => {
  const unreadable = Object.defineProperty(new Error('no'), 'message', { get () { throw new Error('unreadable') } })
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const thrown = [new Error('no feed'), 'a text', null, undefined, unreadable, proxy]
  let passes = 0
  const { app, clock, lines } = await polling(t, 10, () => {
    const value = thrown[passes++ >> 1]
    if (passes > 12) return
    if (passes % 2 === 0) throw value
    return Promise.reject(value)
  })
  await clock.advance(120)
  t.equal(passes, 13)
  t.equal(lines.length, 12)
  for (const line of lines) t.match(line, { level: 50, service: 'feed', msg: 'a pass of the polling service failed' })
  t.match(lines[0], { err: { message: 'no feed' } })
  t.match((await app.jobs.status()).services, { feed: { state: 'running', restarts: 0 } })
  t.equal((await app.inject('/health/ready')).json().status, 'healthy')
})

t.test('each pass has a scope of its own, disposed once before the next one begins, failed or not', async (t) => {
  const events: string[] = []
  let things = 0
  const { app, clock } = await polling(t, 10, async ({ diScope, signal, log }) => {
    t.equal(diScope.resolve('thing'), diScope.resolve('thing'))
    t.equal(diScope.resolve('signal'), signal)
    t.equal(diScope.resolve('log'), log)
    events.push(`pass ${things}`)
    if (things === 2) throw new Error('no')
  }, ({ diContainer }) => {
    diContainer.register({ thing: asFunction(() => ({ id: ++things }), { lifetime: 'SCOPED', dispose: ({ id }) => { events.push(`disposed ${id}`) } }) })
  })
  await clock.advance(20)
  await app.close()
  t.same(events, ['pass 1', 'disposed 1', 'pass 2', 'disposed 2', 'pass 3', 'disposed 3'])
})

t.test('a pass that does not touch its scope has none', async (t) => {
  let count!: { scopes: number }
  let touch = false
  const { app, clock } = await polling(t, 10, (context) => { if (touch) t.ok(context.diScope) }, (app) => { count = countScopes(app) })
  await clock.advance(100)
  t.equal(count.scopes, 0)
  touch = true
  await clock.advance(20)
  t.equal(count.scopes, 3, "the run's and one of each pass")
  await app.close()
})

t.test('a scope that cannot be made fails the pass, not the loop', async (t) => {
  let passes = 0
  const { app, clock, lines } = await polling(t, 10, ({ diScope }) => { passes++; t.ok(diScope) }, ({ diContainer }) => {
    diContainer.createScope = () => { throw new Error('no container') }
  })
  await clock.advance(10)
  t.match(lines.map(({ err }) => err.message), ['no container', 'no container'])
  t.match((await app.jobs.status()).services, { feed: { state: 'running' } })
  t.equal(passes, 0)
})

t.test('a disposer that throws is logged, and the loop goes on', async (t) => {
  let passes = 0
  const { clock, lines } = await polling(t, 10, ({ diScope }) => { passes++; diScope.resolve('thing') }, ({ diContainer }) => {
    diContainer.register({ thing: asFunction(() => ({}), { lifetime: 'SCOPED', dispose: () => { throw new Error('broken disposer') } }) })
  })
  await clock.advance(10)
  t.equal(passes, 2)
  t.match(lines, [{ service: 'feed', err: { message: 'broken disposer' } }, { service: 'feed', err: { message: 'broken disposer' } }])
})

t.test('a close wakes the loop between two passes, and waits for the pass that runs', async (t) => {
  const { app, clock } = await polling(t, 3_600_000, () => {})
  await app.close()
  t.equal(clock.pending, 0)

  const gate = deferred()
  const events: string[] = []
  const slow = await polling(t, 10, async ({ signal }) => { await gate.promise; events.push(`pass over, aborted: ${signal.aborted}`) })
  const closing = slow.app.close().then(() => events.push('closed'))
  await turns(20)
  gate.resolve()
  await closing
  t.same(events, ['pass over, aborted: true', 'closed'])
})

t.test('a pass that throws because it is told to stop is not logged; one that fails then is', async (t) => {
  const told = await polling(t, 10, ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))))
  await told.app.close()
  t.same(told.lines, [])
  const failing = await polling(t, 10, ({ signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('lost')))))
  await failing.app.close()
  t.match(failing.lines, [{ err: { message: 'lost' } }])
})

t.test('a pass that ignores its signal is one that does not end: named, and held for no longer than the budget', async (t) => {
  const { app, clock, lines } = await polling(t, 10, () => new Promise(() => {}))
  const closing = app.close()
  await turns(20)
  await clock.advance(2000)
  await closing
  t.match(lines, [{ services: ['feed'], msg: /still running/ }])
})

t.test('passes may be as rare as one likes', async (t) => {
  let passes = 0
  const { clock } = await polling(t, 2 ** 31 + 1000, () => { passes++ })
  await clock.advance(2 ** 31 + 999)
  t.equal(passes, 1)
  await clock.advance(1)
  t.equal(passes, 2)
})

t.test('a hundred thousand passes leave no listener and no timer behind', async (t) => {
  const clock = hastyClock()
  const host = { sleepers: new TimerHeap<() => void>(clock, (wake) => wake()), log: Fastify().log, createScope: createContainer }
  const controller = new AbortController()
  let passes = 0
  let most = 0
  await poll(1000, ({ signal }) => {
    most = Math.max(most, getEventListeners(signal, 'abort').length, host.sleepers.size)
    if (++passes === 100_000) controller.abort()
  }).run!(new RunContext('feed', controller.signal, host))
  t.equal(passes, 100_000)
  t.equal(most, 1)
  t.equal(getEventListeners(controller.signal, 'abort').length, 0)
  t.equal(host.sleepers.size, 0)
})

t.test('bad input is refused at once', (t) => {
  const invalid = (message: RegExp): { code: string, message: RegExp } => ({ code: 'FST_JOBS_INVALID_OPTIONS', message })
  for (const every of [0, -1, 0.5, NaN, Infinity, '5', null, undefined, 5n, new Date()]) {
    t.throws(() => poll(every as number, () => {}), invalid(/call of poll: 'every' must be milliseconds, 1 or more, got/))
  }
  for (const pass of [undefined, null, {}, 'pass', []]) {
    t.throws(() => poll(1000, pass as never), invalid(/call of poll: the pass must be a function, got/))
  }
  t.end()
})
