import t, { type Test } from 'tap'
import fastifyPostgres from '@fastify/postgres'
import type { FastifyInstance } from 'fastify'
import outbox from '../../lib/outbox/index.ts'
import { checkPostgresTransaction } from '../../lib/outbox/transaction.ts'
import { buildApp } from '../helpers/app.ts'
import { until } from '../helpers/outbox.ts'
import { postgresDatabase, type PostgresDatabase } from '../helpers/outbox-postgres.ts'

interface Setup extends PostgresDatabase {
  readonly app: FastifyInstance
  /** Payloads, as they are published. */
  readonly published: unknown[]
}

/** An app with @fastify/postgres, as `app.pg` and as `app.pg.orders`. */
function test (sentence: string, body: (t: Test, setup: Setup) => Promise<void>): void {
  t.test(sentence, async (t) => {
    const database = await postgresDatabase(t)
    if (database === undefined) return
    const app = await buildApp(t)
    const published: unknown[] = []
    await app.register(fastifyPostgres, { connectionString: database.url })
    await app.register(fastifyPostgres, { connectionString: database.url, name: 'orders' })
    await app.register(outbox, { store: database.store, every: 20, publish: ({ payload }) => { published.push(payload) } })
    await body(t, { ...database, app, published })
  })
}

test('app.pg is refused, and so is one of its named instances: their queries belong to no transaction', async (t, { app, rows }) => {
  await app.ready()
  for (const decorator of [app.pg, app.pg.orders]) {
    await t.rejects(app.outbox.add(decorator as never, 'order.placed', 1), {
      code: 'FST_JOBS_INVALID_OPTIONS',
      message: /@fastify\/postgres.*app\.pg\.connect\(\).*app\.pg\.transact\(async \(client\) => …\)/
    })
    await t.rejects(app.outbox.add(decorator!.pool as never, 'order.placed', 1), { code: 'FST_JOBS_INVALID_OPTIONS', message: /it got the Pool/ })
  }
  t.same(await rows(), [])
})

test('the client inside transact works: what is committed is published, what is rolled back is not', async (t, { app, schema, published, rows, businessRows }) => {
  await app.ready()
  for (const { transact } of [app.pg, app.pg.orders!]) {
    await t.rejects(transact(async (client) => {
      await client.query(`INSERT INTO ${schema}.business VALUES (1)`)
      await app.outbox.add(client, 'order.placed', 'rolled back')
      throw new Error('no stock')
    }), { message: 'no stock' })
    await transact(async (client) => {
      await client.query(`INSERT INTO ${schema}.business VALUES (1)`)
      await app.outbox.add(client, 'order.placed', 'committed')
    })
  }
  await until(() => published.length === 2)
  t.same(published, ['committed', 'committed'])
  t.equal((await rows()).length, 2)
  t.equal(await businessRows(), 2)
})

test('the client that connect gives works, once it began a transaction', async (t, { app, published, rows }) => {
  await app.ready()
  const client = await app.pg.connect()
  for (const end of ['ROLLBACK', 'COMMIT']) {
    await client.query('BEGIN')
    await app.outbox.add(client, 'order.placed', end)
    await client.query(end)
  }
  client.release()
  await until(() => published.length === 1)
  t.same(published, ['COMMIT'])
  t.equal((await rows()).length, 1)
})

test('the client of a route with a transaction works, whether the request succeeds or fails', async (t, { app, published, rows }) => {
  app.get('/:outcome', { pg: { transact: true } }, async (request) => {
    const { outcome } = request.params as { outcome: string }
    await app.outbox.add(request.pg!, 'order.placed', outcome)
    if (outcome === 'fails') throw new Error('no stock')
    return 'done'
  })
  t.equal((await app.inject('/fails')).statusCode, 500)
  t.equal((await app.inject('/succeeds')).statusCode, 200)
  await until(() => published.length === 1)
  t.same(published, ['succeeds'])
  t.equal((await rows()).length, 1)
})

t.test('what owns a Pool is refused, what hands its queries to a client is not', async (t) => {
  const query = async (): Promise<void> => {}
  const owners = [
    { query, pool: {} },
    { query, transact () {} },
    // The Pool of pg 6.
    { query, connect () {}, pool: { acquire () {} } },
    // A proxy of a Pool.
    new Proxy({ query, totalCount: 0, idleCount: 0 }, {})
  ]
  for (const tx of owners) t.throws(() => checkPostgresTransaction(tx), { code: 'FST_JOBS_INVALID_OPTIONS', message: /Pool/ })
  const clients = [{ query }, { query, pool: undefined }, { query, pool: null }, { query, release () {}, processID: 7 }]
  for (const tx of clients) t.doesNotThrow(() => checkPostgresTransaction(tx))
})
