import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import '../helpers/file-timeout.ts'
import pg from 'pg'
import type { FastifyInstance } from 'fastify'
import { NonRetryableError } from '../../lib/index.ts'
import { postgres, type OutboxEvent, type Publish } from '../../lib/outbox/index.ts'
import { deferred, logTo } from '../helpers/app.ts'
import { spawnModule } from '../helpers/child.ts'
import { outboxApp, until } from '../helpers/outbox.ts'
import { parseExposition } from '../helpers/prometheus.ts'
import { postgresDatabase } from '../helpers/outbox-postgres.ts'
import { sqliteDatabase } from '../helpers/outbox-sqlite.ts'
import type { Database, Engine } from '../helpers/outbox-store-suite.ts'

const ENGINES: readonly Engine[] = [{ name: 'PostgreSQL', create: postgresDatabase }, { name: 'SQLite', create: sqliteDatabase }]

function test (sentence: string, body: (t: Test, database: Database) => Promise<void>): void {
  for (const { name, create } of ENGINES) {
    t.test(`${name}: ${sentence}`, async (t) => {
      const database = await create(t)
      if (database !== undefined) await body(t, database)
    })
  }
}

/** One transaction of the business; the ids of its events, one a key. */
function place (app: FastifyInstance, database: Database, ...keys: string[]): Promise<string[]> {
  return database.transaction(async (tx, insertBusinessRow) => {
    await insertBusinessRow()
    const ids: string[] = []
    for (const key of keys) ids.push(await app.outbox.add(tx, 'order.placed', { key }, { key }))
    return ids
  })
}

const allPublished = (database: Database) => async (): Promise<boolean> => (await database.rows()).every(({ state }) => state === 'published')

function byKey (events: readonly OutboxEvent[]): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const { key, id } of events) (found[key] ??= []).push(id)
  return found
}

test('events are published once their transaction has committed, the stream in order', async (t, database) => {
  const seen: OutboxEvent[] = []
  const app = await outboxApp(t, { store: database.store, every: 10, publish: (event) => { seen.push(event) } })
  await app.ready()
  const ids = [...await place(app, database, '', ''), ...await place(app, database, '')]
  await t.rejects(database.transaction(async (tx) => {
    await app.outbox.add(tx, 'order.placed', 'never')
    throw new Error('rolled back')
  }), { message: 'rolled back' })
  await until(() => seen.length === 3)
  await until(allPublished(database))
  t.same(seen.map(({ id }) => id), ids)
  t.match(seen[0], { type: 'order.placed', payload: { key: '' }, attempt: 1 })
})

test('an event that fails is tried again, and parked in the end; a retry by hand publishes it', async (t, database) => {
  const attempts: Record<string, number[]> = {}
  const parked: unknown[] = []
  let isDown = true
  const app = await outboxApp(t, {
    store: database.store,
    every: 10,
    attempts: 3,
    backoff: { delay: 1 },
    onParked: ({ id }, error) => { parked.push([id, error.message]) },
    publish ({ id, key, attempt }) {
      (attempts[id] ??= []).push(attempt)
      if (key === 'a' && isDown) throw new Error(`attempt ${attempt}: the broker is down`)
    }
  })
  await app.ready()
  const [a, b, removed] = await place(app, database, 'a', 'b', 'a')
  await until(() => parked.length === 2)
  t.same(attempts, { [a!]: [1, 2, 3], [b!]: [1], [removed!]: [1, 2, 3] })
  t.same(parked, [[a, 'attempt 3: the broker is down'], [removed, 'attempt 3: the broker is down']])
  t.match(await app.outbox.parked.list(), [{ id: a, attempts: 3, lastError: 'attempt 3: the broker is down' }, { id: removed }])
  const { value } = parseExposition((await app.inject('/metrics')).body)
  t.equal(value('jobs_outbox_parked', { outbox: 'outbox' }), 2)
  t.equal(value('jobs_outbox_pending', { outbox: 'outbox' }), 0)
  t.equal(value('jobs_outbox_failed_total', { outbox: 'outbox' }), 6)
  isDown = false
  t.equal(await app.outbox.parked.remove(removed!), true)
  t.equal(await app.outbox.parked.retry(a!), true)
  await until(allPublished(database))
  t.same(attempts[a!], [1, 2, 3, 1])
})

