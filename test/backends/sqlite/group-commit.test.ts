import type { FastifyInstance } from 'fastify'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { buildApp, deferred, now, turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { fillDisk, freeDisk, test, type SqliteFile } from '../../helpers/sqlite.ts'

const UNAVAILABLE = { code: 'FST_JOBS_BACKEND_UNAVAILABLE', statusCode: 503 }

interface Worker { app: FastifyInstance, clock: ManualClock, ran: unknown[], lines: any[] }

async function worker (file: SqliteFile, { define, ...settings }: { define?: (app: FastifyInstance) => void, concurrency?: number, capacity?: number } = {}): Promise<Worker> {
  const clock = new ManualClock()
  const lines: any[] = []
  const app = await file.app({ queues: { default: settings }, clock, lines, level: 'info', backend: { busyTimeout: 1000 } })
  const ran: unknown[] = []
  app.jobs.define('work', async (payload) => { ran.push(payload) })
  define?.(app)
  await app.ready()
  await turns(20)
  return { app, clock, ran, lines }
}

const BIG = 'x'.repeat(50_000)

test('enqueues of one turn share a transaction, which claims them, too', async (t, file) => {
  const { app, ran } = await worker(file, { concurrency: 200 })
  const before = file.commits()
  await Promise.all(Array.from({ length: 100 }, (_, n) => app.jobs.enqueue('work', n)))
  t.equal(file.commits(), before + 1)
  t.match(file.rows('queues'), [{ active: 100 }])
  await app.jobs.idle()
  t.equal(file.commits(), before + 2, 'all outcomes are one more')
  t.equal(ran.length, 100)
})

test('ten thousand enqueues of one turn are several transactions, in order', async (t, file) => {
  const { app, ran } = await worker(file, { concurrency: 1000, capacity: 10_000 })
  await Promise.all(Array.from({ length: 2500 }, (_, n) => app.jobs.enqueue('work', n)))
  await app.jobs.idle()
  t.same(ran, Array.from({ length: 2500 }, (_, n) => n))
})

test('looking at an idle queue writes nothing', async (t, file) => {
  const { app, clock } = await worker(file)
  const before = file.commits()
  await clock.advance(5000)
  await app.jobs.status()
  t.equal(file.commits(), before)
})

test('a hook that hears of an end finds it stored', async (t, file) => {
  const retried = deferred<boolean>()
  const define = (app: FastifyInstance): void => {
    app.jobs.define('doomed', { attempts: 1 }, async (_payload, { job }) => { if (job.enqueuedAt > 0) throw new Error('no') })
    app.jobs.addHook('onDeadLetter', async ({ id }) => { retried.resolve(await app.jobs.deadLetters.remove(id)) })
  }
  const { app } = await worker(file, { define })
  await app.jobs.enqueue('doomed', null)
  t.equal(await retried.promise, true)
})

test('a file that somebody has locked for a moment is nobody’s trouble', async (t, file) => {
  const { app, clock, ran, lines } = await worker(file)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const enqueuing = app.jobs.enqueue('work', 1)
  t.equal(await now(enqueuing), 'pending')
  let turnsOfOthers = 0
  const timer = setInterval(() => turnsOfOthers++, 1)
  await clock.advance(200)
  clearInterval(timer)
  t.ok(turnsOfOthers > 0, 'the process does not stand still')
  other.exec('COMMIT')
  await clock.advance(20)
  await enqueuing
  await app.jobs.idle()
  t.same(ran, [1])
  t.same(lines.filter(({ level }) => level >= 40), [])
})

test('a file that stays locked fails enqueues after busyTimeout; what has ended goes on trying', async (t, file) => {
  const gate = deferred()
  const { app, clock, ran } = await worker(file, { define: (app) => app.jobs.define('held', async () => { await gate.promise }) })
  const { id } = await app.jobs.enqueue('held', null)
  await turns(20)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  gate.resolve()
  const failing = t.rejects(app.jobs.enqueue('work', 1), { ...UNAVAILABLE, message: /locked/, cause: { message: /jobs\.db.*database is locked/, cause: { errcode: 5 } } })
  await clock.advance(500)
  const later = app.jobs.enqueue('work', 2)
  await clock.advance(520)
  await failing
  t.equal(await now(later), 'pending', 'each has its own time')
  const looking = app.jobs.get(id)
  await clock.advance(20)
  t.match(await looking, { state: 'active' }, 'looking does not wait for longer')
  other.exec('COMMIT')
  await clock.advance(20)
  await later
  await app.jobs.idle()
  t.match(await app.jobs.get(id), { state: 'succeeded' })
  t.same(ran, [2])
})

test('of a crowd of enqueues that meet a locked file, none waits for longer than busyTimeout', async (t, file) => {
  const { app, clock } = await worker(file, { capacity: 5000 })
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const crowd = Promise.allSettled(Array.from({ length: 2500 }, (_, n) => app.jobs.enqueue('work', n)))
  await clock.advance(1100)
  const results = await now(crowd)
  other.exec('COMMIT')
  await clock.advance(100)
  t.not(results, 'pending')
  t.ok((await crowd).every(({ status }) => status === 'rejected'))
})

test('of a crowd of enqueues that meet a full disk, none waits for the others', async (t, file) => {
  const { app, lines } = await worker(file, { capacity: 5000 })
  fillDisk(file)
  const results = await now(Promise.allSettled(Array.from({ length: 2500 }, () => app.jobs.enqueue('work', BIG))))
  freeDisk(file)
  t.not(results, 'pending')
  t.equal(lines.filter(({ msg }) => msg === 'the SQLite file cannot be used').length, 1, 'said once')
})

test('closing waits for a lock, and gives up on it', async (t, file) => {
  const { app, clock, lines } = await worker(file)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const closing = app.close()
  t.equal(await now(closing), 'pending')
  await clock.advance(1100)
  await closing
  t.match(lines.find(({ msg }) => msg === 'the backend failed to close'), { err: UNAVAILABLE })
  other.exec('COMMIT')
  t.equal(file.rows('workers').length, 1, 'its lease tells the others')
})

test('what is enqueued while a locked file is closed fails, and nothing hangs', async (t, file) => {
  const clock = new ManualClock()
  const backend = sqlite({ path: file.path, busyTimeout: 1000 })
  const app = await buildApp(t, { backend, clock })
  await app.ready()
  await turns(20)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const closing = t.rejects(backend.close(), UNAVAILABLE)
  await turns(20)
  await clock.advance(500)
  const job = { id: 'x', name: 'work', payload: 1, attempt: 1, enqueuedAt: 0, correlationId: undefined, options: undefined }
  const failing = t.rejects(backend.enqueue('default', [job], {}), { ...UNAVAILABLE, message: /closed/ })
  await clock.advance(1100)
  await closing
  await failing
  await t.rejects(backend.close(), UNAVAILABLE, 'closing again is the same')
  await t.rejects(async () => backend.stats('default'), UNAVAILABLE)
  other.exec('COMMIT')
})

test('what is enqueued while it closes is stored or refused', async (t, file) => {
  const backend = sqlite({ path: file.path })
  const app = await buildApp(t, { backend, queues: { default: { capacity: 5000 } } })
  await app.ready()
  await turns(20)
  const closing = backend.close()
  await undefined
  await undefined
  const results = await Promise.allSettled(Array.from({ length: 1500 }, (_, n) => backend.enqueue('default', [
    { id: `${n}`, name: 'work', payload: n, attempt: 1, enqueuedAt: 0, correlationId: undefined, options: undefined }
  ], {})))
  await closing
  const stored = results.filter(({ status }) => status === 'fulfilled').length
  t.ok(stored < 1500)
  t.equal(file.rows('jobs').length, stored)
})

test('a full disk fails the enqueues of the group, and nothing of it has happened', async (t, file) => {
  const { app, clock, ran, lines } = await worker(file)
  fillDisk(file)
  const results = await Promise.allSettled([app.jobs.enqueue('work', BIG), app.jobs.enqueue('work', 'small')])
  t.match(results, [{ reason: { ...UNAVAILABLE, cause: { cause: { errcode: 13 } } } }, { reason: UNAVAILABLE }])
  t.match(lines.filter(({ level }) => level === 50), [{ err: { code: UNAVAILABLE.code }, msg: 'the SQLite file cannot be used' }])
  t.same(file.rows('jobs'), [])
  freeDisk(file)
  await app.jobs.enqueue('work', 'again')
  await clock.advance(100)
  await app.jobs.idle()
  t.same(ran, ['again'])
  t.equal(lines.filter(({ msg }) => msg === 'the SQLite file can be used again').length, 1)
})

test('what has ended while the disk is full is stored once there is room, with a growing pause', async (t, file) => {
  const gate = deferred()
  const define = (app: FastifyInstance): void => app.jobs.define('held', { attempts: 1 }, async () => {
    await gate.promise
    throw new Error(BIG)
  }) as never
  const { app, clock, lines } = await worker(file, { define })
  const { id } = await app.jobs.enqueue('held', null)
  await turns(20)
  fillDisk(file)
  gate.resolve()
  await turns(20)
  await clock.advance(10_000)
  t.match(file.rows('jobs'), [{ place: 2 }])
  t.match(await app.jobs.get(id), { state: 'active' }, 'looking does not wait for that')
  t.equal(lines.filter(({ msg }) => msg === 'the SQLite file cannot be used').length, 1, 'said once')
  freeDisk(file)
  await clock.advance(5000)
  t.match(await app.jobs.get(id), { state: 'dead' })
})

test('what has ended is stored though every enqueue meets a full disk', async (t, file) => {
  const gate = deferred()
  const { app, clock, lines } = await worker(file, { define: (app) => app.jobs.define('held', async () => { await gate.promise }) })
  const { id } = await app.jobs.enqueue('held', null)
  await turns(20)
  fillDisk(file)
  gate.resolve()
  for (let n = 0; n < 20; n++) await t.rejects(app.jobs.enqueue('work', BIG), UNAVAILABLE)
  t.match(file.rows('jobs'), [{ id, ended_as: 'succeeded' }])
  freeDisk(file)
  await clock.advance(5000)
  t.same(lines.filter(({ msg }) => /SQLite file/.test(msg)).map(({ msg }) => msg), ['the SQLite file cannot be used', 'the SQLite file can be used again'])
})

test('an app that could write nothing for busyTimeout is not ready', async (t, file) => {
  const { app, clock } = await worker(file)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const failing = t.rejects(app.jobs.enqueue('work', 1), UNAVAILABLE)
  await clock.advance(1100)
  await failing
  const asking = app.inject('/health')
  await clock.advance(20)
  const { statusCode, body } = await asking
  t.equal(statusCode, 503)
  t.match(body, "backend 'sqlite' of queue 'default' is out of reach")
  other.exec('COMMIT')
  await clock.advance(20)
  t.equal((await app.inject('/health')).statusCode, 200)
})

test('who waits for room is not let in by a transaction that failed', async (t, file) => {
  const { app, clock, ran } = await worker(file, { capacity: 1, concurrency: 1, define: (app) => app.jobs.define('held', async () => {}) })
  app.jobs.pause()
  await app.jobs.enqueue('held', null)
  const waiting = app.jobs.enqueue('work', BIG)
  t.equal(await now(waiting), 'pending')
  fillDisk(file)
  app.jobs.resume()
  t.equal(await now(waiting), 'pending')
  freeDisk(file)
  await clock.advance(500)
  await waiting
  await app.jobs.idle()
  t.same(ran, [BIG])
})

test('who waits for room does not wait for a file that stays out of reach', async (t, file) => {
  const { app, clock } = await worker(file, { capacity: 1 })
  app.jobs.pause()
  await app.jobs.enqueue('work', 1)
  const failing = t.rejects(app.jobs.enqueue('work', 2), UNAVAILABLE)
  await turns(20)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  app.jobs.resume()
  await clock.advance(1100)
  await failing
  other.exec('COMMIT')
  await clock.advance(20)
})
