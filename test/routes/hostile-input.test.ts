import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import Fastify, { type RouteOptions } from 'fastify'
import backgroundJobs, { memory, type Backend } from '../../lib/index.ts'
import { redis } from '../../lib/backends/redis/index.ts'
import { sqlite } from '../../lib/backends/sqlite/index.ts'
import { redisSpace } from '../helpers/redis.ts'

const MAX_ANSWERS = 1000
const LETTERS = MAX_ANSWERS + 50

/** As they stand in the URL; a character is a byte. */
const VALUES = [
  'Infinity', '-Infinity', '%2BInfinity', 'NaN', '1e309', '-1e309', '1e21', '9007199254740993', '-1', '-0', '0', '1.5', '1001', '0x10', '0b1', '1_000',
  '', '%205', '5%20', '+', 'null', 'true', '[]', '{}', '%5B1%5D', '*', '..', '..%2f..%2fetc%2fpasswd', '__proto__', 'constructor', 'toString',
  "'%3B%20DROP%20TABLE%20fastify_jobs_jobs%3B--", '%00', '\0', 'a%00b', '%0d%0aSet-Cookie:%20a=b', '%ff', '%c3%28', '%ed%a0%80', '\xff\xfe', '\xc3\x28', '%', '%zz', '%F0%9F%98%80',
  'x'.repeat(101), 'x'.repeat(5000), '%F0%9F%98%80'.repeat(400), '9'.repeat(400)
]

const BACKENDS: Record<string, (t: Test) => Promise<Backend | undefined>> = {
  memory: async () => memory(),
  sqlite: async (t) => {
    const module = await import('node:sqlite').catch(() => undefined)
    if (module === undefined) t.pass('on SQLite', { skip: `Node ${process.version} has no node:sqlite` })
    return module && sqlite({ path: join(t.testdir(), 'jobs.db') })
  },
  redis: async (t) => {
    const space = await redisSpace(t)
    return space && redis({ url: space.url, prefix: space.prefix })
  }
}

interface Route { readonly method: string, readonly url: string, readonly schema: Schema }

interface Schema { readonly querystring?: Part, readonly params?: Part, readonly headers?: Part, readonly body?: Part }

interface Part { readonly properties?: Record<string, { readonly type?: string, readonly minimum?: number, readonly maximum?: number }> }

/** An app with more dead letters than a request may get, and all routes that the plugin has. */
async function hostileApp (t: Test, backend: Backend) {
  // Longer parameters than by default come as far as the backend.
  const app = Fastify({ routerOptions: { maxParamLength: 2000 } })
  t.teardown(() => app.close())
  const routes: Route[] = []
  app.addHook('onRoute', ({ method, url, schema }: RouteOptions) => {
    for (const one of [method].flat()) routes.push({ method: one, url, schema: (schema ?? {}) as Schema })
  })
  await app.register(backgroundJobs, {
    queues: { default: { capacity: LETTERS, concurrency: 100, deadLetters: LETTERS, backend } },
    retry: { attempts: 1 },
    admin: { authorize: () => true }
  })
  app.jobs.define('fails', () => { throw new Error('it broke') })
  app.jobs.schedule('hourly', { cron: '0 * * * *' }, 'fails')
  const base = new URL(await app.listen({ port: 0, host: '127.0.0.1' }))
  await app.jobs.enqueueMany(Array.from({ length: LETTERS }, (_, payload) => ({ job: 'fails', payload })))
  await app.jobs.idle()
  return { app, routes, port: Number(base.port) }
}

