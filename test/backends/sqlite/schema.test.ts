import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { MIGRATIONS, migrate } from '../../../lib/backends/sqlite/schema.ts'
import { buildApp } from '../../helpers/app.ts'
import { test } from '../../helpers/sqlite.ts'

const TABLES = "SELECT name, sql FROM sqlite_schema WHERE name LIKE 'fastify_jobs%' ORDER BY name"

test('opening again changes nothing', async (t, file) => {
  await (await file.app()).ready()
  const before = file.connect().prepare(TABLES).all()
  await (await file.app()).ready()
  t.same(file.connect().prepare(TABLES).all(), before)
  t.match(file.rows('schema'), [{ version: 1 }])
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
  t.match(file.rows('schema'), [{ version: 3 }])
  t.equal(file.rows('schema').length, 1)
})

test('the tables of a newer release are refused, and left as they are', async (t, file) => {
  await (await file.app()).ready()
  file.connect().exec('UPDATE fastify_jobs_schema SET version = 99')
  await t.rejects(async () => { await buildApp(t, { backend: sqlite({ path: file.path }) }) },
    { code: 'FST_JOBS_NOT_SUPPORTED', message: /jobs\.db' have version 99.*knows up to 1; update it/ })
  t.match(file.rows('schema'), [{ version: 99 }])
})

test('the tables may sit in a file with others', async (t, file) => {
  file.connect().exec('CREATE TABLE jobs (id); CREATE TABLE queues (id)')
  await (await file.app()).ready()
  t.same(file.connect().prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'fastify_jobs%' ORDER BY name").all().map(({ name }) => name), ['jobs', 'queues'])
})
