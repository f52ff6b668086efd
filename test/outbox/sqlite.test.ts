import { join } from 'node:path'
import t, { type Test } from 'tap'
import { sqlite, type SqliteStoreOptions } from '../../lib/outbox/index.ts'
import { createTable } from '../../lib/outbox/sqlite-sql.ts'
import { uuid } from '../../lib/uuid.ts'
import { deferred } from '../helpers/app.ts'
import { until } from '../helpers/outbox.ts'
import { add, published } from '../helpers/outbox-store-suite.ts'
import { sqliteDatabase, type SqliteDatabase } from '../helpers/outbox-sqlite.ts'

const HOLD = 60_000

function test (sentence: string, body: (t: Test, database: SqliteDatabase) => Promise<void>, options?: Partial<SqliteStoreOptions>): void {
  t.test(sentence, async (t) => {
    const database = await sqliteDatabase(t, options)
    if (database !== undefined) await body(t, database)
  })
}

t.test('wrong options are named', async (t) => {
  const wrong: [unknown, RegExp][] = [
    [undefined, /got undefined/],
    [{}, /required property 'path'/],
    [{ path: 1 }, /option 'path' must be string, got 1/],
    [{ path: 'x', table: 'a"b' }, /option 'table'/],
    [{ path: 'x', schema: 'a' }, /unknown option 'schema'/]
  ]
  for (const [options, message] of wrong) t.throws(() => sqlite(options as never), { code: 'FST_JOBS_INVALID_OPTIONS', message })
})

t.test('a database in memory is refused with the reason', async (t) => {
  for (const path of ['', ':memory:', 'file::memory:', 'file::memory:?cache=shared', 'file:x?cache=shared&mode=memory']) {
    t.throws(() => sqlite({ path }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /must be a file.*the relay has its own/ })
  }
})

test('names that SQL has a use for, and capitals, are fine', async (t, database) => {
  const store = await database.store.open()
  t.teardown(() => store.close())
  await add(database, store, '')
  t.equal((await database.rows()).length, 1)
}, { table: 'Order' })

test('with createTable: false the table is the user’s to create', async (t, { path, db }) => {
  const { open } = sqlite({ path, createTable: false })
  await t.rejects(open(), { message: /no such table/ })
  db.exec(createTable('outbox_events'))
  const store = await open()
  store.close()
})

test('a table of another shape, and a folder that is not there, fail the opening', async (t, { path, db, store }) => {
  db.exec('CREATE TABLE outbox_events (key, seq, state, ended_at)')
  await t.rejects(store.open(), { message: /no such column/ })
  await t.rejects(sqlite({ path: join(path, 'nowhere', 'app.db') }).open(), { message: /unable to open/ })
})

test('what has no transaction is refused, at once', async (t, { db, store }) => {
  const opened = await store.open()
  t.teardown(() => opened.close())
  const never = (): never => { throw new Error('not called') }
  if ('isTransaction' in db) t.throws(() => opened.add(db, never), { code: 'FST_JOBS_INVALID_OPTIONS', message: /no transaction open/ })
  for (const [tx, got] of [[undefined, /got undefined/], [null, /got null/], [7, /got 7/], [{ query () {} }, /got object without 'prepare'/]] as const) {
    t.throws(() => opened.add(tx, never), { code: 'FST_JOBS_INVALID_OPTIONS', message: got })
  }
  db.exec('BEGIN')
  t.type(opened.add(db, () => ({ id: uuid(), type: 'x', key: '', payload: '{}' })), 'string')
  db.exec('COMMIT')
})

