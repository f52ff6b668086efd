import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import { NOT_SUPPORTED, numbers, refused } from './assertions.ts'
import type { Case } from './case.ts'
import { deferred } from './deferred.ts'
import { inTime, until } from './until.ts'

async function hasState (app: FastifyInstance, id: string, state: string): Promise<void> {
  await until(`job ${id} is ${state}`, async () => (await app.jobs.get(id))?.state === state)
}

export const inspection: readonly Case[] = [
  {
    name: 'a job can be looked at while it waits, runs, and when it has ended',
    async run (lab) {
      const app = await lab.app()
      const held = lab.heldJobs()
      app.jobs.define('work', { attempts: 5 }, async (payload, { progress }) => {
        progress(0.5)
        await held.handler(payload)
      })
      await app.ready()
      if (!lab.capabilities.inspect) return refused(app.jobs.get('one'), NOT_SUPPORTED)
      app.jobs.pause()
      const before = Date.now()
      const { id } = await app.jobs.enqueue('work', 'payload', { correlationId: 'request-7' })
      const waits = (await app.jobs.get(id))!
      assert.deepEqual([waits.id, waits.name, waits.queue, waits.state, waits.attempt, waits.attempts, waits.correlationId], [id, 'work', 'default', 'waiting', 0, 5, 'request-7'])
      assert.deepEqual([waits.startedAt, waits.finishedAt, waits.error], [undefined, undefined, undefined])
      assert.ok(waits.enqueuedAt >= before && waits.enqueuedAt <= Date.now())
      assert.equal('payload' in waits, false)

      app.jobs.resume()
      await held.haveBegun(1)
      const runs = (await app.jobs.get(id))!
      assert.deepEqual([runs.state, runs.attempt, runs.finishedAt], ['active', 1, undefined])
      assert.ok(runs.startedAt! >= before && runs.startedAt! <= Date.now())
      await until('its progress is seen', async () => (await app.jobs.get(id))!.progress === 0.5)

      held.endAll()
      await hasState(app, id, 'succeeded')
      const ended = (await app.jobs.get(id))!
      assert.deepEqual([ended.attempt, ended.progress, ended.correlationId], [1, 0.5, 'request-7'])
      assert.ok(ended.finishedAt! >= runs.startedAt! && ended.finishedAt! <= Date.now())
    }
  },
  {
    name: 'a job that waits for its retry is delayed, with its last error',
    async run (lab) {
      const app = await lab.app()
      app.jobs.define('work', { backoff: () => 3_600_000 }, async () => { throw new RangeError('too much') })
      await app.ready()
      const before = Date.now()
      const { id } = await app.jobs.enqueue('work', null)
      if (!lab.capabilities.inspect) return refused(app.jobs.get(id), NOT_SUPPORTED)
      await hasState(app, id, 'delayed')
      const { attempt, error, runAt } = (await app.jobs.get(id))!
      assert.deepEqual([attempt, error!.name, error!.message], [1, 'RangeError', 'too much'])
      assert.ok(runAt! >= before + 3_600_000 && runAt! <= Date.now() + 3_600_000)
    }
  },
  {
    name: 'a delayed job says when it is due',
    async run (lab) {
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      if (!lab.capabilities.delay) return refused(app.jobs.enqueue('work', null, { delay: 1 }), NOT_SUPPORTED)
      const dueAt = Date.now() + 3_600_000
      const { id } = await app.jobs.enqueue('work', null, { runAt: dueAt })
      if (!lab.capabilities.inspect) return refused(app.jobs.get(id), NOT_SUPPORTED)
      const { state, runAt } = (await app.jobs.get(id))!
      assert.deepEqual([state, runAt], ['delayed', dueAt])
      const { queueDepth, delayed } = (await app.jobs.status()).queues.default!
      assert.deepEqual([queueDepth, delayed], [0, 1])
    }
  },
  {
    name: 'nobody knows a job whose id is unknown',
    async run (lab) {
      const app = await lab.app()
      await app.ready()
      if (!lab.capabilities.inspect) return refused(app.jobs.get('unknown'), NOT_SUPPORTED)
      for (const id of ['unknown', '', '*', '0', ':', '__proto__', 'default']) {
        assert.equal(await app.jobs.get(id), undefined)
        assert.equal(await app.jobs.cancel(id), false)
      }
    }
  },
  {
    name: 'a job that waits or is delayed can be cancelled, and is not run',
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      if (!lab.capabilities.inspect) return refused(app.jobs.cancel('one'), NOT_SUPPORTED)
      app.jobs.pause()
      const waits = await app.jobs.enqueue('work', 'waits')
      const ids = [waits.id]
      if (lab.capabilities.delay) ids.push((await app.jobs.enqueue('work', 'late', { delay: 3_600_000 })).id)
      await app.jobs.enqueue('work', 'stays')
      for (const id of ids) {
        assert.equal(await app.jobs.cancel(id), true)
        assert.equal((await app.jobs.get(id))!.state, 'cancelled')
        assert.equal(await app.jobs.cancel(id), false)
      }
      const { queueDepth, delayed } = (await app.jobs.status()).queues.default!
      assert.deepEqual([queueDepth, delayed], [1, 0])
      app.jobs.resume()
      await until('the other one has run', () => seen.length === 1)
      assert.deepEqual(seen, ['stays'])
    }
  },
  {
    name: 'a running job that is cancelled is told to stop, is not retried and is no dead letter',
    async run (lab) {
      const app = await lab.app()
      const aborted = deferred<unknown>()
      let attempts = 0
      app.jobs.define('work', async (_payload, { signal }) => {
        attempts++
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
          .catch((reason) => { aborted.resolve(reason.code); throw reason })
      })
      await app.ready()
      const { id } = await app.jobs.enqueue('work', null)
      await until('it runs', () => attempts === 1)
      assert.equal(await app.jobs.cancel(id), true)
      assert.equal(await inTime('its signal aborted', aborted.promise), 'FST_JOBS_CANCELLED')
      await until('nothing is left', async () => {
        const { inFlight, delayed, deadLetters, queueDepth } = (await app.jobs.status()).queues.default!
        return inFlight + delayed + deadLetters + queueDepth === 0
      })
      if (lab.capabilities.inspect) await hasState(app, id, 'cancelled')
      assert.equal(attempts, 1)
    }
  },
  {
    name: 'so many finished jobs are remembered as the queue says',
    async run (lab) {
      const app = await lab.app({ queues: { default: { history: 2, concurrency: 1 } } })
      app.jobs.define('work', async () => {})
      await app.ready()
      if (!lab.capabilities.inspect) return refused(app.jobs.get('one'), NOT_SUPPORTED)
      const ids: string[] = []
      for (const payload of numbers(5)) {
        const { id } = await app.jobs.enqueue('work', payload)
        await hasState(app, id, 'succeeded')
        ids.push(id)
      }
      await until('the first ones are forgotten', async () => {
        const states = await Promise.all(ids.map(async (id) => (await app.jobs.get(id))?.state))
        return states.join() === ',,,succeeded,succeeded'
      })
    }
  },
  {
    name: 'the status counts what waits, is delayed, runs and is dead',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1, capacity: 10 }, other: { concurrency: 1 } } })
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      app.jobs.define('fail', { queue: 'other', attempts: 1 }, async () => { throw new Error('always') })
      await app.ready()
      await app.jobs.enqueue('work', 'runs')
      await held.haveBegun(1)
      for (const payload of numbers(3)) await app.jobs.enqueue('work', payload)
      if (lab.capabilities.delay) await app.jobs.enqueue('work', 'late', { delay: 3_600_000 })
      await app.jobs.enqueue('fail', null)
      await until('one is dead', async () => (await app.jobs.status()).queues.other!.deadLetters === 1)
      const { queueDepth, inFlight, queues } = await app.jobs.status()
      assert.deepEqual([queueDepth, inFlight], [3, 1])
      assert.deepEqual({ ...queues.default }, { capacity: 10, concurrency: 1, paused: false, queueDepth: 3, delayed: lab.capabilities.delay ? 1 : 0, inFlight: 1, deadLetters: 0 })
    }
  },
  {
    name: 'stats say what waits, is delayed, runs and is dead, and since when a job has waited',
    async run (lab) {
      const backend = lab.connect()
      const app = await lab.app({ backend, queues: { default: { concurrency: 1 } } })
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      await app.ready()
      const { waitingSince, ...empty } = await backend.stats('default')
      assert.deepEqual(empty, { waiting: 0, delayed: 0, active: 0, dead: 0 })
      assert.equal(waitingSince, undefined)
      await app.jobs.enqueue('work', 'runs')
      await held.haveBegun(1)
      const before = Date.now()
      for (const payload of numbers(2)) await app.jobs.enqueue('work', payload)
      const after = Date.now()
      const { waitingSince: since, ...counts } = await backend.stats('default')
      assert.deepEqual(counts, { waiting: 2, delayed: 0, active: 1, dead: 0 })
      // Not every backend knows.
      if (since !== undefined) assert.ok(since >= before && since <= after, `waits since ${since}, between ${before} and ${after}`)
      if (lab.capabilities.priority) {
        await app.jobs.enqueue('work', 'goes first', { priority: 1 })
        assert.equal((await backend.stats('default')).waitingSince, since, 'one that came later has not waited longest, whatever its priority')
      }
      held.endAll()
      await until('nothing is left', async () => {
        const { waiting, active } = await backend.stats('default')
        return waiting + active === 0
      })
    }
  },
  {
    name: 'idle() waits until nothing waits or runs',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 2 } } })
      let ended = 0
      app.jobs.define('work', async () => {
        await new Promise((resolve) => setImmediate(resolve))
        ended++
      })
      await app.ready()
      await inTime('the empty queue was idle', app.jobs.idle())
      await app.jobs.enqueueMany(numbers(20).map((payload) => ({ job: 'work', payload })))
      await inTime('all had run', app.jobs.idle())
      assert.equal(ended, 20)
    }
  },
  {
    name: 'idle({ delayed: true }) waits for retries, too',
    async run (lab) {
      const app = await lab.app()
      let attempts = 0
      app.jobs.define('work', async () => { if (++attempts < 3) throw new Error('again') })
      await app.ready()
      await app.jobs.enqueue('work', null)
      await inTime('all attempts had been made', app.jobs.idle({ delayed: true }))
      assert.equal(attempts, 3)
    }
  }
]
