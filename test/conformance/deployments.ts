import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import { memory, type BackgroundJobsOptions, type DefineOptions } from '../../lib/index.ts'
import { durable, type Case } from './case.ts'
import { enqueueFromElsewhere } from './envelopes.ts'
import type { Lab } from './lab.ts'
import { inTime, until } from './until.ts'

const ID = '00000000-0000-4000-8000-000000000001'

interface Seen { readonly payload: unknown, readonly attempt: number }

/** One version of the app, ready, whose job 'work' is defined as given. */
async function version (lab: Lab, define: DefineOptions<undefined> | undefined, options: BackgroundJobsOptions = {}): Promise<{ app: FastifyInstance, seen: Seen[] }> {
  const app = await lab.app(options)
  const seen: Seen[] = []
  if (define !== undefined) app.jobs.define('work', define, async (payload, { job: { attempt } }) => { seen.push({ payload, attempt }) })
  await app.ready()
  return { app, seen }
}

async function isHandedBack (app: FastifyInstance): Promise<void> {
  await until('the job is handed back', async () => (await app.jobs.status()).queues.default!.delayed === 1)
}

/** Rolling deployments: instances of several versions work on one store. */
export const deployments: readonly Case[] = [
  {
    name: 'a job that this instance does not know is handed back with a delay, and uses up no attempt',
    appliesTo: durable,
    async run (lab) {
      const backend = lab.connect()
      const { app } = await version(lab, undefined, { backend, unknownJobs: { retryAfter: 400 } })
      const before = Date.now()
      await enqueueFromElsewhere(backend, { id: ID, name: 'work', payload: { kept: true } })
      await isHandedBack(app)
      if (lab.capabilities.inspect) {
        const { state, attempt, runAt, error } = (await app.jobs.get(ID))!
        assert.deepEqual([state, attempt, error], ['delayed', 0, undefined])
        assert.ok(runAt! >= before + 400 && runAt! <= Date.now() + 400, `due ${runAt! - before} ms after its enqueue, not before 400`)
      }
      assert.equal((await app.jobs.status()).queues.default!.deadLetters, 0)
      await inTime('the older app has closed', app.close())

      const newer = await version(lab, { attempts: 1 })
      await until('it has run', () => newer.seen.length === 1)
      assert.ok(Date.now() >= before + 400, `it ran after ${Date.now() - before} ms, not before 400`)
      assert.deepEqual(newer.seen, [{ payload: { kept: true }, attempt: 1 }])
    }
  },
  {
    name: 'a job that is handed back again and again is a dead letter after giveUpAfter, not before',
    appliesTo: durable,
    async run (lab) {
      const backend = lab.connect()
      const { app } = await version(lab, undefined, { backend, unknownJobs: { retryAfter: 20, giveUpAfter: 500 } })
      const before = Date.now()
      await enqueueFromElsewhere(backend, { id: ID, name: 'gone', payload: { kept: true } })
      await until('it is dead', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
      assert.ok(Date.now() - before >= 500, `dead after ${Date.now() - before} ms, not before 500`)
      if (!lab.capabilities.inspect) return
      const [letter] = await app.jobs.deadLetters.list()
      assert.deepEqual([letter!.name, letter!.error!.code, letter!.payload], ['gone', 'FST_JOBS_UNKNOWN_JOB', { kept: true }])
    }
  },
  {
    name: 'a job of a newer version is handed back; one of an older version is upgraded',
    appliesTo: durable,
    async run (lab) {
      const enqueuing = await lab.app()
      enqueuing.jobs.define('work', { version: 2 }, async () => {})
      enqueuing.jobs.pause()
      await enqueuing.ready()
      await enqueuing.jobs.enqueue('work', { to: 'ada' })
      await inTime('the app that enqueued has closed', enqueuing.close())

      const older = await version(lab, {}, { unknownJobs: { retryAfter: 50 } })
      await isHandedBack(older.app)
      await inTime('the older app has closed', older.app.close())
      assert.deepEqual(older.seen, [])

      const newer = await version(lab, { version: 3, attempts: 1, upgrade: ({ to }, from) => ({ recipients: [to], from }) })
      await until('it has run', () => newer.seen.length === 1)
      assert.deepEqual(newer.seen, [{ payload: { recipients: ['ada'], from: 2 }, attempt: 1 }])
    }
  },
  {
    name: 'a handler that may not enqueue any more while the app drains is released, and its job is no dead letter',
    async run (lab) {
      let hasRun = false
      const start = async (): Promise<{ app: FastifyInstance, seen: number[], dead: unknown[] }> => {
        const app = await lab.app({ queues: { memory: { backend: memory() } } })
        const seen: number[] = []
        const dead: unknown[] = []
        app.jobs.define('child', { queue: 'memory' }, async () => {})
        app.jobs.define('parent', { attempts: 1 }, async (_payload, { job: { attempt } }) => {
          seen.push(attempt)
          if (hasRun) return
          hasRun = true
          await draining
          await app.jobs.enqueue('child', null)
        })
        app.jobs.addHook('onDeadLetter', (job) => { dead.push(job.name) })
        const draining = new Promise<void>((resolve) => app.addHook('preClose', async () => resolve()))
        await app.ready()
        return { app, seen, dead }
      }
      const first = await start()
      await first.app.jobs.enqueue('parent', null)
      await until('the parent runs', () => first.seen.length === 1)
      await inTime('the app has closed', first.app.close())
      assert.deepEqual(first.dead, [])
      if (!lab.capabilities.durable) return
      const second = await start()
      await until('it has run again', () => second.seen.length === 1)
      assert.deepEqual(second.seen, [1])
    }
  }
]
