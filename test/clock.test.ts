import { mock } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import FakeTimers from '@sinonjs/fake-timers'
import t, { type Test } from 'tap'
import { ManualClock, systemClock } from '../lib/index.ts'
import { buildApp, deferred, turns } from './helpers/app.ts'
import { until } from './conformance/until.ts'

/** A test tool that replaces the global timers. */
interface Tool {
  readonly name: string
  replace (): { advance (milliseconds: number): unknown, reset (): void }
}

const tools: readonly Tool[] = [
  {
    name: "node:test's mock.timers",
    replace () {
      mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'], now: Date.now() })
      return { advance: (milliseconds) => mock.timers.tick(milliseconds), reset: () => mock.timers.reset() }
    }
  },
  {
    name: 'the fake timers of vitest and jest',
    replace () {
      // As vitest does: without process.nextTick Fastify does not start.
      const clock = FakeTimers.install({ now: Date.now(), toNotFake: ['nextTick', 'queueMicrotask'] })
      return { advance: (milliseconds) => clock.tick(milliseconds), reset: () => { clock.uninstall() } }
    }
  }
]

for (const { name, replace } of tools) {
  const replaced = (t: Test): ReturnType<Tool['replace']> => {
    const tool = replace()
    let isReset = false
    const reset = (): void => {
      if (!isReset) tool.reset()
      isReset = true
    }
    t.teardown(reset)
    return { ...tool, reset }
  }

  t.test(`${name}: what was started under them goes on when they are reset`, async (t) => {
    const app = await buildApp(t, { shutdown: { mode: 'stop', timeout: 0 }, retry: { attempts: 2, backoff: () => 200 }, queues: { full: { capacity: 1, concurrency: 1, enqueueTimeout: 200 } } })
    const seen: string[] = []
    app.jobs.define('work', async (payload: string, { job: { attempt } }) => {
      seen.push(`${payload} ${attempt}`)
      if (payload === 'fails' && attempt === 1) throw new Error('again')
    })
    app.jobs.define('hangs', { timeout: 200, attempts: 1 }, () => new Promise(() => {}))
    app.jobs.define('fills', { queue: 'full' }, () => new Promise(() => {}))
    app.jobs.schedule('often', { every: 200 }, async () => { seen.push('tick') }, { overlap: 'allow' })
    const tool = replaced(t)
    await app.ready()
    await app.jobs.enqueue('work', 'delayed', { delay: 200 })
    await app.jobs.enqueue('work', 'fails')
    const { id } = await app.jobs.enqueue('hangs', null)
    await app.jobs.enqueue('fills', 1)
    await turns(10)
    await app.jobs.enqueue('fills', 2)
    const refused = app.jobs.enqueue('fills', 3).catch(({ code }) => code)
    t.same(seen, ['fails 1'], 'jobs begin all the same')
    tool.reset()
    await until('all have run', () => ['delayed 1', 'fails 2', 'tick'].every((one) => seen.includes(one)))
    await until('the attempt has timed out', async () => (await app.jobs.get(id))?.state === 'dead')
    t.equal(await refused, 'FST_JOBS_QUEUE_FULL')
  })

  t.test(`${name}: a shutdown that began under them ends in time when they are reset`, async (t) => {
    const app = await buildApp(t, { shutdown: { timeout: 200 } })
    app.jobs.define('hangs', () => new Promise(() => {}))
    await app.ready()
    await app.jobs.enqueue('hangs', null)
    await turns()
    const tool = replaced(t)
    const closing = app.close()
    await turns(10)
    tool.reset()
    await closing
    t.equal((await app.jobs.status()).isStopped, true)
  })

  t.test(`${name}: time that they advance is time that has passed`, async (t) => {
    const app = await buildApp(t, { retry: { attempts: 2, backoff: () => 3_600_000 } })
    const seen: string[] = []
    app.jobs.define('work', async (payload: string, { job: { attempt } }) => {
      seen.push(`${payload} ${attempt}`)
      if (payload === 'fails' && attempt === 1) throw new Error('again')
    })
    app.jobs.schedule('hourly', { every: 3_600_000 }, async () => { seen.push('tick') })
    const tool = replaced(t)
    await app.ready()
    await app.jobs.enqueue('work', 'delayed', { delay: 3_600_000 })
    await app.jobs.enqueue('work', 'fails')
    await turns(10)
    t.same(seen, ['fails 1'])
    tool.advance(3_600_000)
    await turns(10)
    t.same(seen.slice(1).sort(), ['delayed 1', 'fails 2', 'tick'])
  })
}

