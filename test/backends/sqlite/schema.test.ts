import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { MIGRATIONS, migrate } from '../../../lib/backends/sqlite/schema.ts'
import { buildApp, turns } from '../../helpers/app.ts'
import { test } from '../../helpers/sqlite.ts'

const TABLES = "SELECT name, sql FROM sqlite_schema WHERE name LIKE 'fastify_jobs%' ORDER BY name"

test('opening again changes nothing', async (t, file) => {
  await (await file.app()).ready()
  const before = file.connect().prepare(TABLES).all()
  await (await file.app()).ready()
  t.same(file.connect().prepare(TABLES).all(), before)
  t.match(file.rows('schema'), [{ version: MIGRATIONS.length }])
  t.equal(file.rows('queues').length, 1)
})

test('connections that open a new file at the same time create one set of tables', async (t, file) => {
  await Promise.all(Array.from({ length: 5 }, async () => (await file.app()).ready()))
  t.same(file.rows('schema').length, 1)
  t.equal(file.rows('queues').length, 1)
})

test('older tables are brought up to date, one version after the other, with what is in them', async (t, file) => {
  await (await file.app()).ready()
  const db = file.connect()
  const migrations = [...MIGRATIONS, 'ALTER TABLE fastify_jobs_queues ADD COLUMN a', 'UPDATE fastify_jobs_queues SET a = 1']
  migrate(db, file.path, migrations)
  migrate(db, file.path, migrations)
  t.match(file.rows('queues'), [{ name: 'default', a: 1 }])
  t.match(file.rows('schema'), [{ version: migrations.length }])
  t.equal(file.rows('schema').length, 1)
})

test('a file of version 1 is migrated with all that is in it, and goes on', async (t, file) => {
  const db = file.connect()
  db.exec('PRAGMA journal_mode = WAL')
  migrate(db, file.path, MIGRATIONS.slice(0, 1))
  const now = Date.now()
  const job = (place: number, line: number, position: number, id: string, more = 'NULL, NULL, NULL') => `
    INSERT INTO fastify_jobs_jobs (queue, place, line, position, id, name, payload, attempt, enqueued_at, rank, unique_key, ended_as, finished_at)
    VALUES (1, ${place}, ${line}, ${position}, '${id}', 'work', '"${id}"', 1, ${now}, 1, ${more});`
  db.exec(`
    INSERT INTO fastify_jobs_queues (name, fresh, delayed, active, dead, finished, next_position) VALUES ('default', 1, 1, 1, 1, 1, 10);
    ${job(0, 1, 1, 'waits', "'4:work:k', NULL, NULL")}
    ${job(1, 0, now - 1, 'due')}
    ${job(2, 0, 7, 'held')}
    ${job(3, 0, 3, 'buried', `NULL, 'dead', ${now}`)}
    ${job(4, 0, 4, 'done', `NULL, 'succeeded', ${now}`)}
    INSERT INTO fastify_jobs_keys VALUES (1, '4:work:k', 'waits', NULL);
    INSERT INTO fastify_jobs_workers VALUES (7, ${now - 1})`)
  const app = await file.app({ queues: { default: { concurrency: 1 } }, backend: { pollInterval: 10 } })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.pause()
  await app.ready()
  t.match(file.rows('schema'), [{ version: MIGRATIONS.length }])
  t.match(await app.jobs.enqueue('work', 'duplicate', { uniqueKey: 'k' }), { id: 'waits', status: 'duplicate' })
  app.jobs.resume()
  while (ran.length < 3) await turns()
  t.same(ran.sort(), ['due', 'held', 'waits'])
  t.equal(await app.jobs.deadLetters.retry('buried'), true)
  t.match(await app.jobs.get('done'), { state: 'succeeded' })
  await app.jobs.idle()
  t.match(file.rows('queues'), [{ fresh: 0, returned: 0, delayed: 0, active: 0, dead: 0, finished: 5 }])
})

test('the tables of a newer release are refused, and left as they are', async (t, file) => {
  await (await file.app()).ready()
  file.connect().exec('UPDATE fastify_jobs_schema SET version = 99')
  await t.rejects(async () => { await buildApp(t, { backend: sqlite({ path: file.path }) }) },
    { code: 'FST_JOBS_NOT_SUPPORTED', message: /jobs\.db' have version 99.*knows up to 3; update it/ })
  t.match(file.rows('schema'), [{ version: 99 }])
})

test('the tables may sit in a file with others', async (t, file) => {
  file.connect().exec('CREATE TABLE jobs (id); CREATE TABLE queues (id)')
  await (await file.app()).ready()
  t.same(file.connect().prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'fastify_jobs%' ORDER BY name").all().map(({ name }) => name), ['jobs', 'queues'])
})
