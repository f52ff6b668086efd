import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import '../helpers/file-timeout.ts'
import pg from 'pg'
import { systemClock } from '../../lib/clock.ts'
import { postgres, type PostgresStoreOptions } from '../../lib/outbox/index.ts'
import { PostgresConnection } from '../../lib/outbox/postgres-connection.ts'
import { createTable, statements } from '../../lib/outbox/postgres-sql.ts'
import { PostgresStore } from '../../lib/outbox/postgres-store.ts'
import { uuid } from '../../lib/uuid.ts'
import { deferred, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { until } from '../helpers/outbox.ts'
import { postgresDatabase, type PostgresDatabase } from '../helpers/outbox-postgres.ts'
import { TcpProxy } from '../helpers/tcp-proxy.ts'
import { add, published } from '../helpers/outbox-store-suite.ts'

const HOLD = 60_000

function test (sentence: string, body: (t: Test, database: PostgresDatabase) => Promise<void>, options?: Partial<PostgresStoreOptions>): void {
  t.test(sentence, async (t) => {
    const database = await postgresDatabase(t, options)
    if (database !== undefined) await body(t, database)
  })
}

/** A pool of somebody who may use the tables that are there, and create none. */
async function restrictedPool (t: Test, { pool, schema, url }: PostgresDatabase): Promise<pg.Pool> {
  const role = `${schema}_app`
  await pool.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA ${schema} TO ${role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`)
  const restricted = new pg.Pool({ connectionString: url, options: `-c role=${role}` })
  t.teardown(async () => {
    await restricted.end()
    await pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  })
  return restricted
}

t.test('wrong options are named', async (t) => {
  const pool = { connect: async () => { throw new Error('not called') } }
  const wrong: [unknown, RegExp][] = [
    [undefined, /got undefined/],
    [{}, /required property 'pool'/],
    [{ pool: {} }, /option 'pool'.*'connect'/],
    [{ pool, schema: 'a"b' }, /option 'schema'/],
    [{ pool, table: 'a-b' }, /option 'table'/],
    [{ pool, table: 'x'.repeat(49) }, /option 'table'/],
    [{ pool, createTable: 1 }, /option 'createTable' must be boolean, got 1/],
    [{ pool, path: 'x' }, /unknown option 'path'/]
  ]
  for (const [options, message] of wrong) t.throws(() => postgres(options as never), { code: 'FST_JOBS_INVALID_OPTIONS', message })
})

test('names that SQL has a use for, and capitals, are fine', async (t, database) => {
  const store = await database.store.open()
  await add(database, store, '')
  t.equal((await database.rows()).length, 1)
}, { table: 'Order' })

test('with createTable: false the table is the user’s to create', async (t, { pool, schema }) => {
  const { open } = postgres({ pool, schema, createTable: false })
  await t.rejects(open(), { message: /does not exist/ })
  await pool.query(createTable({ schema, table: 'outbox_events' }))
  await t.resolves(open())
})

test('a table of another shape fails the opening', async (t, { pool, schema }) => {
  await pool.query(`CREATE TABLE ${schema}.outbox_events (id int)`)
  await t.rejects(postgres({ pool, schema }).open(), { message: /column "seq" does not exist/ })
})

test('a schema that is not there fails the opening', async (t, { pool, schema }) => {
  await t.rejects(postgres({ pool, schema: `${schema}_not` }).open(), { code: '3F000' })
  t.equal(pool.idleCount, pool.totalCount)
})

test('who may not create tables can use the one that is there', async (t, database) => {
  const { pool, schema, store } = database
  await store.open()
  const restricted = await restrictedPool(t, database)
  const opened = await postgres({ pool: restricted, schema }).open()
  await pool.query(`INSERT INTO ${schema}.outbox_events (id, type, payload) VALUES ('${uuid()}', 'from SQL', '{}')`)
  t.equal((await opened.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))).length, 1)
})

test('the Pool, or what is no client, is refused', async (t, { pool, store }) => {
  const opened = await store.open()
  const never = (): never => { throw new Error('not called') }
  await t.rejects(async () => opened.add(pool, never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /Pool.*pool\.connect\(\)/ })
  for (const [tx, got] of [[undefined, /got undefined/], [null, /got null/], ['client', /got string/], [{ prepare () {} }, /got object without 'query'/]] as const) {
    await t.rejects(async () => opened.add(tx, never), { code: 'FST_JOBS_INVALID_OPTIONS', message: got })
  }
})

test('an event whose transaction commits late comes late, and is not lost', async (t, database) => {
  const store = await database.store.open()
  const [added, gate] = [deferred<string>(), deferred()]
  const late = database.transaction(async (tx) => {
    added.resolve(await store.add(tx, () => ({ id: uuid(), type: 'x', key: '', payload: '{}' })))
    await gate.promise
  })
  const first = await added.promise
  const [second] = await add(database, store, '')
  t.same((await store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))).map(({ event }) => event.id), [second])
  gate.resolve()
  await late
  t.same((await store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))).map(({ event }) => event.id), [first])
})

/** Runs the statement that locks heads, held up between its snapshot and its locks while `meanwhile` happens. */
async function lockHeadsWhile (t: Test, { pool, schema }: PostgresDatabase, meanwhile: () => Promise<unknown>): Promise<string[]> {
  const gate = Math.floor(Math.random() * 2 ** 31)
  const sql = statements({ schema, table: 'outbox_events' })
  const gatekeeper = await pool.connect()
  const client = await pool.connect()
  t.teardown(() => [gatekeeper, client].forEach((one) => one.release(true)))
  const { rows: [{ pid }] } = await client.query('SELECT pg_backend_pid() AS pid')
  await gatekeeper.query('SELECT pg_advisory_lock($1)', [gate])
  await client.query('BEGIN ISOLATION LEVEL READ COMMITTED')
  const held = sql.read.replace('FOR UPDATE', `AND pg_advisory_lock(${gate})::text IS NOT NULL FOR UPDATE`)
  const locking = client.query(held, [[''], [0], 1, 1000])
  await until(async () => (await pool.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'advisory'", [pid])).rowCount === 1)
  await meanwhile()
  await gatekeeper.query('SELECT pg_advisory_unlock($1)', [gate])
  return (await locking).rows.filter(({ id }) => id !== null).map(({ key }) => key)
}

test('a head that another relay finished after this one looked is checked again, and left alone', async (t, database) => {
  const store = await database.store.open()
  await add(database, store, '', '')
  t.same(await lockHeadsWhile(t, database, () => store.batch({ limit: 1, hold: HOLD }, async (events) => events.map(published))), [])
})

test('a head that another relay put off after this one looked is checked again, and left alone', async (t, database) => {
  const store = await database.store.open()
  await add(database, store, '', '')
  t.same(await lockHeadsWhile(t, database, () => store.batch({ limit: 1, hold: HOLD }, async ([event]) => [{ event: event!, state: 'failed', error: new Error('no'), message: 'no', delay: 60_000 }])), [])
})

test('in a database whose transactions are serializable by default, too', async (t, database) => {
  const pool = new pg.Pool({ connectionString: database.url, options: '-c default_transaction_isolation=serializable' })
  t.teardown(() => pool.end())
  const store = await database.store.open()
  await add(database, store, '', '')
  t.same(await lockHeadsWhile(t, { ...database, pool }, () => store.batch({ limit: 1, hold: HOLD }, async (events) => events.map(published))), [])
})

test('a head that nobody touched after this relay looked is its own', async (t, database) => {
  const store = await database.store.open()
  await add(database, store, '', '')
  t.same(await lockHeadsWhile(t, database, async () => {}), [''])
})

/** A store with a connection of its own, whose prepared statements can be seen. */
async function withOneConnection (t: Test, { schema, url }: PostgresDatabase) {
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  t.teardown(() => pool.end())
  const store = await postgres({ pool, schema }).open()
  const batch = async (): Promise<string[]> => (await store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))).map(({ event }) => event.id)
  const prepared = async (): Promise<string[]> => (await pool.query("SELECT name FROM pg_prepared_statements WHERE name LIKE 'outbox%'")).rows.map(({ name }) => name)
  return { pool, store, batch, prepared }
}

test('the statement that reads is planned once a connection', async (t, database) => {
  const { store, batch, prepared } = await withOneConnection(t, database)
  const first = await add(database, store, '')
  t.same(await batch(), first)
  const second = await add(database, store, '')
  t.same(await batch(), second)
  t.equal((await prepared()).length, 1)
})

test('behind a pooler whose connections have not prepared what this one has, a batch reads all the same', async (t, database) => {
  const { pool, store, batch, prepared } = await withOneConnection(t, database)
  await batch()
  await add(database, store, '')
  await batch()
  await pool.query('DEALLOCATE ALL')
  const ids = await add(database, store, '')
  t.same(await batch(), ids, 'handed out once, in the batch that found out')
  t.same(await batch(), [])
  t.same(await prepared(), [], 'and prepares nothing any more')
})

test('behind a pooler whose connections have prepared the statement before the table was changed, a batch reads all the same', async (t, database) => {
  const { pool, store, batch } = await withOneConnection(t, database)
  await add(database, store, '')
  await batch()
  await pool.query(`ALTER TABLE ${database.schema}.outbox_events ALTER COLUMN attempts TYPE bigint`)
  const ids = await add(database, store, '')
  t.same(await batch(), ids)
})

test('behind a pooler whose connections have prepared what this one has not, a batch reads all the same', async (t, database) => {
  const before = await withOneConnection(t, database)
  await add(database, before.store, '')
  await before.batch()
  const [name] = await before.prepared()
  const { pool, store, batch } = await withOneConnection(t, database)
  await pool.query(`PREPARE ${name} AS SELECT 1`)
  pool.on('connect', (client) => client.query(`PREPARE ${name} AS SELECT 1`))
  const ids = await add(database, store, '')
  t.same(await batch(), ids)
})

test('a relay that sleeps for longer than its hold loses the batch, and tells it to stop', async (t, database) => {
  const store = await database.store.open()
  const ids = await add(database, store, '', '')
  await t.rejects(store.batch({ limit: 10, hold: 100 }, async (events, batch) => {
    await until(() => batch.isLost)
    return events.map(published)
  }))
  t.match(await database.rows(), ids.map((id) => ({ id, state: 'pending' })))
})

test('a terminated connection loses the batch and nothing else', async (t, { pool, schema, url, ...database }) => {
  const name = `relay-${schema}`
  const own = new pg.Pool({ connectionString: url, application_name: name })
  own.on('error', () => {})
  t.teardown(() => own.end())
  const store = await postgres({ pool: own, schema }).open()
  const ids = await add(database, store, '', '')
  await t.rejects(store.batch({ limit: 10, hold: HOLD }, async (events, batch) => {
    await pool.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', [name])
    await until(() => batch.isLost)
    return events.map(published)
  }))
  t.equal((await store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))).length, ids.length)
  t.equal(own.idleCount, own.totalCount)
})

t.test('a client that fails is given back as broken, and may go on failing', async (t) => {
  const released: unknown[] = []
  let isBroken = false
  const client = Object.assign(new EventEmitter(), {
    query: async () => {
      if (isBroken) throw new Error('connection reset')
      return { rows: [{ exists: true, has_seq_index: true, collation: 'C' }], rowCount: 1 }
    },
    release: (error: unknown) => { released.push(error) }
  })
  const store = await postgres({
    pool: { connect: async () => client }
  }).open()
  released.length = 0
  isBroken = true
  await t.rejects(store.batch({ limit: 10, hold: HOLD }, async () => []), { message: 'connection reset' })
  t.match(released, [{ message: 'connection reset' }])
  t.doesNotThrow(() => client.emit('error', new Error('and again')))
})

test('a large backlog of one key costs a batch no more than a small one', async (t, { pool, schema, store }) => {
  const opened = await store.open()
  const insert = `INSERT INTO ${schema}.outbox_events (id, key, type, payload) SELECT md5(i::text)::uuid, '', 'x', '{}' FROM generate_series(1, 20000) AS i`
  await pool.query(insert)
  const began = performance.now()
  for (let round = 0; round < 5; round++) t.equal((await opened.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))).length, 10)
  // Planned as a hash anti join, the same takes minutes.
  t.ok(performance.now() - began < 10_000)
})

test('a wait for the database has an end', async (t, database) => {
  const { pool, schema, url } = database
  const store = await database.store.open()
  await add(database, store, '')

  t.test('a pool whose clients are all taken does not hold up a close, and the client that comes late goes back', async (t) => {
    const small = new pg.Pool({ connectionString: url, max: 1 })
    t.teardown(() => small.end())
    const taken = await small.connect()
    const stopping = new AbortController()
    const waiting = openedBeside(small, schema).batch({ limit: 10, hold: HOLD, signal: stopping.signal }, async () => [])
    stopping.abort(new Error('the app stops'))
    await t.rejects(waiting, { message: 'the app stops' })
    taken.release()
    await until(() => small.idleCount === 1)
  })

  t.test('a locked table does not hold up a close, and fails the batch where nobody closes', async (t) => {
    const locker = await pool.connect()
    await locker.query(`BEGIN; LOCK TABLE ${schema}.outbox_events IN ACCESS EXCLUSIVE MODE`)
    t.teardown(() => locker.release(true))
    const stopping = new AbortController()
    const waiting = store.batch({ limit: 10, hold: HOLD, signal: stopping.signal }, async () => [])
    await until(async () => (await pool.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1", [`%${schema}%`])).rowCount === 1)
    stopping.abort(new Error('the app stops'))
    await t.rejects(waiting, { message: 'the app stops' })
    await t.rejects(store.batch({ limit: 10, hold: HOLD }, async () => []), { message: /lock timeout/ })
  })

  t.test('a connection that falls silent fails the batch: while it looks at once when the app stops, after its work within two seconds', async (t) => {
    const proxy = await TcpProxy.to(t, Number(new URL(url).port || 5432))
    const silent = new pg.Pool({ connectionString: Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(proxy.port) }).href })
    silent.on('error', () => {})
    const stopping = new AbortController()
    const behind = openedBeside(silent, schema)
    t.same(await behind.batch({ limit: 10, hold: HOLD }, async () => []), [])
    const storing = behind.batch({ limit: 10, hold: HOLD, signal: stopping.signal }, async (events) => {
      proxy.swallow()
      stopping.abort(new Error('the app stops'))
      return events.map(published)
    })
    await t.rejects(storing, { code: 'FST_JOBS_TIMEOUT', message: /did not answer within 2000 ms/ })
    const looking = behind.batch({ limit: 10, hold: HOLD, signal: stopping.signal }, async () => [])
    await t.rejects(looking, { message: 'the app stops' })
    proxy.pass()
  })
})

function openedBeside (pool: pg.Pool, schema: string): PostgresStore {
  return new PostgresStore(pool, { schema, table: 'outbox_events' })
}

t.test('a statement that is not answered fails after ten seconds', async (t) => {
  const clock = new ManualClock()
  const released: unknown[] = []
  const query = (): Promise<never> => new Promise(() => {})
  const client = { on () {}, off () {}, query, release (error?: Error) { released.push(error) } }
  const connection = new PostgresConnection({ connect: async () => client }, clock)
  const rejected = t.rejects(connection.transaction(async () => {}), { code: 'FST_JOBS_TIMEOUT', message: /10000 ms/ })
  await turns()
  await clock.advance(9999)
  t.same(released, [])
  await clock.advance(1)
  await rejected
  t.match(released, [{ code: 'FST_JOBS_TIMEOUT' }])
})

test('an older table gets the index that it lacks; who may not create it is told the statement', async (t, database) => {
  const { pool, schema, store } = database
  await store.open()
  const indexes = async () => (await pool.query('SELECT indexname FROM pg_indexes WHERE schemaname = $1', [schema])).rows.map(({ indexname }) => indexname)
  await pool.query(`DROP INDEX ${schema}.outbox_events_seq`)
  await t.rejects(postgres({ pool, schema, createTable: false }).open(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /CREATE INDEX IF NOT EXISTS "outbox_events_seq" ON .*\(seq\) WHERE state = 'pending'/ })
  const restricted = await restrictedPool(t, database)
  await t.rejects(postgres({ pool: restricted, schema }).open(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /owner with "CREATE INDEX/, cause: { code: '42501' } })
  await postgres({ pool, schema }).open()
  t.ok((await indexes()).includes('outbox_events_seq'))
  await pool.query(`DROP INDEX ${schema}.outbox_events_seq; CREATE INDEX mine ON ${schema}.outbox_events (seq) WHERE state = 'pending'`)
  await t.resolves(postgres({ pool, schema, createTable: false }).open(), 'an index of another name will do')
})

test('an index that is lacking is not taken for created where something else has its name', async (t, { pool, schema, store }) => {
  await store.open()
  await pool.query(`DROP INDEX ${schema}.outbox_events_seq; CREATE SEQUENCE ${schema}.outbox_events_seq`)
  await t.rejects(store.open(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /something else.* has the name 'outbox_events_seq'.*"CREATE INDEX/ })
})

test('an index that cannot be created now, since somebody writes to the table, is asked for again', async (t, { pool, schema, store }) => {
  await store.open()
  await pool.query(`DROP INDEX ${schema}.outbox_events_seq`)
  const writer = await pool.connect()
  t.teardown(() => writer.release(true))
  await writer.query(`BEGIN; LOCK TABLE ${schema}.outbox_events IN ROW EXCLUSIVE MODE`)
  await t.rejects(store.open(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /could not be created now; start again/, cause: { code: '55P03' } })
})

test('who starts while another process creates the index waits for it, however long that takes', async (t, { pool, schema, store, url }) => {
  await store.open()
  await pool.query(`DROP INDEX ${schema}.outbox_events_seq`)
  const creator = await pool.connect()
  t.teardown(() => creator.release(true))
  await creator.query(`BEGIN; ${statements({ schema, table: 'outbox_events' }).lockCreation}; SET LOCAL lock_timeout = 0`)
  // Other tests that create tables at the same time wait, too.
  const own = new pg.Pool({ connectionString: url, application_name: schema })
  t.teardown(() => own.end())
  const opening = postgres({ pool: own, schema }).open()
  // Longer than the patience with a table that is locked.
  await until(async () => (await pool.query(
    "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'advisory' AND query_start < clock_timestamp() - interval '5.5 s'", [schema])).rowCount === 1)
  await creator.query('COMMIT')
  await t.resolves(opening)
})

test('the plans hold whatever the statistics say: events are read, and keys found, by the index on both', async (t, { pool, schema, store }) => {
  await store.open()
  const table = `${schema}.outbox_events`
  const fill = (key: string, count: number, state: string) => pool.query(
    `INSERT INTO ${table} (id, key, type, payload, state, ended_at) SELECT gen_random_uuid(), ${key}, 'x', '{}', $1, CASE WHEN $1 = 'published' THEN now() END FROM generate_series(1, ${count}) AS i`, [state])
  const { read, walk } = statements({ schema, table: 'outbox_events' })
  const connection = new PostgresConnection(pool, systemClock)
  const plans = (name: string) => connection.transaction(async ({ query }) => {
    const plan = async (text: string, types: string, values: string): Promise<string> => {
      await query(`PREPARE planned (${types}) AS ${text}`)
      const { rows } = await query(`EXPLAIN EXECUTE planned (${values})`)
      await query('DEALLOCATE planned')
      return rows.map((row) => row['QUERY PLAN']).join('\n')
    }
    for (const [found, jumps] of [[await plan(read, 'text[], bigint[], int, bigint', "'{hot,small 1}', '{0,0}', 50, 1000"), 1], [await plan(walk, 'text', "''"), 2]] as const) {
      t.equal(found.match(/outbox_events_pending/g)?.length, jumps, `${name}: ${found}`)
      t.notMatch(found, /outbox_events_seq|Sort Key: (?!walk.place)/)
    }
  })
  await plans('without statistics')
  await fill("'old ' || i % 100", 20_000, 'published')
  await pool.query(`VACUUM ANALYZE ${table}`)
  await plans('nothing pending')
  await fill("'hot'", 20_000, 'pending')
  await fill("'small ' || i % 100", 300, 'pending')
  await plans('statistics of before')
  await pool.query(`ANALYZE ${table}`)
  await plans('one key with a long backlog')
})

test('an error whose message the database cannot store is stored with question marks', async (t, { pool, url }) => {
  const name = `outbox_latin1_${randomBytes(6).toString('hex')}`
  await pool.query(`CREATE DATABASE ${name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
  const latin = new pg.Pool({ connectionString: Object.assign(new URL(url), { pathname: name }).href })
  t.teardown(async () => {
    await latin.end()
    await pool.query(`DROP DATABASE ${name}`)
  })
  const store = await postgres({ pool: latin }).open()
  await store.add(await latin.connect().then((client) => { client.release(); return client }), () => ({ id: uuid(), type: 'x', key: '', payload: '{}' }))
  await store.batch({ limit: 10, hold: HOLD }, async ([event]) => [{ event: event!, state: 'parked', error: new Error('no'), message: 'no “room” …' }])
  t.match(await store.listParked(10), [{ lastError: 'no ?room? ?' }])
})

test('steps of pruning go on behind what was pruned, and begin anew when all is', async (t, database) => {
  const store = await database.store.open()
  const publish = async (...keys: string[]) => {
    for (const key of keys) {
      await add(database, store, key)
      await store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))
    }
  }
  await publish('a', 'b', 'c')
  await database.shiftTimes(-1000)
  t.equal(await store.prune(500, 1), 1)
  t.equal(await store.prune(500, 1), 1)
  await database.shiftTimes(-60_000)
  t.equal(await store.prune(500, 1), 0, 'what is older than the last step is left')
  t.equal(await store.prune(500, 1), 1, 'to the next round')
})

