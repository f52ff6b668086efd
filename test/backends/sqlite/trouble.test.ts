import { rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { troubleOf } from '../../../lib/backends/sqlite/trouble.ts'
import { turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { fillDisk, test, type SqliteFile } from '../../helpers/sqlite.ts'

const BIG = 'x'.repeat(50_000)

/** Every way to ask the backend, by name. */
const calls: Record<string, (app: FastifyInstance) => Promise<unknown>> = {
  enqueue: (app) => app.jobs.enqueue('work', BIG),
  enqueueMany: (app) => app.jobs.enqueueMany([{ job: 'work', payload: BIG }]),
  get: (app) => app.jobs.get('any'),
  status: (app) => app.jobs.status(),
  idle: (app) => app.jobs.idle(),
  cancel: (app) => app.jobs.cancel('any'),
  list: (app) => app.jobs.deadLetters.list(),
  retry: (app) => app.jobs.deadLetters.retry('any'),
  remove: (app) => app.jobs.deadLetters.remove('any')
}

const requests = [
  ['POST', '/enqueue'], ['GET', '/health'], ['GET', '/jobs/status'], ['GET', '/jobs/any'], ['GET', '/jobs/admin/dead-letters'], ['POST', '/jobs/admin/jobs/any/cancel'],
  ['POST', '/jobs/admin/dead-letters/any/retry'], ['DELETE', '/jobs/admin/dead-letters/any']
] as const

function lock (file: SqliteFile): () => void {
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  return () => other.exec('COMMIT')
}

async function remove ({ path }: SqliteFile, clock: ManualClock): Promise<void> {
  await rename(path, `${path}.moved`)
  await clock.advance(10)
}

function closeConnection (file: SqliteFile): void {
  // Another connection that has read keeps the write-ahead log from being deleted with the last one.
  file.rows('queues')
  file.connections.at(-1)!.close()
}

const LOST = 'it failed unexpectedly; see the cause in the log'

/** What happens to the file, which may return how it ends, the words for it, and those calls that go on. */
const troubles: [name: string, begin: (file: SqliteFile, clock: ManualClock) => unknown, words: string, goOn?: string[]][] = [
  ['a locked file', lock, 'another process has locked the file; look for a transaction that was left open, or raise busyTimeout', ['get', 'list']],
  ['a full disk', fillDisk, 'the disk is full; make room', ['get', 'list', 'cancel', 'retry', 'remove']],
  ['a read-only file', (file) => file.connections.at(-1)!.exec('PRAGMA query_only = 1'), 'the file is read-only; make it and its folder writable', ['get', 'list']],
  ['a removed file', remove, 'the file was removed or replaced while it was open; restart the app'],
  ['lost tables', (file) => file.connect().exec('DROP TABLE fastify_jobs_jobs; DROP TABLE fastify_jobs_queues'), LOST],
  ['a connection that something closed', closeConnection, LOST]
]

for (const [name, begin, words, goOn = []] of troubles) {
  test(`${name}: no message has the path or SQLite’s words, every cause has, and so has the log`, async (t, file) => {
    const clock = new ManualClock()
    const lines: any[] = []
    const app = await file.app({ queues: { default: {}, mails: {} }, clock, lines, backend: { busyTimeout: 0 }, admin: { authorize: async () => {} } })
    app.jobs.define('work', async () => {})
    app.post('/enqueue', async () => app.jobs.enqueue('work', BIG))
    app.jobs.pause()
    await app.ready()
    await turns(20)
    const end = await begin(file, clock)
    const folder = dirname(file.path)
    // Tries for a lock wait for the clock.
    const answer = async <T> (asked: Promise<T>): Promise<T> => {
      asked.catch(() => {})
      await clock.advance(20)
      return asked
    }

    for (const [call, ask] of Object.entries(calls)) {
      if (goOn.includes(call)) {
        await answer(ask(app))
        continue
      }
      const error = await answer(ask(app)).then(() => undefined, (error) => error)
      t.match(error, {
        code: 'FST_JOBS_BACKEND_UNAVAILABLE',
        statusCode: 503,
        headers: { 'retry-after': '5' },
        message: `Backend 'sqlite' of queue 'default', 'mails' cannot be used: ${words}`
      }, call)
      t.ok(error?.cause?.message.startsWith(`SQLite file '${file.path}': `), `${call}: the cause has the path`)
      t.ok(error?.cause?.cause instanceof Error, `${call}: and what was thrown first`)
    }

    for (const [method, url] of requests) {
      const { statusCode, body, headers } = await answer(app.inject({ method, url }))
      t.notMatch(body + JSON.stringify(headers), new RegExp(`${folder}|jobs\\.db|errcode|no such table|database is`), `${method} ${url} (${statusCode})`)
    }
    t.equal((await answer(app.inject({ method: 'POST', url: '/enqueue' }))).statusCode, 503)
    t.ok(lines.some(({ msg, err }) => msg === 'the SQLite file cannot be used' && err.stack.includes(file.path)), 'the log has the path')
    if (typeof end === 'function') end()
    await answer(app.close())
  })
}

t.test('SQLite’s result codes, plain and extended, have words of ours', async (t) => {
  const words = new Map([[5, /locked/], [8, /read-only/], [10, /reading or writing/], [11, /damaged/], [13, /full/], [14, /cannot be opened/], [26, /not a SQLite database/]])
  for (let code = 1; code <= 28; code++) {
    for (const errcode of [code, code + 3 * 256]) {
      t.match(troubleOf(Object.assign(new Error('/home/app/jobs.db'), { errcode })), words.get(code) ?? /failed unexpectedly/, `${errcode}`)
    }
  }
  t.match(troubleOf(new TypeError('/home/app/jobs.db')), /failed unexpectedly/)
})
