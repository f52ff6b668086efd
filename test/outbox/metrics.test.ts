import t from 'tap'
import { Registry } from 'prom-client'
import type { FastifyInstance } from 'fastify'
import outbox, { type OutboxOptions } from '../../lib/outbox/index.ts'
import { NonRetryableError } from '../../lib/index.ts'
import { Source } from '../../lib/outbox/metrics.ts'
import { buildApp, deferred, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { event, outboxApp, ScriptedStore, until } from '../helpers/outbox.ts'
import { parseExposition, type Exposition } from '../helpers/prometheus.ts'

const publish: OutboxOptions['publish'] = () => {}

async function scrape (app: FastifyInstance): Promise<Exposition> {
  const { statusCode, body } = await app.inject('/metrics')
  if (statusCode !== 200) throw new Error(body)
  return parseExposition(body)
}

t.test('the metrics of an outbox stand beside those of the jobs', async (t) => {
  const store = new ScriptedStore()
  store.current = { pending: 3, parked: 2, oldestSeconds: 1.5 }
  store.batches.push([event('a'), event('fails', { key: 'x' }), event('fatal', { key: 'y' })])
  const app = await outboxApp(t, {
    store,
    name: 'orders',
    publish ({ id }) {
      if (id === 'fails') throw new Error('no')
      if (id === 'fatal') throw new NonRetryableError('no')
    }
  })
  await app.ready()
  await until(() => store.results.length === 3)
  await turns()
  const { types, samples } = await scrape(app)
  const ours = samples.filter(({ name }) => name.startsWith('jobs_outbox_'))
  t.ok(ours.every(({ labels }) => labels.outbox === 'orders' && Object.keys(labels).length === 1))
  t.same(Object.fromEntries(ours.map(({ name, value }) => [name, [types.get(name), value]])), {
    jobs_outbox_published_total: ['counter', 1],
    jobs_outbox_failed_total: ['counter', 2],
    jobs_outbox_parked_total: ['counter', 1],
    jobs_outbox_pending: ['gauge', 3],
    jobs_outbox_parked: ['gauge', 2],
    jobs_outbox_oldest_pending_seconds: ['gauge', 1.5]
  })
})

t.test('two outboxes of one app share them, and one out of reach takes only its own gauges away', async (t) => {
  const app = await buildApp(t)
  const stores = { up: new ScriptedStore(), down: new ScriptedStore() }
  for (const [name, store] of Object.entries(stores)) app.register(async (child) => { await child.register(outbox, { store, publish, name }) })
  await app.ready()
  stores.down.stats = async () => { throw new Error('connection refused') }
  const { value } = await scrape(app)
  t.equal(value('jobs_outbox_pending', { outbox: 'up' }), 0)
  t.equal(value('jobs_outbox_pending', { outbox: 'down' }), undefined)
  t.equal(value('jobs_outbox_published_total', { outbox: 'down' }), 0)
  t.ok(value('jobs_queue_capacity', { queue: 'default' }))
})

t.test('a scrape is one question to the database', async (t) => {
  const store = new ScriptedStore()
  let asked = 0
  store.stats = async () => {
    asked++
    await turns()
    return { pending: 1, parked: 1, oldestSeconds: 1 }
  }
  const app = await outboxApp(t, { store, publish })
  await scrape(app)
  t.equal(asked, 1)
  await scrape(app)
  t.equal(asked, 2)
})

t.test('a database that does not answer is not waited for', async (t) => {
  const clock = new ManualClock()
  const store = new ScriptedStore()
  store.stats = () => deferred<typeof store.current>().promise
  const source = new Source('outbox', { counters: { published: 0, failed: 0, parked: 0 } }, store, clock)
  const refused = t.rejects(source.stats(), { message: 'no answer within 2000 ms' })
  await clock.advance(2000)
  await refused
})

t.test('they go when the app goes, with the last of its outboxes', async (t) => {
  const registry = new Registry()
  for (let round = 0; round < 2; round++) {
    const app = await buildApp(t, { metrics: { registry } })
    for (const name of ['a', 'b']) app.register(async (child) => { await child.register(outbox, { store: new ScriptedStore(), publish, name }) })
    await app.ready()
    t.ok(registry.getSingleMetric('jobs_outbox_pending'))
    await app.close()
    t.same(registry.getMetricsAsArray(), [])
  }
})

t.test('two apps with one Registry and two prefixes have their own', async (t) => {
  const registry = new Registry()
  const one = await buildApp(t, { metrics: { registry } })
  const two = await buildApp(t, { metrics: { registry, prefix: 'two_' } })
  for (const app of [one, two]) await app.register(outbox, { store: new ScriptedStore(), publish })
  await two.close()
  const { types } = await scrape(one)
  t.ok(types.has('jobs_outbox_pending'))
  t.notOk(types.has('two_outbox_pending'))
})