t.test('while only Date is mocked and stands still, delays and retries take their time', async (t) => {
  const app = await buildApp(t, { retry: { attempts: 3, backoff: () => 20 } })
  const seen: string[] = []
  app.jobs.define('work', async (payload: string, { job: { attempt } }) => {
    seen.push(`${payload} ${attempt}`)
    if (payload === 'fails') throw new Error('again')
  })
  mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1) })
  t.teardown(() => mock.timers.reset())
  await app.ready()
  const start = performance.now()
  let delayedAt = Infinity
  app.jobs.addHook('onSuccess', ({ payload }) => { if (payload === 'delayed') delayedAt = performance.now() })
  await app.jobs.enqueue('work', 'delayed', { delay: 300 })
  await app.jobs.enqueue('work', 'fails')
  for (let n = 0; n < 20; n++) {
    await sleep(5)
    await app.jobs.enqueue('work', 'more', { delay: 30 })
  }
  await app.jobs.idle({ delayed: true })
  t.same(seen.filter((one) => one.startsWith('fails')), ['fails 1', 'fails 2', 'fails 3'])
  t.equal(seen.filter((one) => one.startsWith('more')).length, 20)
  t.ok(delayedAt - start >= 298, `${delayedAt - start} ms`)
})

t.test('monotonic time goes on from where it was when fake timers come, are advanced, and go', async (t) => {
  const app = await buildApp(t)
  const gate = deferred()
  app.jobs.define('work', { timeout: 3_600_000, attempts: 1 }, () => gate.promise)
  await app.ready()
  const before = systemClock.monotonic()
  const clock = FakeTimers.install({ toNotFake: ['nextTick', 'queueMicrotask'] })
  t.teardown(() => clock.uninstall())
  const { id } = await app.jobs.enqueue('work', null)
  await turns()
  const during = systemClock.monotonic()
  t.ok(during >= before && during < before + 60_000)
  clock.tick(1_800_000)
  t.equal(systemClock.monotonic(), during + 1_800_000)
  clock.uninstall()
  const after = systemClock.monotonic()
  t.ok(after >= during + 1_800_000 && after < during + 1_860_000)
  gate.resolve()
  await until('it has succeeded', async () => (await app.jobs.get(id))?.state === 'succeeded')
})

t.test('a setTimeout that was only wrapped is a real one: it keeps no process alive, and is cleared', async (t) => {
  const { setTimeout } = globalThis
  t.teardown(() => { globalThis.setTimeout = setTimeout })
  const handles: NodeJS.Timeout[] = []
  globalThis.setTimeout = Object.assign((callback: () => void, delay: number) => {
    const handle = setTimeout(callback, delay)
    handles.push(handle)
    return handle
  }, setTimeout) as typeof setTimeout
  const handle = systemClock.setTimeout(() => t.fail('it fired'), 60_000)
  t.same(handles.map((one) => one.hasRef()), [false])
  systemClock.clearTimeout(handle)
  t.equal((handles[0] as unknown as { _destroyed: boolean })._destroyed, true)
})

t.test('fake timers that are not needed any more are cleared', async (t) => {
  const clock = FakeTimers.install({ toNotFake: ['nextTick', 'queueMicrotask'] })
  t.teardown(() => clock.uninstall())
  for (let n = 0; n < 2000; n++) systemClock.clearTimeout(systemClock.setTimeout(() => {}, 1000))
  t.equal(clock.countTimers(), 0)
  const stale = systemClock.setTimeout(() => {}, 1000)
  clock.uninstall()
  t.doesNotThrow(() => systemClock.clearTimeout(stale))
})

t.test('a timeout under replaced timers fires once, and not at all when it is cleared', async (t) => {
  const clock = FakeTimers.install({ toNotFake: ['nextTick', 'queueMicrotask'] })
  t.teardown(() => clock.uninstall())
  let fired = 0
  systemClock.setTimeout(() => fired++, 10)
  clock.tick(10)
  const cleared = systemClock.setTimeout(() => fired++, 10)
  systemClock.clearTimeout(cleared)
  clock.tick(10)
  clock.uninstall()
  const real = deferred()
  systemClock.setTimeout(() => real.resolve(), 200)
  const keepsAlive = setTimeout(() => {}, 10_000)
  await real.promise
  clearTimeout(keepsAlive)
  t.equal(fired, 1)
})

t.test('a timeout of node:test that was cleared does nothing when the mocked time comes', (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  systemClock.clearTimeout(systemClock.setTimeout(() => t.fail('it fired'), 1000))
  mock.timers.tick(2000)
  t.end()
})

t.test('a ManualClock refuses a delay at which setTimeout would fire at once', async (t) => {
  t.throws(() => new ManualClock().setTimeout(() => {}, 2 ** 31), RangeError)
})