test('the journal mode stays as it was', async (t, { db, store }) => {
  (await store.open()).close()
  t.same({ ...db.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'delete' })
  db.exec('PRAGMA journal_mode = WAL')
  ;(await store.open()).close()
  t.same({ ...db.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
})

test('a lease that ended is somebody else’s, and its old owner changes nothing', async (t, database) => {
  const [one, two] = [await database.store.open(), await database.store.open()]
  t.teardown(() => [one, two].forEach((store) => store.close()))
  const ids = await add(database, one, '', '')
  const stored = await one.batch({ limit: 10, hold: 1000 }, async (events, batch) => {
    t.equal(batch.isLost, false)
    await until(() => batch.isLost)
    const parked = await until(async () => {
      const results = await two.batch({ limit: 10, hold: HOLD }, async (events) => events.map((event) => ({ event, state: 'parked', error: new Error('no'), message: 'no' })))
      return results.length > 0 && results
    })
    t.same(parked.map(({ event }) => event.id), ids)
    return events.map(published)
  })
  t.same(stored, [])
  t.match(await database.rows(), ids.map((id) => ({ id, state: 'parked', last_error: 'no' })))
})

test('a lease that ended and that nobody took is as good as before', async (t, database) => {
  const store = await database.store.open()
  t.teardown(() => store.close())
  await add(database, store, '')
  const stored = await store.batch({ limit: 10, hold: 20 }, async (events, batch) => {
    await until(() => batch.isLost)
    return events.map(published)
  })
  t.equal(stored.length, 1)
})

test('an app that keeps its transaction open does not stand still while the relay waits for it', async (t, database) => {
  const store = await database.store.open()
  t.teardown(() => store.close())
  await add(database, store, '')
  database.db.exec('BEGIN IMMEDIATE')
  const claiming = store.batch({ limit: 10, hold: HOLD }, async (events) => events.map(published))
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  await until(() => turns > 10)
  clearInterval(timer)
  database.db.exec('COMMIT')
  t.equal((await claiming).length, 1)
})

test('a database that somebody keeps for too long fails the batch', async (t, database) => {
  const store = await database.store.open()
  t.teardown(() => store.close())
  const [id] = await add(database, store, '')
  await t.rejects(store.batch({ limit: 10, hold: 50 }, async (events) => {
    database.db.exec('BEGIN IMMEDIATE')
    return events.map(published)
  }), { message: /locked/ })
  database.db.exec('COMMIT')
  t.match(await database.rows(), [{ id, state: 'pending' }])
})

test('a transaction of the app and a pruning of the relay both get through', async (t, database) => {
  const store = await database.store.open()
  t.teardown(() => store.close())
  const gate = deferred()
  const adding = database.transaction(async (tx) => {
    store.add(tx, () => ({ id: uuid(), type: 'x', key: '', payload: '{}' }))
    await gate.promise
  })
  const pruning = store.prune(0, 10)
  setTimeout(() => gate.resolve(), 50)
  await Promise.all([adding, pruning])
  t.equal((await store.stats()).pending, 1)
})

test('text that is no JSON does not get in', async (t, { db, store }) => {
  (await store.open()).close()
  t.throws(() => db.exec("INSERT INTO outbox_events (id, type, payload) VALUES ('1', 'x', 'no json')"), { message: /CHECK constraint/ })
})

test('a file that somebody has locked does not hold up a close', async (t, database) => {
  const store = await database.store.open()
  t.teardown(() => store.close())
  database.db.exec('BEGIN IMMEDIATE')
  t.teardown(() => database.db.exec('ROLLBACK'))
  await t.rejects(store.batch({ limit: 10, hold: HOLD, signal: AbortSignal.abort() }, async () => []), { message: /locked/ })
})

/** As many keys, each with an event that waits for its retry. */
function fillWithWaiting ({ db }: SqliteDatabase, count: number): void {
  db.exec(`
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
    INSERT INTO outbox_events (id, key, type, payload, due_at) SELECT 'id ' || n, 'key ' || n, 'x', '{}', (unixepoch() + 3600) * 1000 FROM numbers`)
}

test('a long search lets the process, and other writers, go on, and ends when the app stops', async (t, database) => {
  const store = await database.store.open()
  fillWithWaiting(database, 30_000)
  let turns = 0
  const counting = setInterval(() => {
    turns++
    database.db.exec('INSERT INTO business VALUES (1)')
  }, 1)
  t.same(await store.batch({ limit: 100, hold: HOLD }, async () => []), [])
  clearInterval(counting)
  t.ok(turns > 1, `${turns} turns`)
  t.equal(database.db.prepare('SELECT * FROM business').all().length, turns)

  const other = await database.store.open()
  t.teardown(() => other.close())
  const stopping = new AbortController()
  const searching = other.batch({ limit: 100, hold: HOLD, signal: stopping.signal }, async () => [])
  stopping.abort()
  t.same(await searching, [])
})

test('results that cannot be stored hold up a close for two seconds', async (t, database) => {
  const store = await database.store.open()
  const ids = await add(database, store, '')
  const stopping = new AbortController()
  const batch = store.batch({ limit: 10, hold: HOLD, signal: stopping.signal }, async (events) => {
    database.db.exec('BEGIN IMMEDIATE')
    stopping.abort()
    return events.map(published)
  })
  await t.rejects(batch, { message: /locked/ })
  database.db.exec('ROLLBACK')
  t.match(await database.rows(), ids.map((id) => ({ id, state: 'pending' })))
})

test('a clock that is set back in a batch, by which others see its lease as one of the future, ends it', async (t, database) => {
  const store = await database.store.open()
  await add(database, store, '')
  const { now } = Date
  t.teardown(() => { Date.now = now })
  await store.batch({ limit: 10, hold: HOLD }, async (_events, batch) => {
    t.equal(batch.isLost, false)
    Date.now = () => now() - 3_600_000
    t.equal(batch.isLost, true)
    return []
  })
})

test('the payload of an event that waits is not read', async (t, database) => {
  const store = await database.store.open()
  const [waiting] = await add(database, store, 'waits', 'fresh')
  database.db.prepare('UPDATE outbox_events SET due_at = (unixepoch() + 3600) * 1000, payload = json_quote(hex(zeroblob(50000000))) WHERE id = ?').run(waiting!)
  const before = process.memoryUsage().external + process.memoryUsage().heapUsed
  await store.batch({ limit: 10, hold: HOLD }, async (events) => {
    t.equal(events.length, 1)
    t.ok(process.memoryUsage().external + process.memoryUsage().heapUsed - before < 50_000_000)
    return []
  })
})
