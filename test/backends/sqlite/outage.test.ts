import type { FastifyInstance } from 'fastify'
import { turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { runWithLimitedDisk, type Limit } from '../../helpers/limited-disk.ts'
import { fillDisk, freeDisk, test, type SqliteFile } from '../../helpers/sqlite.ts'

const UNAVAILABLE = { code: 'FST_JOBS_BACKEND_UNAVAILABLE', statusCode: 503 }
const BIG = 'x'.repeat(50_000)
const BEGAN = 'the SQLite file cannot be used'
const OVER = 'the SQLite file can be used again'

interface Outage {
  app: FastifyInstance
  clock: ManualClock
  /** What the log says about the file. */
  said (): string[]
  readiness (): Promise<number>
}

async function open (file: SqliteFile): Promise<Outage> {
  const clock = new ManualClock()
  const lines: any[] = []
  const app = await file.app({ clock, lines, level: 'info', backend: { busyTimeout: 1000 } })
  app.jobs.define('work', async () => {})
  app.jobs.pause()
  await app.ready()
  await turns(20)
  return {
    app,
    clock,
    said: () => lines.map(({ msg }) => msg).filter((msg) => /SQLite file/.test(msg)),
    readiness: async () => (await app.inject('/health')).statusCode
  }
}

/** As another process has it that the disk is read-only. */
function setReadOnly (file: SqliteFile, readOnly: boolean): void {
  file.connections.at(-1)!.exec(`PRAGMA query_only = ${readOnly}`)
}

for (const [trouble, begin, end] of [
  ['full', fillDisk, freeDisk],
  ['read-only', (file: SqliteFile) => setReadOnly(file, true), (file: SqliteFile) => setReadOnly(file, false)]
] as const) {
  test(`${trouble}: as long as enqueues are refused the app is not ready, however far apart they are, and the log says it once`, async (t, file) => {
    const { app, clock, said, readiness } = await open(file)
    begin(file)
    for (let n = 0; n < 4; n++) {
      await t.rejects(app.jobs.enqueue('work', BIG), { ...UNAVAILABLE, message: new RegExp(trouble) })
      t.equal(await readiness(), 503, 'from the first refusal on')
      await clock.advance(12_000)
      t.equal(await readiness(), 503, 'also when nobody has tried for a while')
    }
    t.same(said(), [BEGAN])
    end(file)
    await clock.advance(5000)
    t.equal(await readiness(), 200, 'nobody has to enqueue for that')
    t.same(said(), [BEGAN, OVER])
    t.same(file.rows('probe'), [])
    t.equal((await app.jobs.enqueue('work', BIG)).status, 'enqueued')
  })
}

test('a lease that is renewed in pages that are there is no sign that a full disk has room', async (t, file) => {
  const { app, clock, said, readiness } = await open(file)
  fillDisk(file)
  await t.rejects(app.jobs.enqueue('work', BIG), UNAVAILABLE)
  await clock.advance(60_000)
  t.match(file.rows('workers'), [{ lease_until: clock.now() + 30_000 }], 'it was renewed')
  t.equal(await readiness(), 503)
  t.same(said(), [BEGAN])
})

test('nor is a small job that found room; one as large as what was refused is', async (t, file) => {
  const { app, said, readiness } = await open(file)
  fillDisk(file)
  await t.rejects(app.jobs.enqueue('work', BIG), UNAVAILABLE)
  t.equal((await app.jobs.enqueue('work', 'small')).status, 'enqueued')
  t.equal(await readiness(), 503)
  freeDisk(file)
  await app.jobs.enqueue('work', BIG)
  t.equal(await readiness(), 200, 'at once')
  t.same(said(), [BEGAN, OVER])
})

test('nor is a duplicate, which stores nothing', async (t, file) => {
  const { app, said } = await open(file)
  await app.jobs.enqueue('work', BIG, { id: 'x' })
  fillDisk(file)
  await t.rejects(app.jobs.enqueue('work', BIG), UNAVAILABLE)
  t.match(await app.jobs.enqueue('work', BIG, { id: 'x' }), { status: 'duplicate' })
  t.same(said(), [BEGAN])
})

test('when a question was refused, any proof that the file can be written will do', async (t, file) => {
  const { app, clock, said, readiness } = await open(file)
  const { id } = await app.jobs.enqueue('work', 1)
  setReadOnly(file, true)
  await t.rejects(app.jobs.cancel(id), UNAVAILABLE)
  await clock.advance(3000)
  t.equal(await readiness(), 503)
  setReadOnly(file, false)
  await clock.advance(5000)
  t.equal(await readiness(), 200)
  t.equal(await app.jobs.cancel(id), true)
  t.same(said(), [BEGAN, OVER])
})

test('a lock that outlasts busyTimeout is logged, once, and so is its end', async (t, file) => {
  const { app, clock, said, readiness } = await open(file)
  const other = file.connect()
  other.exec('BEGIN IMMEDIATE')
  const failing = t.rejects(app.jobs.enqueue('work', 1), UNAVAILABLE)
  await clock.advance(1100)
  await failing
  await clock.advance(5000)
  t.same(said(), [BEGAN])
  other.exec('COMMIT')
  await clock.advance(20)
  t.equal(await readiness(), 200)
  t.same(said(), [BEGAN, OVER])
})

test('what an app that was killed while it tried the disk has left is removed', async (t, file) => {
  await open(file)
  file.connect().exec("INSERT INTO fastify_jobs_probe (filling) VALUES ('x')")
  await open(file)
  t.same(file.rows('probe'), [])
})

for (const [limit, message] of [['disk', /the disk is full/], ['file size', /reading or writing the file failed/]] as [Limit, RegExp][]) {
  test(`a real limit (${limit}) is noticed, said once, and over when there is room`, async (t) => {
    const { skip, output } = await runWithLimitedDisk(limit, `
      const { sqlite } = await import('${new URL('../../../lib/backends/sqlite/index.ts', import.meta.url)}')
      const { ManualClock } = await import('${new URL('../../helpers/clock.ts', import.meta.url)}')
      const clock = new ManualClock()
      const said = []
      const log = Fastify({ logger: { level: 'info', stream: { write: (line) => { said.push(JSON.parse(line).msg) } } } })
      await log.register(backgroundJobs, { clock, backend: sqlite({ path: folder + '/jobs.db' }) })
      log.jobs.define('work', async () => {})
      log.jobs.pause()
      await log.ready()
      const enqueue = () => log.jobs.enqueue('work', 'x'.repeat(20_000)).then(({ status }) => status, ({ message }) => message)
      const readiness = async () => (await log.inject('/health')).statusCode
      const results = [await enqueue()]
      fill()
      for (let n = 0; n < 3; n++) {
        results.push(await enqueue(), await readiness())
        await clock.advance(6000)
        results.push(await readiness())
      }
      free()
      await clock.advance(5000)
      results.push(await readiness(), await enqueue())
      console.log(JSON.stringify({ results, said: said.filter((msg) => /SQLite file/.test(msg)) }))
      await log.close()`)
    if (skip !== undefined) {
      t.pass('on a disk that is limited', { skip })
      return
    }
    const { results, said } = JSON.parse(output)
    t.match(results, ['enqueued', message, 503, 503, message, 503, 503, message, 503, 503, 200, 'enqueued'])
    t.same(said, [BEGAN, OVER])
  })
}
