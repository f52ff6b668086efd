import t from 'tap'
import { memory } from '../../lib/index.ts'
import { buildApp } from '../helpers/app.ts'

t.test('GET /health/live says that the process serves', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject('/health/live')
  t.equal(response.statusCode, 200)
  t.same(response.json(), { status: 'alive' })
})

t.test('GET /health/ready is 200 with no reasons when all is well', async (t) => {
  const app = await buildApp(t)
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 200)
  t.same(response.json(), { status: 'healthy', reasons: [] })
})

t.test('GET /health/ready is 200 when degraded and 503 when unhealthy, with the reasons', async (t) => {
  const app = await buildApp(t, { queues: { default: { capacity: 4 } }, health: { degraded: 0.5, unhealthy: 1 } })
  app.jobs.define('any', async () => {})
  await app.ready()
  app.jobs.pause()
  for (let index = 0; index < 3; index++) await app.jobs.enqueue('any', index)
  const degraded = await app.inject('/health/ready')
  t.equal(degraded.statusCode, 200)
  t.same(degraded.json(), { status: 'degraded', reasons: ["queue 'default' is filling: 3 of 4"] })
  await app.jobs.enqueue('any', 3)
  const unhealthy = await app.inject('/health/ready')
  t.equal(unhealthy.statusCode, 503)
  t.same(unhealthy.json(), { status: 'unhealthy', reasons: ["queue 'default' is nearly full: 4 of 4"] })
})

t.test('a backend out of reach is a 503, and the process still lives', async (t) => {
  const backend = Object.assign(memory(), { stats (): never { throw new Error('connection refused at 10.0.0.7') } })
  const app = await buildApp(t, { backend })
  const response = await app.inject('/health/ready')
  t.equal(response.statusCode, 503)
  t.same(response.json(), { status: 'unhealthy', reasons: ["backend 'memory' of queue 'default' is out of reach"] })
  t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('the path is free, the root and a trailing slash included', async (t) => {
  for (const [path, base] of [['/', ''], ['/probe', '/probe'], ['/probe/', '/probe']] as const) {
    const app = await buildApp(t, { health: { path } })
    t.equal((await app.inject(`${base}/live`)).statusCode, 200)
    t.equal((await app.inject(`${base}/ready`)).statusCode, 200)
    t.equal((await app.inject(base || '/')).statusCode, 200)
    t.equal((await app.inject('/health/live')).statusCode, 404)
  }
})

t.test('health: false registers no route', async (t) => {
  const app = await buildApp(t, { health: false })
  t.equal((await app.inject('/health/live')).statusCode, 404)
  t.equal((await app.inject('/health/ready')).statusCode, 404)
})
