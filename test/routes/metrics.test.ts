import t from 'tap'
import { Registry } from 'prom-client'
import { buildApp } from '../helpers/app.ts'
import { parseExposition } from '../helpers/prometheus.ts'

t.test('GET /metrics answers in the Prometheus text format', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject('/metrics')
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], Registry.PROMETHEUS_CONTENT_TYPE)
  t.equal(parseExposition(response.body).value('jobs_queue_capacity', { queue: 'default' }), 1000)
})

t.test('the path is free, the root included', async (t) => {
  for (const path of ['/', '/internal/prometheus']) {
    const app = await buildApp(t, { metrics: { path } })
    t.match((await app.inject(path)).body, /# TYPE jobs_queued_total counter/)
    t.equal((await app.inject('/metrics')).statusCode, 404)
  }
})

t.test('path: false registers no route, and the metrics are in the registry', async (t) => {
  const registry = new Registry()
  const app = await buildApp(t, { metrics: { path: false, registry } })
  t.equal((await app.inject('/metrics')).statusCode, 404)
  t.match(await registry.metrics(), /jobs_queued_total/)
})

t.test('metrics: false registers neither', async (t) => {
  const app = await buildApp(t, { metrics: false })
  t.equal((await app.inject('/metrics')).statusCode, 404)
})
