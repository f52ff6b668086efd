import assert from 'node:assert/strict'
import { NOT_SUPPORTED, numbers, refused } from './assertions.ts'
import type { Case } from './case.ts'
import { until, untilThereAre } from './until.ts'

export const order: readonly Case[] = [
  {
    name: 'at concurrency 1 jobs run one at a time, in the order of their enqueues',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: number[] = []
      let running = 0
      app.jobs.define('work', async (payload) => {
        assert.equal(++running, 1)
        seen.push(payload)
        await new Promise((resolve) => setImmediate(resolve))
        running--
      })
      await app.ready()
      for (const payload of numbers(20)) await app.jobs.enqueue('work', payload)
      await untilThereAre(20, 'jobs have run', () => seen.length)
      await app.jobs.enqueueMany(numbers(20).map((payload) => ({ job: 'work', payload: 20 + payload })))
      await untilThereAre(40, 'jobs have run', () => seen.length)
      assert.deepEqual(seen, numbers(40))
    }
  },
  {
    name: 'a backlog runs in the order of its enqueues, those that were not awaited included',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: number[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      app.jobs.pause()
      await Promise.all(numbers(30).map((payload) => app.jobs.enqueue('work', payload)))
      await app.jobs.enqueueMany(numbers(30).map((payload) => ({ job: 'work', payload: 30 + payload })))
      app.jobs.resume()
      await untilThereAre(60, 'jobs have run', () => seen.length)
      assert.deepEqual(seen, numbers(60))
    }
  },
  {
    name: 'delayed jobs run in the order of their due times, those of one due time in the order of their enqueues',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: string[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      if (!lab.capabilities.delay) return refused(app.jobs.enqueue('work', null, { delay: 1 }), NOT_SUPPORTED)
      const late = Date.now() + 700
      const expected: string[] = []
      for (const number of numbers(12)) {
        const runAt = late - (number % 3) * 100
        await app.jobs.enqueue('work', `${runAt} ${number + 10}`, { runAt })
        expected.push(`${runAt} ${number + 10}`)
      }
      app.jobs.pause()
      await until('all are due', async () => Date.now() > late + 50 && (await app.jobs.status()).queues.default!)
      app.jobs.resume()
      await untilThereAre(12, 'jobs have run', () => seen.length)
      assert.deepEqual(seen, expected.sort())
    }
  },
  {
    name: 'exactly so many jobs run at once as the concurrency says',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 3 } } })
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      await app.ready()
      for (const payload of numbers(8)) await app.jobs.enqueue('work', payload)
      await held.haveBegun(3)
      assert.deepEqual((await app.jobs.status()).queues.default!.inFlight, 3)
      for (let ended = 0; ended < 5; ended++) {
        held.end(held.begun[ended])
        await held.haveBegun(ended + 4)
        assert.equal(held.running, 3)
      }
      held.endAll()
      await held.haveEnded(8)
      assert.equal(held.most, 3)
    }
  },
  {
    name: 'queues of one backend do not wait for one another',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 }, other: { concurrency: 1 } } })
      const held = lab.heldJobs()
      const seen: unknown[] = []
      app.jobs.define('hold', held.handler)
      app.jobs.define('work', { queue: 'other' }, async (payload) => { seen.push(payload) })
      await app.ready()
      await app.jobs.enqueue('hold', 'held')
      await held.haveBegun(1)
      await app.jobs.enqueue('work', 'other')
      await until('the other queue has run', () => seen.length === 1)
      assert.deepEqual(held.ended, [])
    }
  },
  {
    name: 'jobs of higher priority run first, those of one priority in the order of their enqueues',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: string[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      if (!lab.capabilities.priority) return refused(app.jobs.enqueue('work', 'high', { priority: 1 }), NOT_SUPPORTED)
      app.jobs.pause()
      const priorities = { normal: undefined, low: -5, high: 5, zero: 0, highest: 1000, 'high too': 5, lowest: -1000, 'low too': -5 }
      for (const [payload, priority] of Object.entries(priorities)) await app.jobs.enqueue('work', payload, { priority })
      app.jobs.resume()
      await untilThereAre(8, 'jobs have run', () => seen.length)
      assert.deepEqual(seen, ['highest', 'high', 'high too', 'normal', 'zero', 'low', 'low too', 'lowest'])
    }
  },
  {
    name: 'a delayed job does not begin before its time, and holds up nobody',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const begun: { payload: string, at: number }[] = []
      app.jobs.define('work', async (payload) => { begun.push({ payload, at: Date.now() }) })
      await app.ready()
      if (!lab.capabilities.delay) {
        await refused(app.jobs.enqueue('work', 'late', { delay: 10 }), NOT_SUPPORTED)
        return refused(app.jobs.enqueue('work', 'late', { runAt: Date.now() + 10 }), NOT_SUPPORTED)
      }
      const now = Date.now()
      await app.jobs.enqueue('work', 'latest', { runAt: new Date(now + 600) })
      await app.jobs.enqueue('work', 'late', { delay: 300 })
      await app.jobs.enqueue('work', 'at once')
      await app.jobs.enqueue('work', 'due already', { runAt: now - 10_000 })
      await until('all have begun', () => begun.length === 4)
      assert.deepEqual(begun.map(({ payload }) => payload), ['at once', 'due already', 'late', 'latest'])
      assert.ok(begun[2]!.at - now >= 300, `after ${begun[2]!.at - now} ms, not before 300`)
      assert.ok(begun[3]!.at - now >= 600, `after ${begun[3]!.at - now} ms, not before 600`)
    }
  },
  {
    name: 'a paused queue begins no job, goes on with those that run, and continues when it is resumed',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 2 }, other: {} } })
      const held = lab.heldJobs()
      const seen: unknown[] = []
      app.jobs.define('work', held.handler)
      app.jobs.define('elsewhere', { queue: 'other' }, async (payload) => { seen.push(payload) })
      await app.ready()
      await app.jobs.enqueue('work', 'before')
      await held.haveBegun(1)
      app.jobs.pause('default')
      await app.jobs.enqueue('work', 'while')
      held.end('before')
      await held.haveEnded(1)
      for (const payload of numbers(5)) await app.jobs.enqueue('elsewhere', payload)
      await until('the other queue has run', () => seen.length === 5)
      assert.deepEqual(held.begun, ['before'])
      const { paused, queueDepth } = (await app.jobs.status()).queues.default!
      assert.deepEqual({ paused, queueDepth }, { paused: true, queueDepth: 1 })
      app.jobs.resume()
      await held.haveBegun(2)
      assert.deepEqual(held.begun, ['before', 'while'])
    }
  }
]