test('several relays share one outbox: each event is published once, those of a key in order', async (t, database) => {
  const seen: OutboxEvent[] = []
  const inFlight = new Set<string>()
  const failedOnce = new Set<string>()
  const overlaps: string[] = []
  const publish: Publish = async (event) => {
    if (inFlight.has(event.key)) overlaps.push(event.key)
    inFlight.add(event.key)
    await new Promise((resolve) => setImmediate(resolve))
    inFlight.delete(event.key)
    if (Number((event.payload as { key: string }).key) % 5 === 0 && !failedOnce.has(event.id) && seen.length % 7 === 0) {
      failedOnce.add(event.id)
      throw new Error('sometimes')
    }
    seen.push(event)
  }
  const relay = { store: database.store, every: 5, batchSize: 20, backoff: { delay: 5 }, publish }
  const apps = [await outboxApp(t, relay), await outboxApp(t, relay), await outboxApp(t, relay)]
  for (const app of apps) await app.ready()
  const added: Record<string, string[]> = {}
  for (let round = 0; round < 50; round++) {
    const keys = Array.from({ length: 10 }, (_, index) => String((round * 3 + index * index) % 12))
    const ids = await place(apps[0]!, database, ...keys)
    keys.forEach((key, index) => (added[key] ??= []).push(ids[index]!))
  }
  await until(allPublished(database))
  t.equal(seen.length, 500)
  t.same(byKey(seen), added)
  t.same(overlaps, [])
})

test('a relay that stops in the middle of a batch stores what it did, and another one goes on', async (t, database) => {
  const seen: string[] = []
  const [arrived, gate] = [deferred(), deferred()]
  const first = await outboxApp(t, {
    store: database.store,
    every: 10,
    async publish ({ id }) {
      seen.push(id)
      if (seen.length < 2) return
      arrived.resolve()
      await gate.promise
    }
  })
  const ids = await place(first, database, '', '', '', '')
  await first.ready()
  await arrived.promise
  const closing = first.close()
  await until(async () => (await first.jobs.status()).isStopping)
  gate.resolve()
  await closing
  t.same((await database.rows()).map(({ state }) => state), ['published', 'published', 'pending', 'pending'])
  const second = await outboxApp(t, { store: database.store, every: 10, publish: ({ id }) => { seen.push(id) } })
  await second.ready()
  await until(allPublished(database))
  t.same(seen, ids)
})

test('backpressure of the queue leaves events where they are until there is room', async (t, database) => {
  const app = await outboxApp(t, { store: database.store, every: 10, job: 'handle' }, { queues: { default: { capacity: 1, concurrency: 1, fullMode: 'reject' } } })
  const gate = deferred()
  const seen: unknown[] = []
  app.jobs.define('handle', async (payload, { job }) => {
    await gate.promise
    seen.push([job.id, payload.payload.key])
  })
  const ids = await place(app, database, '', '', '', '')
  await app.ready()
  await until(async () => (await database.rows()).filter(({ state }) => state === 'published').length >= 1)
  t.ok((await database.rows()).filter(({ state }) => state === 'pending').every(({ attempts }) => attempts === 0))
  gate.resolve()
  await until(() => seen.length === 4)
  t.same(seen, ids.map((id) => [id, '']))
})

t.test('PostgreSQL: a relay whose connection is terminated goes on, and nothing is lost', async (t) => {
  const database = await postgresDatabase(t)
  if (database === undefined) return
  const { pool, schema, url } = database
  const name = `relay-${schema}`
  const own = new pg.Pool({ connectionString: url, application_name: name })
  own.on('error', () => {})
  t.teardown(() => own.end())
  const isTold = deferred()
  own.on('connect', (client) => client.on('error', () => isTold.resolve()))
  const lines: any[] = []
  const seen: string[] = []
  const app = await outboxApp(t, {
    store: postgres({ pool: own, schema }),
    every: 10,
    async publish ({ id }) {
      seen.push(id)
      if (seen.length !== 2) return
      await pool.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [name])
      // The relay's own listener comes after this one, and before this goes on.
      await isTold.promise
    }
  }, {}, logTo(lines))
  const ids = await place(app, database, '', '', '')
  await app.ready()
  await until(allPublished(database))
  t.same(seen, [ids[0], ids[1], ...ids], 'the batch ends with its connection and is published again, with the same ids')
  t.match(lines, [{ service: 'outbox', msg: /pass of the polling service failed/ }])
})

