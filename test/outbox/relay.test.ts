import t from 'tap'
import Fastify from 'fastify'
import { NonRetryableError } from '../../lib/index.ts'
import { destinationOf } from '../../lib/outbox/destination.ts'
import type { OutboxOptions, Publish } from '../../lib/outbox/index.ts'
import { resolveOptions } from '../../lib/outbox/options.ts'
import { Relay } from '../../lib/outbox/relay.ts'
import { deferred, logTo, turns, type Deferred } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { event, ScriptedStore } from '../helpers/outbox.ts'

interface Setup {
  readonly store: ScriptedStore
  readonly clock: ManualClock
  readonly relay: Relay
  readonly lines: any[]
  readonly stopping: AbortController
  pass (): Promise<void>
}

function setup (publish: Publish, options: Partial<OutboxOptions> = {}): Setup {
  const store = new ScriptedStore()
  const clock = new ManualClock()
  const lines: any[] = []
  const { log } = Fastify(logTo(lines, 'info'))
  const resolved = resolveOptions({ store, publish, backoff: { type: 'fixed', delay: 700, jitter: 0 }, ...options } as OutboxOptions)
  const relay = new Relay(resolved, destinationOf(resolved.destination, undefined as never), store, clock)
  const stopping = new AbortController()
  return { store, clock, relay, lines, stopping, pass: () => relay.pass({ signal: stopping.signal, log }) }
}

function states (store: ScriptedStore): string[] {
  return store.results.map(({ event, state }) => `${event.id} ${state}`)
}

/** Turns of the event loop that others have meanwhile. */
async function turnsDuring (work: () => Promise<void>): Promise<number> {
  let turns = 0
  let isOver = false
  const count = (): void => { if (!isOver) { turns++; setImmediate(count) } }
  count()
  await work()
  isOver = true
  return turns
}

t.test('a pass goes on, batch after batch, until one comes to nothing', async (t) => {
  const { store, pass, relay } = setup(() => {}, { timeout: 1000 })
  store.batches.push([event('a'), event('b')], [event('c')], [])
  await pass()
  t.same(states(store), ['a published', 'b published', 'c published'])
  t.same(store.holds, [8000, 8000, 8000], 'longer than budget and timeout together')
  t.same(relay.counters, { published: 3, failed: 0, parked: 0 })
})

t.test('publish gets the event, a signal and a logger that says which event it is', async (t) => {
  const seen: unknown[] = []
  const { store, pass, lines } = setup((event, { signal, log }) => {
    seen.push(event, signal.aborted)
    log.info('on its way')
  }, { name: 'orders' })
  const one = event('a', { key: 'k', createdAt: 12, attempt: 3 })
  store.batches.push([one])
  await pass()
  t.same(seen, [one, false])
  t.match(lines, [{ msg: 'on its way', outbox: 'orders', eventId: 'a', eventType: 'thing.happened', attempt: 3 }])
})

t.test('a failed event holds back the later ones of its key, and no others', async (t) => {
  const { store, pass, relay, lines } = setup(({ id }) => { if (id === 'a1') throw new Error('broker says no') })
  store.batches.push([event('a1', { key: 'a' }), event('b1', { key: 'b' }), event('a2', { key: 'a' }), event('b2', { key: 'b' })])
  await pass()
  t.same(states(store), ['a1 failed', 'b1 published', 'b2 published'])
  t.match(store.results[0], { message: 'broker says no', delay: 700 })
  t.same(relay.counters, { published: 2, failed: 1, parked: 0 })
  t.match(lines, [{ level: 40, eventId: 'a1', attempt: 1, delay: 700, err: { message: 'broker says no' } }])
  t.notMatch(JSON.stringify(lines), /secret/)
})

t.test('the last attempt parks the event: logged, counted and told, and the later ones of its key go on', async (t) => {
  const parked: unknown[] = []
  const error = new Error('still no')
  const { store, pass, relay, lines } = setup(({ id }) => { if (id === 'a') throw error }, { attempts: 3, onParked: (...args) => { parked.push(args) } })
  store.batches.push([event('a', { attempt: 3 }), event('b')])
  await pass()
  t.same(states(store), ['a parked', 'b published'])
  t.same(relay.counters, { published: 1, failed: 1, parked: 1 })
  t.match(lines, [{ level: 50, outbox: 'outbox', eventId: 'a', eventType: 'thing.happened', attempt: 3, err: { message: 'still no' } }])
  t.notMatch(JSON.stringify(lines), /secret/)
  t.same(parked, [[event('a', { attempt: 3 }), error]])
})

