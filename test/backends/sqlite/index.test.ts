import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { buildApp, turns } from '../../helpers/app.ts'
import { runChild } from '../../helpers/child.ts'
import { test } from '../../helpers/sqlite.ts'

const UNAVAILABLE = { code: 'FST_JOBS_BACKEND_UNAVAILABLE', statusCode: 503 }

t.test('wrong options are named', async (t) => {
  const wrong: [unknown, RegExp][] = [
    [undefined, /options of sqlite\(\): the options must be object, got undefined/],
    [{}, /required property 'path'/],
    [{ path: 1 }, /option 'path' must be string, got 1/],
    [{ path: 'x', synchronous: 'OFF' }, /option 'synchronous'.*FULL, NORMAL/],
    [{ path: 'x', pollInterval: 1 }, /option 'pollInterval' must be >= 10, got 1/],
    [{ path: 'x', lease: 1 }, /option 'lease' must be >= 100, got 1/],
    [{ path: 'x', busyTimeout: -1 }, /option 'busyTimeout' must be >= 0, got -1/],
    [{ path: 'x', retention: 0.5 }, /option 'retention' must be integer, got 0.5/],
    [{ path: 'x', table: 'a' }, /unknown option 'table'/]
  ]
  for (const [options, message] of wrong) t.throws(() => sqlite(options as never), { code: 'FST_JOBS_INVALID_OPTIONS', message })
})

t.test('a database in memory is refused with the reason', async (t) => {
  for (const path of ['', ':memory:', 'file::memory:', 'file:x?mode=memory']) {
    t.throws(() => sqlite({ path }), { code: 'FST_JOBS_INVALID_OPTIONS', message: /must be a file.*the backend has its own/ })
  }
})

t.test('where Node.js has no SQLite, opening says so', async (t) => {
  const hasSqlite = await import('node:sqlite').then(() => true, () => false)
  if (hasSqlite) {
    t.pass('it has', { skip: `Node ${process.version} has node:sqlite` })
    return
  }
  await t.rejects(async () => { await (await buildApp(t, { backend: sqlite({ path: join(tmpdir(), 'never.db') }) })).ready() },
    { code: 'FST_JOBS_NOT_SUPPORTED', statusCode: 501, message: /22\.13/ })
})

test('a file in a folder that is not there cannot be opened, and the error says which', async (t, file) => {
  const path = join(file.path, 'nowhere', 'jobs.db')
  await t.rejects(async () => { await buildApp(t, { backend: sqlite({ path }) }) }, { ...UNAVAILABLE, message: /nowhere.jobs\.db.*unable to open/, headers: { 'retry-after': '5' } })
})

test('what is no database is left alone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-backend-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'text.db')
  await writeFile(path, 'this is a text, and long enough for a header. '.repeat(20))
  await t.rejects(async () => { await buildApp(t, { backend: sqlite({ path }) }) }, { ...UNAVAILABLE, message: /not a database/, cause: { errcode: 26 } })
})

test('a file that stays locked cannot be opened; one that is locked for a moment can', async (t, file) => {
  const other = file.connect()
  other.exec('PRAGMA journal_mode = WAL; BEGIN IMMEDIATE')
  await t.rejects(async () => { await buildApp(t, { backend: sqlite({ path: file.path, busyTimeout: 50 }) }) }, { ...UNAVAILABLE, message: /locked/ })
  const opening = file.app()
  setTimeout(() => other.exec('COMMIT'), 60)
  await (await opening).ready()
})

test('a process that opens a locked file lives to see it free', async (t, file) => {
  const { output } = await runChild(`
    const { DatabaseSync } = await import('node:sqlite')
    const { sqlite } = await import('${new URL('../../../lib/backends/sqlite/index.ts', import.meta.url)}')
    const path = ${JSON.stringify(file.path)}
    const other = new DatabaseSync(path)
    other.exec('PRAGMA journal_mode = WAL; BEGIN IMMEDIATE')
    setTimeout(() => { other.exec('COMMIT') }, 100).unref()
    const patient = Fastify({ pluginTimeout: 0 })
    await patient.register(backgroundJobs, { backend: sqlite({ path }) })
    await patient.close()
    console.log('opened')`)
  t.match(output, /opened/)
})