const LIB = new URL('../../lib/', import.meta.url).href

interface Child {
  readonly process: ChildProcess
  /** The ids that it has published, read from its file. */
  published (): Promise<string[]>
  /** Resolves once it says that it hangs in its third publish. */
  readonly hangs: Promise<void>
}

/** A relay in a process of its own, which publishes into a file and hangs in its third publish for as long as it is told. */
async function startChild (t: Test, database: Database, hang: string): Promise<Child> {
  const folder = await mkdtemp(join(tmpdir(), 'relay-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'published')
  const source = `
    import { openSync, writeSync, fsyncSync } from 'node:fs'
    import Fastify from 'fastify'
    import pg from 'pg'
    import backgroundJobs from '${LIB}index.ts'
    import outbox, { postgres, sqlite } from '${LIB}outbox/index.ts'
    const app = Fastify()
    const file = openSync('${file}', 'a')
    let count = 0
    await app.register(backgroundJobs)
    await app.register(outbox, {
      store: ${database.storeSource},
      every: 20,
      timeout: 500,
      async publish ({ id }) {
        writeSync(file, id + '\\n')
        fsyncSync(file)
        if (++count !== 3) return
        console.log('hangs')
        ${hang}
      }
    })
    await app.listen({ host: '127.0.0.1', port: 0 })`
  const child = spawnModule(source)
  child.stderr!.pipe(process.stderr)
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const hangs = (async () => {
    for await (const line of createInterface({ input: child.stdout! })) if (line === 'hangs') return
    throw new Error('the child ended early')
  })()
  return { process: child, hangs, published: async () => (await readFile(file, 'utf8')).trim().split('\n') }
}

async function relayBeside (t: Test, database: Database, seen: string[]): Promise<FastifyInstance> {
  const app = await outboxApp(t, { store: database.store, every: 20, publish: ({ id }) => { seen.push(id) } })
  await app.ready()
  return app
}

test('kill -9 of a relay between publish and mark loses nothing, and duplicates carry the same id', async (t, database) => {
  const writer = await outboxApp(t, { store: database.store, every: 86_400_000, publish: () => { throw new NonRetryableError('not this one') } })
  const ids = await place(writer, database, '', '', '', '', '')
  const child = await startChild(t, database, 'for (;;) {}')
  await child.hangs
  child.process.kill('SIGKILL')
  await once(child.process, 'exit')
  t.same(await child.published(), ids.slice(0, 3))
  t.ok((await database.rows()).every(({ state, attempts }) => state === 'pending' && attempts === 0), 'nothing was marked')
  const seen: string[] = []
  await relayBeside(t, database, seen)
  await until(allPublished(database))
  t.same(seen, ids, 'in order, the first three for the second time')
})

test('a relay that stands still gives up its events, and changes nothing when it wakes up', async (t, database) => {
  const writer = await outboxApp(t, { store: database.store, every: 86_400_000, publish: () => { throw new NonRetryableError('not this one') } })
  const ids = await place(writer, database, '', '', '', '', '')
  const child = await startChild(t, database, 'await new Promise((resolve) => setTimeout(resolve, 200))')
  await child.hangs
  child.process.kill('SIGSTOP')
  const seen: string[] = []
  const beside = await relayBeside(t, database, seen)
  await until(allPublished(database))
  t.same(seen, ids)
  await beside.close()
  const before = await database.rows()
  child.process.kill('SIGCONT')
  const [late] = await place(writer, database, '')
  await until(allPublished(database))
  t.same((await database.rows()).slice(0, 5), before)
  t.same(await child.published(), [...ids.slice(0, 3), late], 'it began nothing more of its old batch')
})
