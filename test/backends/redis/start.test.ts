import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import '../../helpers/file-timeout.ts'
import { redis, type RedisOptions } from '../../../lib/backends/redis/index.ts'
import { buildApp, logTo } from '../../helpers/app.ts'
import { until } from '../../helpers/outbox.ts'
import { freePort, privateRedis, privateSentinel } from '../../helpers/redis.ts'

const SECRET = 'hunter2'

async function start (t: Test, options: RedisOptions, lines: any[] = []) {
  const app = await buildApp(t, { backend: redis({ connectTimeout: 1000, commandTimeout: 1000, ...options }) }, logTo(lines, 'warn'))
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  await app.ready()
  return { app, ran }
}

/** The cause of a start that has to fail: told to the log, not in the error's own message. */
async function failure (t: Test, options: RedisOptions, lines: any[] = []): Promise<string> {
  const error = await start(t, options, lines).then(() => undefined, (error) => error)
  t.match(error, { code: 'FST_JOBS_BACKEND_UNAVAILABLE', cause: Error })
  t.equal(error?.message, "Backend 'redis' of queue 'default' cannot be reached; see the cause, check its address and that it runs")
  t.notMatch(JSON.stringify(lines) + error?.stack + error?.cause?.stack, SECRET)
  return error?.cause?.message
}

function client (t: Test, url: string): Redis {
  const client = new Redis(url)
  t.teardown(() => client.disconnect())
  return client
}

t.test('a database that cannot be selected fails the start and is named, and nothing goes to database 0', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const admin = client(t, server.url)
  await admin.call('ACL', 'SETUSER', 'app', 'on', `>${SECRET}`, '~*', '+@all', '-select')
  const lines: any[] = []
  t.match(await failure(t, { url: `${server.url}/99` }, lines), new RegExp(`127\\.0\\.0\\.1:${server.port} within 1000 ms: database 99 cannot be selected: ERR DB index is out of range$`))
  t.ok(lines.some(({ err }) => /^database 99 cannot be selected/.test(err.message)), 'the log names it, too')
  t.match(await failure(t, { connection: { port: server.port, db: 99 } }), /database 99 cannot be selected/)
  t.match(await failure(t, { connection: client(t, `${server.url}/99`).on('error', () => {}) }), /database 99 cannot be selected/)
  t.match(await failure(t, { url: `redis://app:${SECRET}@127.0.0.1:${server.port}/2` }), /database 2 cannot be selected: NOPERM/)
  t.equal(await admin.dbsize(), 0)
})

t.test('that holds where ioredis checks nothing and tells the server nothing of itself', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  for (const enableReadyCheck of [true, false]) {
    t.match(await failure(t, { connection: { port: server.port, db: 99, disableClientInfo: true, enableReadyCheck } }), /database 99 cannot be selected/)
  }
})

t.test('a database that can no longer be selected after a reconnect is waited for, and no connection works in database 0 meanwhile', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const admin = client(t, server.url)
  await admin.call('ACL', 'SETUSER', 'app', 'on', `>${SECRET}`, '~*', '+@all')
  const { app, ran } = await start(t, { url: `redis://app:${SECRET}@127.0.0.1:${server.port}/3` })
  await app.jobs.enqueue('work', 'before')
  await until(() => ran.length === 1)
  const { app: elsewhere } = await start(t, { url: server.url })
  elsewhere.jobs.pause()
  await elsewhere.jobs.enqueue('work', 'in database 0')
  const refusals = async () => Number(/errorstat_NOPERM:count=(\d+)/.exec(await admin.info('errorstats'))?.[1] ?? 0)
  await admin.call('ACL', 'SETUSER', 'app', '-select')
  await admin.client('KILL', 'USER', 'app')
  // Three connections, each of which tries again and again.
  await until(async () => await refusals() >= 12)
  await t.rejects(app.jobs.enqueue('work', 'refused'), { code: 'FST_JOBS_BACKEND_UNAVAILABLE', cause: /database 3 cannot be selected: NOPERM/ })
  t.match((await elsewhere.jobs.status()).queues.default, { queueDepth: 1, inFlight: 0 })
  await admin.call('ACL', 'SETUSER', 'app', '+select')
  await until(() => app.jobs.enqueue('work', 'after').then(() => true, () => false))
  await until(() => ran.length === 2)
  t.same(ran, ['before', 'after'])
})