test('one object serves one app', async (t, file) => {
  const backend = sqlite({ path: file.path })
  await buildApp(t, { backend })
  await t.rejects(async () => { await buildApp(t, { backend }) }, { code: 'FST_JOBS_INVALID_OPTIONS', message: /call sqlite\(\) once for each app/ })
})

test('a backend that was never opened can be closed, and a closed one refuses jobs', async (t, file) => {
  await sqlite({ path: file.path }).close()
  const backend = sqlite({ path: file.path })
  const app = await buildApp(t, { backend })
  await app.ready()
  t.same([...backend.abandon('default')], [])
  await app.close()
  const job = { id: 'x', name: 'work', payload: 1, attempt: 1, enqueuedAt: 0, correlationId: undefined, options: undefined }
  const calls = {
    enqueue: () => backend.enqueue('default', [job], {}),
    stats: () => backend.stats('default'),
    find: () => backend.find!('x'),
    listDead: () => backend.listDead!('default', { limit: 1 }),
    retry: () => backend.retry!('x'),
    remove: () => backend.remove!('x'),
    cancel: () => backend.cancel!('x')
  }
  for (const [name, call] of Object.entries(calls)) await t.rejects(async () => call(), { ...UNAVAILABLE, message: /queue 'default' cannot be used: it is closed/ }, name)
})

test('two queues of an app share a backend, and what is enqueued into both is one transaction', async (t, file) => {
  const app = await file.app({ queues: { default: {}, other: {} } })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.define('elsewhere', { queue: 'other' }, async (payload) => { ran.push(payload) })
  await app.ready()
  await turns(20)
  const before = file.commits()
  await Promise.all([app.jobs.enqueue('work', 1), app.jobs.enqueue('elsewhere', 2)])
  t.equal(file.commits(), before + 1)
  await app.jobs.idle()
  t.same(ran, [1, 2])
})

test('a record that cannot be read becomes a dead letter; those beside it run', async (t, file) => {
  const app = await file.app()
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  app.jobs.pause()
  await app.ready()
  const [bad, worse, good] = await app.jobs.enqueueMany([
    { job: 'work', payload: 1, correlationId: 'c' }, { job: 'work', payload: 2, attempts: 2, uniqueKey: 'k' }, { job: 'work', payload: 3, attempts: 2 }
  ])
  const other = file.connect()
  other.prepare("UPDATE fastify_jobs_jobs SET payload = '{oops' WHERE id = ?").run(bad!.id)
  other.prepare("UPDATE fastify_jobs_jobs SET options = 'oops' WHERE id = ?").run(worse!.id)
  app.jobs.resume()
  await app.jobs.idle()
  t.same(ran, [3])
  t.match(await app.jobs.get(good!.id), { state: 'succeeded', attempts: 2 })
  t.match(await app.jobs.deadLetters.list(), [
    { id: bad!.id, payload: '{oops', correlationId: 'c', error: { code: 'FST_JOBS_INVALID_PAYLOAD', message: /what is stored is not JSON/ } },
    { id: worse!.id, payload: '2', error: { message: /the options of job 'work'/ } }
  ])
  t.same(file.rows('keys'), [], 'its key is free')
})

test('a file that another program has spoilt fails what looks at it', async (t, file) => {
  const app = await file.app()
  app.jobs.define('work', async () => {})
  await app.ready()
  file.connect().exec('DROP TABLE fastify_jobs_jobs; DROP TABLE fastify_jobs_queues')
  await t.rejects(app.jobs.status(), { ...UNAVAILABLE, cause: { message: /no such table/ } })
  await t.rejects(app.jobs.enqueue('work', 1), UNAVAILABLE)
})

test('by default nothing is lost with the power; NORMAL has to be asked for', async (t, file) => {
  for (const [backend, level] of [[{}, 2], [{ synchronous: 'NORMAL' }, 1]] as const) {
    await (await file.app({ backend })).ready()
    t.same({ ...file.connections.at(-1)!.prepare('PRAGMA synchronous').get() }, { synchronous: level })
  }
  t.same({ ...file.connect().prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
})