/** What the request with every value of each parameter asks for. */
function urlsOf ({ url, schema: { querystring } }: Route): string[] {
  const inPath = Array.from(url.matchAll(/:\w+/g), ([parameter]) => VALUES.map((value) => url.replace(parameter, value))).flat()
  const path = url.replace(/:\w+/g, 'nobody')
  const inQuery = Object.keys(querystring?.properties ?? {}).flatMap((name) => [
    ...VALUES.map((value) => `${path}?${name}=${value}`),
    `${path}?${name}`, `${path}?${name}=5&${name}=6`, `${path}?${name}=5&${name}=Infinity`, `${path}?${name}[]=5`, `${path}?${name}[a]=5`
  ])
  const unknown = ['unknown=Infinity', '__proto__=5', '__proto__[limit]=Infinity', 'constructor[prototype][limit]=5', '='].map((query) => `${path}?${query}`)
  return [...inPath, ...inQuery, ...unknown]
}

/** Byte by byte: clients of Node.js refuse to send such URLs. */
async function ask (port: number, method: string, url: string): Promise<{ status: number, body: string }> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`${method} ${url} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`, 'latin1')
  const [head, body = ''] = (await text(socket)).split('\r\n\r\n')
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head!)?.[1]), body }
}

for (const [name, backendOf] of Object.entries(BACKENDS)) {
  t.test(`on ${name}, every route answers hostile parameters with 400, 404 or something bounded`, async (t) => {
    const backend = await backendOf(t)
    if (backend === undefined) return
    const { app, routes, port } = await hostileApp(t, backend)
    t.ok(routes.length >= 20)
    for (const route of routes) {
      const { method } = route
      await Promise.all(urlsOf(route).map(async (url) => {
        const { status, body } = await ask(port, method, url)
        const request = `${method} ${url.length > 200 ? `${url.slice(0, 200)}…` : url}`
        // 414 is Fastify's answer to a parameter beyond maxParamLength.
        const isUntouched = !url.includes('nobody') && !/:\w+/.test(route.url)
        t.ok([400, 404, 414].includes(status) || (isUntouched && status === 200), `${request} ${status}`)
        if (status === 200 && body.startsWith('[')) t.ok(JSON.parse(body).length <= MAX_ANSWERS, request)
      }))
    }
    t.equal((await app.jobs.deadLetters.list({ limit: 10 * LETTERS })).length, LETTERS, 'none was touched')
    t.match((await app.jobs.status()).queues.default, { paused: false })
    t.equal((await app.inject('/health/ready')).statusCode, 200)
    t.equal((await app.inject(`/jobs/admin/dead-letters?limit=${MAX_ANSWERS}`)).json().length, MAX_ANSWERS)
  })
}

t.test('every number that a route takes has bounds', async (t) => {
  const { routes } = await hostileApp(t, memory())
  const numbers = routes.flatMap(({ method, url, schema: { querystring, params, headers, body } }) =>
    [querystring, params, headers, body].flatMap((part) => Object.entries(part?.properties ?? {})
      .filter(([, { type }]) => type === 'integer' || type === 'number')
      .map(([parameter, { minimum, maximum }]) => ({ request: `${method} ${url} ${parameter}`, minimum, maximum }))))
  t.ok(numbers.length >= 2)
  for (const { request, minimum, maximum } of numbers) {
    t.ok(Number.isFinite(minimum), request)
    t.ok(Number.isFinite(maximum), request)
  }
})

t.test('numbers are read and bounded alike whatever the app does to its own schemas', async (t) => {
  for (const prepare of ['no coercion', 'another validator'] as const) {
    const app = Fastify({ ajv: { customOptions: { coerceTypes: prepare === 'no coercion' ? false : 'array' } } })
    t.teardown(() => app.close())
    if (prepare === 'another validator') app.setValidatorCompiler(() => { throw new Error('only zod here') })
    await app.register(backgroundJobs, { admin: { authorize: () => true } })
    t.equal((await app.inject('/jobs/admin/dead-letters?limit=5')).statusCode, 200)
    t.equal((await app.inject('/jobs/admin/dead-letters?limit=Infinity')).statusCode, 400)
    t.equal((await app.inject('/jobs/nobody')).statusCode, 404)
  }
})
