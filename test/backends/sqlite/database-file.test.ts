import { copyFile, rename, rm, writeFile } from 'node:fs/promises'
import { symlinkSync } from 'node:fs'
import { turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { test, type SqliteFile } from '../../helpers/sqlite.ts'

const UNAVAILABLE = { code: 'FST_JOBS_BACKEND_UNAVAILABLE', statusCode: 503 }
/** Milliseconds for which transactions trust that the file is there. */
const TRUST = 10

async function open (file: SqliteFile) {
  const clock = new ManualClock()
  const lines: any[] = []
  const app = await file.app({ clock, lines })
  app.jobs.define('work', async () => {})
  app.jobs.pause()
  await app.ready()
  await turns(20)
  const said = () => lines.filter(({ msg }) => msg === 'the SQLite file cannot be used').length
  return { app, clock, said }
}

const losses: [name: string, lose: (path: string) => Promise<void>, message: RegExp][] = [
  ['removed', (path) => rm(path), /: the file was removed or replaced while it was open; restart the app/],
  ['moved', (path) => rename(path, `${path}.moved`), /: the file was removed or replaced/],
  ['replaced by a copy', async (path) => {
    await copyFile(path, `${path}.copy`)
    await rename(`${path}.copy`, path)
  }, /: the file was removed or replaced/],
  ['replaced by another file', async (path) => {
    await rm(path)
    await writeFile(path, '')
  }, /: the file was removed or replaced/],
  ['robbed of its write-ahead log', (path) => rm(`${path}-wal`), /: the -wal file beside the database was removed or replaced/],
  ['robbed of its shared memory', (path) => rm(`${path}-shm`), /: the -shm file beside the database was removed or replaced/]
]

for (const [name, lose, message] of losses) {
  test(`a file that was ${name} takes no more jobs, since they would be lost: without waiting for the next poll`, async (t, file) => {
    const { app, clock, said } = await open(file)
    await app.jobs.enqueue('work', 1)
    await lose(file.path)
    await clock.advance(TRUST)
    await t.rejects(app.jobs.enqueue('work', 2), { ...UNAVAILABLE, message })
    t.equal((await app.inject('/health')).statusCode, 503)
    await clock.advance(10_000)
    await t.rejects(app.jobs.enqueue('work', 3), { ...UNAVAILABLE, message }, 'for good')
    await t.rejects(app.jobs.get('any'), { ...UNAVAILABLE, message }, 'what it remembers is no longer true')
    t.equal(said(), 1)
  })
}

test('an app that enqueues nothing notices at the next poll', async (t, file) => {
  const { app, clock } = await open(file)
  await rename(file.path, `${file.path}.moved`)
  await clock.advance(500)
  t.equal((await app.inject('/health')).statusCode, 503)
})

test('transactions that follow each other closely look for the file once', async (t, file) => {
  const { app, clock } = await open(file)
  await clock.advance(TRUST)
  await app.jobs.enqueue('work', 1)
  await rename(file.path, `${file.path}.moved`)
  t.equal((await app.jobs.enqueue('work', 2)).status, 'enqueued', 'the documented window')
  await clock.advance(TRUST)
  await t.rejects(app.jobs.enqueue('work', 3), UNAVAILABLE)
})

test('a file that cannot be looked at is no lost file', async (t, file) => {
  const { app, clock } = await open(file)
  await rename(file.path, `${file.path}.moved`)
  symlinkSync(file.path, file.path)
  await clock.advance(TRUST)
  await t.rejects(app.jobs.enqueue('work', 1), { ...UNAVAILABLE, message: /it failed unexpectedly/, cause: { cause: { code: 'ELOOP' } } })
  await rename(`${file.path}.moved`, file.path)
  await clock.advance(5000)
  t.equal((await app.jobs.enqueue('work', 2)).status, 'enqueued')
})