t.test('a refused password is named as such, also where a database is to be selected, and a missing one as well', async (t) => {
  const server = await privateRedis(t, '--requirepass', 'another')
  if (server === undefined) return
  t.match(await failure(t, { url: `redis://:${SECRET}@127.0.0.1:${server.port}/2` }), /WRONGPASS/)
  t.match(await failure(t, { connection: { port: server.port, db: 2, password: SECRET, disableClientInfo: true } }), /WRONGPASS/)
  t.match(await failure(t, { url: `${server.url}/2` }), /NOAUTH Authentication required/)
})

t.test('sentinels are named as sentinels, with their master', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  const closed = [await freePort(), await freePort()]
  const sentinels = closed.map((port) => ({ host: '127.0.0.1', port }))
  const expected = new RegExp(`no connection to master 'main' of the sentinels 127\\.0\\.0\\.1:${closed[0]}, 127\\.0\\.0\\.1:${closed[1]} within 1000 ms: All sentinels are unreachable`)
  t.match(await failure(t, { connection: { sentinels, name: 'main' } }), expected)
  const given = new Redis({ sentinels, name: 'main', lazyConnect: true })
  t.teardown(() => given.disconnect())
  t.match(await failure(t, { connection: given }), expected)
  t.match(await failure(t, { connection: { sentinels: [{}], name: 'main' } }), "master 'main' of the sentinels localhost:26379 within")

  const port = await privateSentinel(t, 'main', server.port)
  const sentinel = { host: '127.0.0.1', port }
  t.match(await failure(t, { connection: { sentinels: [sentinel], name: 'another' } }), /master 'another' of the sentinels .*No such master/)
  t.match(await failure(t, { connection: { sentinels: [sentinel], name: 'main', db: 99 } }), /master 'main' of the sentinels .*database 99 cannot be selected/)
  const { app, ran } = await start(t, { connection: { sentinels: [sentinel], name: 'main' }, connectTimeout: 8000 })
  await app.jobs.enqueue('work', 1)
  await until(() => ran.length === 1)
})

t.test('a replica fails the start, and one that becomes a master in time does not', async (t) => {
  const server = await privateRedis(t, '--replicaof', '127.0.0.1', '1')
  if (server === undefined) return
  t.match(await failure(t, { url: server.url }), new RegExp(`^127\\.0\\.0\\.1:${server.port} stores no jobs: READONLY`))
  const admin = client(t, server.url)
  const refusals = async () => Number(/errorstat_READONLY:count=(\d+)/.exec(await admin.info('errorstats'))![1])
  const before = await refusals()
  const started = start(t, { url: server.url, connectTimeout: 8000 })
  await until(async () => await refusals() > before)
  await admin.replicaof('NO', 'ONE')
  const { app } = await started
  t.equal((await app.jobs.enqueue('work', 1)).status, 'enqueued')
})

t.test('a user who may not write fails the start', async (t) => {
  const server = await privateRedis(t)
  if (server === undefined) return
  await client(t, server.url).call('ACL', 'SETUSER', 'app', 'on', `>${SECRET}`, '~other:*', '+@all')
  t.match(await failure(t, { url: `redis://app:${SECRET}@127.0.0.1:${server.port}` }), /stores no jobs: NOPERM/)
})

t.test('a node of a cluster without a Cluster fails the start, which says what to give', async (t) => {
  const server = await privateRedis(t, '--cluster-enabled', 'yes')
  if (server === undefined) return
  const hint = new RegExp(`^127\\.0\\.0\\.1:${server.port} is a node of a cluster, give a Cluster of ioredis as 'connection': `)
  const down = await failure(t, { url: server.url })
  t.match(down, hint)
  t.match(down, /CLUSTERDOWN/)
  const node = client(t, server.url)
  await node.cluster('ADDSLOTSRANGE', 0, 16383)
  await until(async () => String(await node.cluster('INFO')).includes('cluster_state:ok'))
  t.match(await failure(t, { url: server.url }), /CROSSSLOT/)
})