test('a step of pruning ends at once when the app stops', async (t, { schema, pool, store }) => {
  const opened = await store.open()
  const locker = await pool.connect()
  t.teardown(() => locker.release(true))
  await locker.query(`BEGIN; LOCK TABLE ${schema}.outbox_events IN ACCESS EXCLUSIVE MODE`)
  const stopping = new AbortController()
  const pruning = opened.prune(1000, 10, stopping.signal)
  await until(async () => (await pool.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE FROM%' AND query LIKE $1", [`%${schema}%`])).rowCount! > 0)
  stopping.abort(new Error('the app stops'))
  await t.rejects(pruning, { message: 'the app stops' })
})

test('an index that cannot serve for what is pending does not count', async (t, { pool, schema, store }) => {
  await store.open()
  const table = `${schema}.outbox_events`
  await pool.query(`DROP INDEX ${table}_seq`)
  for (const index of ["(seq) WHERE state <> 'pending'", "(seq) WHERE state = 'pending' AND key = ''", "USING hash (seq) WHERE state = 'pending'", 'USING brin (seq)', "(key, seq) WHERE state = 'pending'"]) {
    await pool.query(`CREATE INDEX other ON ${table} ${index}`)
    await t.rejects(postgres({ pool, schema, createTable: false }).open(), { code: 'FST_JOBS_INVALID_OPTIONS' }, index)
    await pool.query(`DROP INDEX ${schema}.other`)
  }
  await pool.query(`CREATE INDEX other ON ${table} (seq)`)
  await t.resolves(postgres({ pool, schema, createTable: false }).open())
})

test('a column by which the indexes do not serve is told of', async (t, { pool, schema, store }) => {
  await store.open()
  await pool.query(`ALTER TABLE ${schema}.outbox_events ALTER COLUMN key TYPE text COLLATE "default"`)
  await t.rejects(store.open(), { code: 'FST_JOBS_INVALID_OPTIONS', message: /"key".*collation "default".*COLLATE "C"/ })
  await pool.query(`ALTER TABLE ${schema}.outbox_events ALTER COLUMN key TYPE varchar(255) COLLATE "C", ALTER COLUMN state TYPE varchar(20)`)
  await t.resolves(store.open())
})

test('with another style of dates, too, pruning goes on where it was', async (t, database) => {
  const pool = new pg.Pool({ connectionString: database.url, options: '-c DateStyle=SQL,DMY -c TimeZone=Asia/Kolkata' })
  t.teardown(() => pool.end())
  const store = await postgres({ pool, schema: database.schema }).open()
  await add(database, store, 'a', 'b', 'c')
  await store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))
  await database.shiftTimes(-1000)
  const steps: number[] = []
  for (let step = 0; step < 4; step++) steps.push(await store.prune(500, 1))
  t.same(steps, [1, 1, 1, 0])
})