t.test('a NonRetryableError, also as a cause, parks at the first attempt', async (t) => {
  const { store, pass } = setup(({ id }) => {
    if (id === 'a') throw new NonRetryableError('never')
    throw new Error('wrapped', { cause: new NonRetryableError('never') })
  })
  store.batches.push([event('a'), event('b')])
  await pass()
  t.same(states(store), ['a parked', 'b parked'])
})

t.test('an error of the payload’s, also as a cause, parks at the first attempt; one that may pass does not', async (t) => {
  const errors: Record<string, Error> = {
    large: Object.assign(new Error('too large'), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE' }),
    invalid: Object.assign(new Error('invalid'), { code: 'FST_JOBS_INVALID_PAYLOAD' }),
    wrapped: new Error('wrapped', { cause: Object.assign(new Error('too large'), { code: 'FST_JOBS_PAYLOAD_TOO_LARGE' }) }),
    unknown: Object.assign(new Error('not here'), { code: 'FST_JOBS_UNKNOWN_JOB' })
  }
  const { store, pass } = setup(async ({ id }) => Promise.reject(errors[id]))
  store.batches.push(Object.keys(errors).map((id) => event(id)))
  await pass()
  t.same(states(store), ['large parked', 'invalid parked', 'wrapped parked', 'unknown failed'])
})

t.test('an onParked that fails, at once or later, is logged', async (t) => {
  for (const onParked of [() => { throw new Error('pager is down') }, async () => { throw new Error('pager is down') }]) {
    const { store, pass, lines } = setup(() => { throw new NonRetryableError('never') }, { onParked })
    store.batches.push([event('a')])
    await pass()
    await turns()
    t.match(lines[1], { level: 50, eventId: 'a', err: { message: 'pager is down' } })
  }
})

t.test('each key has one event published before another has its second, since a batch may end before its last event', async (t) => {
  const order: string[] = []
  const { store, pass } = setup(({ id }) => { order.push(id) }, { concurrency: 1 })
  store.batches.push([event('a1', { key: 'a' }), event('a2', { key: 'a' }), event('a3', { key: 'a' }), event('b1', { key: 'b' }), event('b2', { key: 'b' })])
  await pass()
  t.same(order, ['a1', 'b1', 'a2', 'b2', 'a3'])
})

t.test('keys are published side by side, as many as may be, each in its order', async (t) => {
  const gates: Record<string, Deferred> = { a1: deferred(), b1: deferred() }
  const began: string[] = []
  const { store, pass } = setup(({ id }) => {
    began.push(id)
    return gates[id]?.promise
  }, { concurrency: 2 })
  store.batches.push([event('a1', { key: 'a' }), event('a2', { key: 'a' }), event('b1', { key: 'b' }), event('c1', { key: 'c' })])
  const passed = pass()
  await turns()
  t.same(began, ['a1', 'b1'])
  gates.b1!.resolve()
  await turns()
  t.same(began, ['a1', 'b1', 'c1'], 'one that hangs holds up its own key')
  gates.a1!.resolve()
  await passed
  t.same(began, ['a1', 'b1', 'c1', 'a2'])
  t.same(states(store), ['b1 published', 'c1 published', 'a1 published', 'a2 published'])
})

t.test('after backpressure no stream of the batch begins another publish', async (t) => {
  const gate = deferred()
  const began: string[] = []
  const { store, pass } = setup(async ({ id }) => {
    began.push(id)
    if (id === 'a1') await gate.promise
    else throw Object.assign(new Error('not now'), { code: 'FST_JOBS_QUEUE_FULL' })
  })
  store.batches.push([event('a1', { key: 'a' }), event('a2', { key: 'a' }), event('b1', { key: 'b' })])
  const passed = pass()
  await turns()
  gate.resolve()
  await passed
  t.same(began, ['a1', 'b1'])
  t.same(states(store), ['a1 published'])
})

t.test('backpressure is no failure: the event stays as it is, batch and pass end, and one warning is enough', async (t) => {
  for (const code of ['FST_JOBS_STOPPING', 'FST_JOBS_QUEUE_FULL', 'FST_JOBS_BACKEND_UNAVAILABLE']) {
    let takes = false
    const { store, pass, relay, lines } = setup(({ id }) => { if (id === 'b' && !takes) throw Object.assign(new Error('not now'), { code }) }, { concurrency: 1 })
    store.batches.push([event('a'), event('b'), event('c', { key: 'other' })], [event('b')], [event('b')])
    await pass()
    t.same(states(store), ['a published', 'c published'])
    t.same(relay.counters, { published: 2, failed: 0, parked: 0 })
    await pass()
    t.match(lines, [{ level: 40, outbox: 'outbox', err: { code } }])
    t.equal(lines.length, 1)
    takes = true
    await pass()
    t.same(states(store), ['a published', 'c published', 'b published'])
  }
})

t.test('backpressure of an app that stops is not worth a line', async (t) => {
  const { store, pass, stopping, lines } = setup(() => {
    stopping.abort()
    throw Object.assign(new Error('stopping'), { code: 'FST_JOBS_STOPPING' })
  })
  store.batches.push([event('a')])
  await pass()
  t.same([states(store), lines], [[], []])
})

t.test('whatever is thrown is one failed attempt', async (t) => {
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const thrown = [null, undefined, 'text', 7, revoked.proxy, { get code () { throw new Error('trap') } }, 'nul \0', 'é'.repeat(5000), 'x'.repeat(8 * 1024)]
  const { store, pass } = setup(({ id }) => { throw thrown[Number(id)] })
  store.batches.push(thrown.map((_, index) => event(String(index), { key: String(index) })))
  await pass()
  t.same(states(store), thrown.map((_, index) => `${index} failed`))
  const messages = store.results.map((result) => result.state === 'failed' && result.message)
  t.same(messages.slice(2, 4), ['text', 'number was thrown: 7'])
  t.equal(messages[6], 'nul \uFFFD', 'PostgreSQL has no NUL in a text')
  t.equal(messages[7], `${'é'.repeat(4094)}…`, '8 KiB of UTF-8, and no half of a character')
  t.equal(messages[8], thrown[8])
})

t.test('the last error has the messages of the causes', async (t) => {
  const { store, pass } = setup(({ attempt }) => {
    const cause = new Error('connect ECONNREFUSED', { cause: 'nul \0' })
    throw new Error('broker is away'.repeat(attempt), { cause })
  })
  store.batches.push([event('a')], [event('b', { attempt: 1000 })])
  await pass()
  const messages = store.results.map((result) => result.state === 'published' ? '' : result.message)
  t.equal(messages[0], 'broker is away; cause: connect ECONNREFUSED; cause: nul \uFFFD')
  t.equal(Buffer.byteLength(messages[1]!), 8 * 1024)
})

t.test('a publish that takes too long fails, its signal aborts, and nobody waits for it', async (t) => {
  const signals: AbortSignal[] = []
  const { store, clock, pass } = setup((_event, { signal }) => {
    signals.push(signal)
    return new Promise(() => {})
  }, { timeout: 3000 })
  store.batches.push([event('a')])
  const passing = pass()
  await clock.advance(2999)
  t.equal(signals[0]!.aborted, false)
  await clock.advance(1)
  await passing
  t.match(signals[0]!.reason, { code: 'FST_JOBS_TIMEOUT', message: /'outbox'.*event 'a'.*3000 ms/ })
  t.match(store.results, [{ state: 'failed', error: { code: 'FST_JOBS_TIMEOUT' } }])
  t.equal(clock.pending, 0)
})

t.test('what a publish throws after its time is nobody’s unhandled rejection', async (t) => {
  const gate = deferred()
  const { store, clock, pass } = setup(() => gate.promise, { timeout: 10 })
  store.batches.push([event('a')])
  const passing = pass()
  await clock.advance(10)
  await passing
  gate.reject(new Error('late'))
  await turns()
  t.same(states(store), ['a failed'])
})

t.test('a batch starts nothing more once its budget is over', async (t) => {
  const { store, clock, pass } = setup(async ({ id }) => { if (id === 'b') await clock.advance(5000) })
  store.batches.push([event('a'), event('b'), event('c')])
  await pass()
  t.same(states(store), ['a published', 'b published'])
})

t.test('a batch that lost its hold on the store starts nothing more', async (t) => {
  const { store, pass } = setup(() => { store.isLost = true })
  store.batches.push([event('a'), event('b')])
  await pass()
  t.same(states(store), ['a published'])
})

t.test('a relay that is told to stop finishes the publish in flight and starts no other', async (t) => {
  const [arrived, gate] = [deferred(), deferred()]
  const signals: AbortSignal[] = []
  const { store, pass, stopping } = setup(async (_event, { signal }) => {
    signals.push(signal)
    arrived.resolve()
    await gate.promise
  })
  store.batches.push([event('a'), event('b')], [event('b')])
  const passing = pass()
  await arrived.promise
  stopping.abort()
  t.equal(signals[0]!.aborted, false)
  gate.resolve()
  await passing
  t.same(states(store), ['a published'])
  t.equal(store.batches.length, 1)
})

t.test('a backoff of the user’s has the last word, within reason', async (t) => {
  const given: unknown[] = []
  const delays = [5, 1e300, NaN]
  const { store, pass, lines } = setup(({ id }) => { throw new Error(id) }, {
    attempts: 100,
    backoff (attempt, error) {
      given.push([attempt, (error as Error).message])
      return delays[given.length - 1]!
    }
  })
  store.batches.push([event('a', { attempt: 4 })], [event('b')], [event('c')])
  await pass()
  t.same(given, [[4, 'a'], [1, 'b'], [1, 'c']])
  const found = store.results.map((result) => result.state === 'failed' ? result.delay : undefined)
  t.same(found.slice(0, 2), [5, 365 * 86_400_000])
  t.ok(found[2]! > 1000 && found[2]! <= 2000, 'the default where it gives no number')
  t.match(lines.find(({ level }) => level === 50), { eventId: 'c', err: { message: /backoff must return/ } })
})

t.test('published events are pruned at the first pass and then once a minute, in small steps', async (t) => {
  const { store, clock, pass, stopping } = setup(() => {}, { retention: 5000 })
  store.prunings.push(250, 250, 3)
  await pass()
  t.same(store.pruned, Array(3).fill({ age: 5000, limit: 250 }))
  await clock.advance(59_999)
  await pass()
  t.equal(store.pruned.length, 3)
  await clock.advance(1)
  await pass()
  t.equal(store.pruned.length, 4)
  await clock.advance(60_000)
  store.prunings.push(250, 250)
  const prune = store.prune.bind(store)
  store.prune = (age, limit) => {
    stopping.abort()
    return prune(age, limit)
  }
  await pass()
  t.equal(store.pruned.length, 5, 'and no further when the app stops')
})

t.test('an outbox that is never empty is pruned too', async (t) => {
  const { store, clock, pass } = setup(() => clock.advance(1000))
  for (let batch = 0; batch < 100; batch++) store.batches.push([event(String(batch))])
  await pass()
  t.equal(store.pruned.length, 2)
})

t.test('between two batches there is one step of pruning, however much is to prune', async (t) => {
  const { store, pass } = setup(() => {})
  const order: string[] = []
  const { batch, prune } = store
  store.batch = (...args) => { order.push('batch'); return batch.apply(store, args) }
  store.prune = (...args) => { order.push('prune'); return prune.apply(store, args) }
  store.batches.push([event('a')], [event('b')])
  store.prunings.push(250, 250, 250, 250, 7)
  await pass()
  t.same(order, ['batch', 'prune', 'batch', 'prune', 'batch', 'prune', 'prune', 'prune'])
})

t.test('where nothing is to publish a pass prunes for a tenth of a second, and the next one goes on', async (t) => {
  const { store, clock, pass } = setup(() => {})
  const prune = store.prune.bind(store)
  store.prune = async (age, limit) => {
    await clock.advance(30)
    return prune(age, limit)
  }
  store.prunings.push(...Array(20).fill(250) as number[])
  await pass()
  t.equal(store.pruned.length, 5)
  await pass()
  t.equal(store.pruned.length, 10)
})

t.test('an event whose payload cannot be read is parked at once, and those after it go on', async (t) => {
  const { store, pass } = setup(() => {})
  store.damaged.set('a', Object.assign(new Error('not JSON'), { code: 'FST_JOBS_INVALID_PAYLOAD' }))
  store.batches.push([event('a'), event('b')])
  await pass()
  t.same(states(store), ['a parked', 'b published'])
})

t.test('a long backlog leaves the process time for everything else', async (t) => {
  const { store, pass } = setup(() => {})
  for (let batch = 0; batch < 50; batch++) store.batches.push([event(String(batch))])
  t.ok(await turnsDuring(pass) >= 50)
})

t.test('a long pruning leaves it that, too', async (t) => {
  const { store, pass } = setup(() => {})
  for (let pruning = 0; pruning < 50; pruning++) store.prunings.push(250)
  t.ok(await turnsDuring(pass) >= 50)
})

t.test('an app that stops prunes no more, and is not held up by a step that is under way', async (t) => {
  const { store, pass, stopping } = setup(() => { stopping.abort() })
  store.batches.push([event('a')])
  await pass()
  t.same(store.pruned, [])
  const other = setup(() => {})
  other.store.batches.push([event('a')])
  await other.pass()
  t.same(other.store.pruneSignals, [other.stopping.signal])
})

t.test('an outbox that cannot be pruned publishes', async (t) => {
  const { store, pass } = setup(() => {})
  store.prune = async () => { throw new Error('no right to delete') }
  store.batches.push([event('a')])
  await t.rejects(pass(), { message: 'no right to delete' })
  t.same(states(store), ['a published'])
})
