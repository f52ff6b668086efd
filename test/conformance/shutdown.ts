import assert from 'node:assert/strict'
import type { BackgroundJobsOptions } from '../../lib/index.ts'
import { numbers, refused, STOPPING } from './assertions.ts'
import { durable, type Case } from './case.ts'
import { deferred } from './deferred.ts'
import { inTime, until } from './until.ts'

const AT_ONCE: BackgroundJobsOptions = { shutdown: { mode: 'stop', timeout: 1000 } }

export const shutdown: readonly Case[] = [
  {
    name: 'close waits for the jobs that run, and takes no other',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } }, shutdown: { timeout: 60_000 } })
      const held = lab.heldJobs()
      const stopping = deferred<void>()
      app.jobs.define('work', held.handler)
      app.addHook('preClose', async () => stopping.resolve())
      await app.ready()
      for (const payload of ['first', 'second']) await app.jobs.enqueue('work', payload)
      await held.haveBegun(1)
      const closed = app.close()
      await stopping.promise
      assert.equal(await Promise.race([closed.then(() => 'closed'), new Promise((resolve) => setTimeout(resolve, 50, 'open'))]), 'open')
      held.endAll()
      await inTime('the app has closed', closed)
      assert.deepEqual(held.ended, ['first'])
    }
  },
  {
    name: 'an enqueue after close is refused with FST_JOBS_STOPPING',
    async run (lab) {
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      await inTime('the app has closed', app.close())
      await refused(app.jobs.enqueue('work', null), STOPPING)
      await inTime('it has closed again', app.close())
    }
  },
  {
    name: "'drainQueued' runs what waits, too",
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 2 } }, shutdown: { mode: 'drainQueued', timeout: 30_000 } })
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      await app.ready()
      for (const payload of numbers(10)) await app.jobs.enqueue('work', payload)
      await held.haveBegun(2)
      const closed = app.close()
      held.endAll()
      await inTime('the app has closed', closed, { progress: () => held.ended.length })
      assert.deepEqual([...held.ended].sort((a, b) => Number(a) - Number(b)), numbers(10))
    }
  },
  {
    name: 'an attempt that the shutdown cuts off is neither retried nor dead',
    async run (lab) {
      const app = await lab.app(AT_ONCE)
      const told: string[] = []
      let begun = false
      app.jobs.define('work', { attempts: 1 }, async (_payload, { signal }) => {
        begun = true
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
      for (const name of ['onRetry', 'onDeadLetter', 'onSuccess'] as const) app.jobs.addHook(name, () => { told.push(name) })
      await app.ready()
      await app.jobs.enqueue('work', null)
      await until('it runs', () => begun)
      await inTime('the app has closed', app.close())
      assert.deepEqual(told, [])
    }
  },
  {
    name: 'jobs that end with the process are counted as discarded',
    appliesTo: ({ capabilities }) => !capabilities.durable,
    async run (lab) {
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      app.jobs.pause()
      for (const payload of numbers(3)) await app.jobs.enqueue('work', payload)
      const discarded = app.jobs.metrics!.registry.getSingleMetric('jobs_discarded_total')!
      await inTime('the app has closed', app.close())
      const { values } = await discarded.get()
      assert.deepEqual(values.filter(({ labels }) => labels.job_name === 'work').map(({ value }) => value), [3])
    }
  },
  ...([[3, 2], [1, 1], [2, 2]] as const).map(([attempts, attempt]): Case => ({
    name: `attempt ${attempt} of ${attempts}, cut off by a shutdown, is made again by the next app`,
    appliesTo: durable,
    async run (lab) {
      const seen: number[] = []
      const dead: unknown[] = []
      const start = async (last: boolean) => {
        const app = await lab.app(AT_ONCE)
        app.jobs.define('work', { attempts }, async (_payload, { job, signal }) => {
          seen.push(job.attempt)
          if (job.attempt < attempt) throw new Error('again')
          if (!last) await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        })
        app.jobs.addHook('onDeadLetter', (job) => { dead.push(job) })
        await app.ready()
        return app
      }
      const first = await start(false)
      await first.jobs.enqueue('work', null)
      await until(`attempt ${attempt} runs`, () => seen.at(-1) === attempt)
      await inTime('the first app has closed', first.close())
      const second = await start(true)
      await until('the attempt is made again', () => seen.length === attempt + 1)
      assert.deepEqual(seen, [...numbers(attempt), attempt])
      await until('nothing is left', async () => {
        const { queueDepth, inFlight, delayed, deadLetters } = (await second.jobs.status()).queues.default!
        return queueDepth + inFlight + delayed + deadLetters === 0
      })
      assert.deepEqual(dead, [])
    }
  })),
  {
    name: 'a released job does not wait for its lease to end',
    appliesTo: durable,
    async run (lab) {
      const first = await lab.app(AT_ONCE)
      let begun = false
      first.jobs.define('work', async (_payload, { signal }) => {
        begun = true
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
      await first.ready()
      const { id } = await first.jobs.enqueue('work', null)
      await until('it runs', () => begun)
      await inTime('the app has closed', first.close())
      const second = await lab.app()
      second.jobs.define('work', async () => {})
      second.jobs.pause()
      await second.ready()
      const { queueDepth, inFlight } = (await second.jobs.status()).queues.default!
      // A job that was returned may count among the delayed ones; running it does not count.
      assert.equal(inFlight, 0)
      assert.ok(queueDepth <= 1)
      if (lab.capabilities.inspect) assert.equal((await second.jobs.get(id))!.state, 'waiting')
    }
  },
  {
    name: 'jobs that wait, are delayed, wait for their retry or are dead outlive close and reopen',
    appliesTo: durable,
    async run (lab) {
      const seen: unknown[] = []
      const start = async (fails: boolean) => {
        const app = await lab.app({ queues: { default: { concurrency: 1 } } })
        app.jobs.define('fail', { backoff: () => 500 }, async (payload, { job: { attempt } }) => {
          if (fails) throw new Error('this time')
          seen.push([payload, attempt])
        })
        app.jobs.define('work', async (payload, { job: { attempt } }) => { seen.push([payload, attempt]) })
        await app.ready()
        return app
      }
      const first = await start(true)
      const done = await first.jobs.enqueue('work', 'done')
      await until('one has run', () => seen.length === 1)
      await first.jobs.enqueue('fail', 'retry')
      await first.jobs.enqueue('fail', 'dead', { attempts: 1 })
      await until('one waits for its retry, one is dead', async () => {
        const { delayed, deadLetters } = (await first.jobs.status()).queues.default!
        return delayed === 1 && deadLetters === 1
      })
      first.jobs.pause()
      await first.jobs.enqueue('work', 'waits', { correlationId: 'kept' })
      const inspects = lab.capabilities.inspect
      const dueAt = Date.now() + 800
      if (lab.capabilities.delay) await first.jobs.enqueue('work', 'delayed', { runAt: dueAt })
      await inTime('the first app has closed', first.close())

      const second = await start(false)
      const expected = [['done', 1], ['waits', 1], ['retry', 2], ...(lab.capabilities.delay ? [['delayed', 1]] : [])]
      await until('all have run', () => seen.length === expected.length)
      // On a busy machine the retry may be due by the time at which the second app begins.
      assert.deepEqual(new Set(seen), new Set(expected))
      if (lab.capabilities.delay) assert.ok(Date.now() >= dueAt)
      assert.equal((await second.jobs.status()).queues.default!.deadLetters, 1)
      if (!inspects) return
      assert.equal((await second.jobs.get(done.id))!.state, 'succeeded')
      const [letter] = await second.jobs.deadLetters.list()
      assert.deepEqual([letter!.payload, letter!.error!.message], ['dead', 'this time'])
      assert.equal(await second.jobs.deadLetters.retry(letter!.id), true)
      await until('the dead letter has run', () => seen.length === expected.length + 1)
      assert.deepEqual(seen.at(-1), ['dead', 1])
    }
  },
  {
    name: 'ids and unique keys stay taken after close and reopen',
    appliesTo: durable,
    async run (lab) {
      const start = async () => {
        const app = await lab.app()
        app.jobs.define('work', async () => {})
        app.jobs.pause()
        await app.ready()
        return app
      }
      const first = await start()
      await first.jobs.enqueue('work', null, { id: 'one' })
      if (lab.capabilities.unique) await first.jobs.enqueue('work', null, { uniqueKey: 'key' })
      await inTime('the first app has closed', first.close())
      const second = await start()
      assert.equal((await second.jobs.enqueue('work', null, { id: 'one' })).status, 'duplicate')
      if (lab.capabilities.unique) assert.equal((await second.jobs.enqueue('work', null, { uniqueKey: 'key' })).status, 'duplicate')
    }
  },
  {
    name: 'a job that a handler enqueues while the app drains is kept where jobs are durable, and refused elsewhere',
    async run (lab) {
      const first = await lab.app()
      const draining = deferred<void>()
      const enqueued = deferred<PromiseSettledResult<unknown>>()
      let begun = false
      first.addHook('preClose', async () => draining.resolve())
      first.jobs.define('parent', async () => {
        begun = true
        await draining.promise
        enqueued.resolve((await Promise.allSettled([first.jobs.enqueue('child', 'kept')]))[0])
      })
      first.jobs.define('child', async () => {})
      await first.ready()
      await first.jobs.enqueue('parent', null)
      await until('the parent runs', () => begun)
      await inTime('the app has closed', first.close())
      const settled = await enqueued.promise
      if (!lab.capabilities.durable) {
        assert.equal(settled.status === 'rejected' && settled.reason.code, STOPPING)
        return
      }
      assert.equal(settled.status, 'fulfilled')
      const second = await lab.app()
      const seen: unknown[] = []
      second.jobs.define('child', async (payload) => { seen.push(payload) })
      await second.ready()
      await until('the child has run', () => seen.length === 1)
      assert.deepEqual(seen, ['kept'])
    }
  }
]