test('a retry of an earlier event by another process comes before later ones of its key', async (t, database) => {
  const [one, other] = [await database.store.open(), await database.store.open()]
  const [first] = await add(database, one, '', ...Array(200).fill('') as string[])
  await one.batch({ limit: 100, hold: HOLD }, async ([event]) => [{ event: event!, state: 'parked', error: new Error('no'), message: 'no' }])
  await one.batch({ limit: 150, hold: HOLD }, async (events) => events.map(published))
  await other.retryParked(first!)
  await other.batch({ limit: 1, hold: HOLD }, async ([event]) => [{ event: event!, state: 'failed', error: new Error('no'), message: 'no', delay: 60_000 }])
  // A walk finds it, soon.
  await until(async () => {
    let handedOut = 0
    await one.batch({ limit: 1, hold: HOLD }, async ({ length }) => {
      handedOut = length
      return []
    })
    return handedOut === 0
  })
  t.equal((await database.rows()).filter(({ state }) => state === 'pending').length, 51)
})

test('while an old snapshot is held, and a walk over what is finished takes long, a fresh event is found and those of one key go on', async (t, { pool, schema, store, ...database }) => {
  const snapshot = await pool.connect()
  t.teardown(() => snapshot.release(true))
  await snapshot.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM ${schema}.business`)
  const opened = await store.open()
  await pool.query(`INSERT INTO ${schema}.outbox_events (id, key, type, payload) SELECT md5(i::text)::uuid, '', 'x', '{}' FROM generate_series(1, 3000) AS i`)
  let count = 0
  while (count < 3000) count += (await opened.batch({ limit: 500, hold: HOLD }, async (events) => events.map(published))).length
  const ids = await add(database as PostgresDatabase, opened, '', 'other')
  const found: string[] = []
  await until(async () => {
    await opened.batch({ limit: 500, hold: HOLD }, async (events) => { found.push(...events.map(({ id }) => id)); return events.map(published) })
    return found.length === 2
  })
  t.same(found, ids)
})
