import t from 'tap'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { Publisher, type Series } from '../../lib/observability/publisher.ts'
import { parseExposition, type Exposition } from '../helpers/prometheus.ts'

async function scrape (registry: Registry): Promise<Exposition> {
  return parseExposition(await registry.metrics())
}

const names = (registry: Registry): string[] => registry.getMetricsAsArray().map(({ name }) => name)

t.test('a scrape shows the numbers as they are then, under the prefix', async (t) => {
  const registry = new Registry()
  const publisher = new Publisher(registry, 'app_')
  const counts = { a: 1, b: 2 }
  const series = (): Series => Object.entries(counts).map(([lane, count]) => [{ lane }, count])
  publisher.counter('done_total', 'Done', ['lane'], series)
  publisher.gauge('waiting', 'Waiting', ['lane'], async () => series())
  for (let round = 0; round < 3; round++) {
    counts.a++
    const { types, value } = await scrape(registry)
    t.same(Object.fromEntries(types), { app_done_total: 'counter', app_waiting: 'gauge' })
    for (const name of ['app_done_total', 'app_waiting']) {
      t.equal(value(name, { lane: 'a' }), counts.a, 'nothing is added up twice')
      t.equal(value(name, { lane: 'b' }), 2)
    }
  }
})

t.test('a series that is gone is shown no longer', async (t) => {
  const registry = new Registry()
  const publisher = new Publisher(registry, '')
  let lanes = ['a', 'b']
  const series = (): Series => lanes.map((lane) => [{ lane }, 0])
  publisher.counter('done_total', 'Done', ['lane'], series)
  publisher.gauge('waiting', 'Waiting', ['lane'], series)
  t.equal((await scrape(registry)).samples.length, 4)
  lanes = ['b']
  t.same((await scrape(registry)).samples.map(({ labels }) => labels.lane), ['b', 'b'])
  lanes = []
  t.same((await scrape(registry)).samples, [])
})

t.test('a gauge of many items lets others have their turn between some and the next ones', async (t) => {
  const registry = new Registry()
  const items = Array.from({ length: 7 }, (_, index) => String(index))
  const asked: string[] = []
  new Publisher(registry, '').gaugeOfEach('length', 'Length', ['item'], () => items, (item) => ({ item }), (item) => asked.push(item), 3)
  const scraped = scrape(registry)
  const counts: number[] = []
  for (let turn = 0; turn < 3; turn++) {
    counts.push(asked.length)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.same(counts, [3, 6, 7])
  t.same((await scraped).samples.map(({ labels, value }) => [labels.item, value]), items.map((item, index) => [item, index + 1]))
})

t.test('two scrapes at once say the same, although a gauge has to be waited for', async (t) => {
  const registry = new Registry()
  let waiting = 0
  new Publisher(registry, '').gauge('waiting', 'Waiting', ['lane'], async () => {
    await new Promise((resolve) => setImmediate(resolve))
    return [[{ lane: 'a' }, ++waiting]]
  })
  for (const { samples } of await Promise.all([scrape(registry), scrape(registry)])) t.equal(samples.length, 1)
})

t.test('any metric can be added', async (t) => {
  const registry = new Registry()
  const publisher = new Publisher(registry, 'app_')
  publisher.add('took_seconds', (name) => new Histogram({ name, help: 'Took', buckets: [1], registers: [] }))
  t.equal((await scrape(registry)).types.get('app_took_seconds'), 'histogram')
})

t.test('a name that is taken is refused, and what was published before goes', (t) => {
  const registry = new Registry()
  const theirs = new Gauge({ name: 'app_waiting', help: 'Theirs', registers: [registry] })
  const publisher = new Publisher(registry, 'app_')
  publisher.counter('done_total', 'Done', [], () => [])
  t.throws(() => publisher.gauge('waiting', 'Waiting', [], () => []), { code: 'FST_JOBS_INVALID_OPTIONS', message: /'app_waiting' already.*'metrics\.prefix'/ })
  t.same(registry.getMetricsAsArray(), [theirs])
  t.end()
})

t.test('what is withdrawn is everything of its own, with what it included, and nothing else', (t) => {
  const registry = new Registry()
  new Counter({ name: 'theirs_total', help: 'Theirs', registers: [registry] }).inc()
  const publisher = new Publisher(registry, 'app_')
  publisher.counter('done_total', 'Done', [], () => [])
  publisher.include((register) => { new Gauge({ name: 'included', help: 'Included', registers: [register] }).set(1) })
  t.same(names(registry), ['theirs_total', 'app_done_total', 'included'])
  publisher.withdraw()
  t.same(names(registry), ['theirs_total'])
  publisher.withdraw()
  new Publisher(registry, 'app_').counter('done_total', 'Done', [], () => [])
  t.same(names(registry), ['theirs_total', 'app_done_total'])
  t.end()
})