t.test('a cluster that is away is named as one, with the nodes that were tried', async (t) => {
  const given = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true })
  given.on('error', () => {})
  t.teardown(() => given.disconnect())
  t.match(await failure(t, { connection: given }), /no connection to the cluster within 1000 ms: 127\.0\.0\.1:1: /)
})

t.test('what is no Redis is told apart', async (t) => {
  const listen = async (onConnection: (socket: Socket) => void) => {
    const server = createServer(onConnection).listen(0, '127.0.0.1')
    t.teardown(() => server.close())
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const http = await listen((socket) => socket.on('error', () => {}).on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')))
  t.match(await failure(t, { url: `redis://127.0.0.1:${http}` }), /Protocol error, got "H"/)
  const closing = await listen((socket) => socket.on('error', () => {}).end())
  t.match(await failure(t, { url: `redis://127.0.0.1:${closing}` }), /the server closes it; check that it is Redis, and whether it wants TLS/)
  const silent = await listen((socket) => socket.on('error', () => {}).resume())
  t.match(await failure(t, { url: `rediss://127.0.0.1:${silent}` }), `no connection to 127.0.0.1:${silent} with TLS within`)
})

t.test('a server whose addresses all refuse the connection is named, with the reason', async (t) => {
  const lookup = (_host: string, _options: object, found: (error: null, addresses: object[]) => void) => {
    found(null, [{ address: '127.0.0.1', family: 4 }, { address: '127.0.0.2', family: 4 }])
  }
  t.match(await failure(t, { connection: { host: 'jobs.example', port: await freePort(), tls: { lookup } as never } }), /jobs\.example:\d+ with TLS within 1000 ms: ECONNREFUSED/)
})

t.test('a URL that cannot be read is refused without a word of it', async (t) => {
  const wrong = [
    `redis://user:${SECRET}/1@localhost:6379`, `redis://user:12/${SECRET}@localhost`, `redis://user:12#${SECRET}@localhost`, `redis://user:12?${SECRET}@localhost`,
    `redis://user:${SECRET}%@localhost`, `redis://:${SECRET}/@localhost`, `redis://user:${SECRET}@localhost:65536`, `http://user:${SECRET}@localhost`,
    `redis://user:${SECRET}@localhost/jobs`, `redis://user:${SECRET}@localhost//`, `redis://user:${SECRET}@localhost?db=jobs`
  ]
  for (const url of wrong) {
    let thrown: any
    try { redis({ url }) } catch (error) { thrown = error }
    t.match(thrown, { code: 'FST_JOBS_INVALID_OPTIONS', message: /option 'url'/, cause: undefined }, url)
    t.notMatch(thrown?.stack, new RegExp(`${SECRET}|localhost`), url)
    if (url.startsWith('redis:')) t.match(thrown?.message, /percent-encode special characters of the user and the password/, url)
  }
  const right = ['redis://localhost', 'redis://localhost/', 'rediss://u:p%2Fw%25@localhost:6380/3', 'redis://localhost/3/', 'redis://[::1]:6379?family=6&db=2', 'redis://u:p@ss w@localhost']
  for (const url of right) t.doesNotThrow(() => redis({ url }), url)
})

t.test('connection options that ioredis would not act on are refused', async (t) => {
  const cluster = new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true, redisOptions: { db: 2 } as never })
  t.teardown(() => cluster.disconnect())
  const wrong: [unknown, RegExp][] = [
    [{ db: 'jobs' }, /'connection.db' must be the number of a database, got string/],
    [{ db: -1 }, /'connection.db' must be the number of a database, got -1/],
    [{ db: '' }, /'connection.db' must be the number of a database/],
    [cluster, /database 2 cannot be selected, a cluster has database 0 only/],
    [{ sentinels: [], name: 'main' }, /'connection.sentinels' needs a sentinel/],
    [{ sentinels: [{ host: '127.0.0.1' }] }, /'connection.name' the name of their master/]
  ]
  for (const [connection, message] of wrong) t.throws(() => redis({ connection } as never), { code: 'FST_JOBS_INVALID_OPTIONS', message })
  for (const db of [undefined, null, 0, '3']) t.doesNotThrow(() => redis({ connection: { db } } as never))
})
