import assert from 'node:assert/strict'
import type { JobInfo } from '../../lib/index.ts'
import { NOT_SUPPORTED, numbers, refused } from './assertions.ts'
import type { Case } from './case.ts'
import { until, untilThereAre } from './until.ts'

export const enqueue: readonly Case[] = [
  {
    name: 'a job that was enqueued runs once, with its payload',
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      app.jobs.define('last', async () => { seen.push('last') })
      await app.ready()
      const { id, ...rest } = await app.jobs.enqueue('work', { to: 'ada@example.org', tags: ['a', 'b'] })
      assert.match(id, /^[\x21-\x7e]+$/)
      assert.deepEqual(rest, { name: 'work', queue: 'default', status: 'enqueued' })
      await until('the job has run', () => seen.length === 1)
      await app.jobs.enqueue('last', null)
      await until('the last job has run', () => seen.includes('last'))
      assert.deepEqual(seen, [{ to: 'ada@example.org', tags: ['a', 'b'] }, 'last'])
    }
  },
  {
    name: 'a handler is told the id, name, queue, attempt, attempts, correlation id and time of its job',
    async run (lab) {
      const app = await lab.app({ queues: { mails: {} } })
      let job: JobInfo | undefined
      app.jobs.define('work', { queue: 'mails', attempts: 7 }, async (_payload, context) => { job = context.job })
      await app.ready()
      const before = Date.now()
      const { id } = await app.jobs.enqueue('work', null, { correlationId: 'request "7" ü' })
      const after = Date.now()
      const { enqueuedAt, ...rest } = await until('the job has run', () => job)
      assert.deepEqual({ ...rest }, { id, name: 'work', queue: 'mails', attempt: 1, attempts: 7, correlationId: 'request "7" ü' })
      assert.ok(enqueuedAt >= before && enqueuedAt <= after, `enqueued at ${enqueuedAt}, between ${before} and ${after}`)
    }
  },
  {
    name: 'many jobs are enqueued at once, into several queues, and each runs once',
    async run (lab) {
      const app = await lab.app({ queues: { other: {} } })
      const seen: number[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      app.jobs.define('elsewhere', { queue: 'other' }, async (payload) => { seen.push(payload) })
      await app.ready()
      const jobs = numbers(100).map((payload) => ({ job: payload % 4 === 0 ? 'elsewhere' : 'work', payload }))
      const enqueued = await app.jobs.enqueueMany(jobs)
      assert.equal(new Set(enqueued.map(({ id }) => id)).size, 100)
      assert.deepEqual(enqueued.map(({ name, queue, status }) => [name, queue, status]),
        jobs.map(({ job }) => [job, job === 'work' ? 'default' : 'other', 'enqueued']))
      await untilThereAre(100, 'jobs have run', () => seen.length)
      assert.deepEqual(seen.sort((a, b) => a - b), numbers(100))
    }
  },
  {
    name: 'jobs that were enqueued before the app is ready run when it is',
    async run (lab) {
      const app = await lab.app()
      const seen: number[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.jobs.enqueue('work', 1)
      await app.jobs.enqueue('work', 2)
      assert.deepEqual(seen, [])
      await app.ready()
      await until('both have run', () => seen.length === 2)
    }
  },
  {
    name: 'every given id is an id: printable characters, digits, what others use as separators',
    async run (lab) {
      const app = await lab.app()
      const seen: string[] = []
      app.jobs.define('work', async (_payload, { job }) => { seen.push(job.id) })
      await app.ready()
      const ids = ['0', '1', '42', '-1', 'a:b', 'a:b:c:d', 'a/b', "it's", '"quoted"', 'a%b_c', '{a}', '*', '__proto__', '~'.repeat(100)]
      for (const id of ids) assert.deepEqual(await app.jobs.enqueue('work', null, { id }), { id, name: 'work', queue: 'default', status: 'enqueued' })
      await untilThereAre(ids.length, 'jobs have run', () => seen.length)
      assert.deepEqual(seen.sort(), ids.sort())
      if (!lab.capabilities.inspect) return
      for (const id of ids) await until(`'${id}' has succeeded`, async () => (await app.jobs.get(id))?.state === 'succeeded')
    }
  },
  {
    name: 'a given id is taken once, while its job waits, runs and is remembered, in whatever queue',
    async run (lab) {
      const app = await lab.app({ queues: { other: {} } })
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      app.jobs.define('elsewhere', { queue: 'other' }, held.handler)
      await app.ready()
      app.jobs.pause('default')
      const first = await app.jobs.enqueue('work', 'first', { id: 'one' })
      assert.deepEqual([first.id, first.status], ['one', 'enqueued'])
      const again = async (job = 'work'): Promise<unknown> => {
        const { id, status } = await app.jobs.enqueue(job, 'again', { id: 'one' })
        return { id, status }
      }
      assert.deepEqual(await again(), { id: 'one', status: 'duplicate' })
      assert.deepEqual(await again('elsewhere'), { id: 'one', status: 'duplicate' })
      app.jobs.resume()
      await held.haveBegun(1)
      assert.deepEqual(await again(), { id: 'one', status: 'duplicate' })
      held.endAll()
      await until('it has ended', async () => (await app.jobs.status()).inFlight === 0)
      // Where nobody can look at it any more, nothing has to remember it.
      if (!lab.capabilities.inspect) return
      assert.deepEqual(await again(), { id: 'one', status: 'duplicate' })
      const many = await app.jobs.enqueueMany([{ job: 'work', payload: 'again', id: 'one' }, { job: 'work', payload: 'two', id: 'two' }, { job: 'work', payload: 'again', id: 'two' }])
      assert.deepEqual(many.map(({ id, status }) => [id, status]), [['one', 'duplicate'], ['two', 'enqueued'], ['two', 'duplicate']])
      await held.haveEnded(2)
      assert.deepEqual(held.begun, ['first', 'two'])
    }
  },
  {
    name: '100 concurrent enqueues of one id are one job',
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      const answers = await Promise.all(numbers(100).map((payload) => app.jobs.enqueue('work', payload, { id: 'one' })))
      assert.equal(answers.filter(({ status }) => status === 'enqueued').length, 1)
      assert.ok(answers.every(({ id, status }) => id === 'one' && status !== 'dropped'))
      await app.jobs.enqueue('work', 'last')
      await until('the last job has run', () => seen.includes('last'))
      await until('nothing waits', async () => (await app.jobs.status()).queueDepth === 0)
      assert.equal(seen.length, 2)
    }
  },
  {
    name: 'a job that was cancelled gives its id to the next one',
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      if (!lab.capabilities.inspect) return refused(app.jobs.cancel('one'), NOT_SUPPORTED)
      app.jobs.pause()
      await app.jobs.enqueue('work', 'first', { id: 'one' })
      assert.equal(await app.jobs.cancel('one'), true)
      const { id, status } = await app.jobs.enqueue('work', 'second', { id: 'one' })
      assert.deepEqual([id, status], ['one', 'enqueued'])
      app.jobs.resume()
      await until('it has run', () => seen.length === 1)
      assert.deepEqual(seen, ['second'])
    }
  },
  {
    name: 'an inline function runs, or is refused where jobs are stored',
    async run (lab) {
      const app = await lab.app()
      await app.ready()
      let ran = false
      const enqueued = app.jobs.enqueue(async () => { ran = true }, { name: 'inline' })
      if (!lab.capabilities.delegates) return refused(enqueued, 'FST_JOBS_NOT_SERIALIZABLE')
      assert.equal((await enqueued).status, 'enqueued')
      await until('it has run', () => ran)
    }
  },
  {
    name: 'a handler may enqueue',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: unknown[] = []
      app.jobs.define('parent', async () => { await app.jobs.enqueue('child', 'from the parent') })
      app.jobs.define('child', async (payload) => { seen.push(payload) })
      await app.ready()
      await app.jobs.enqueue('parent', null)
      await until('the child has run', () => seen.length === 1)
      assert.deepEqual(seen, ['from the parent'])
    }
  }
]
