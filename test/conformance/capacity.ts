import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { FullMode, QueueOptions } from '../../lib/index.ts'
import { isPending, NOT_SUPPORTED, numbers, QUEUE_FULL, refused, settled, STOPPING } from './assertions.ts'
import type { Case } from './case.ts'
import type { Lab } from './lab.ts'
import { inTime, until, untilThereAre } from './until.ts'

/** A paused app whose queue of two is full of the jobs 1 and 2; undefined where the backend refuses the mode, as it says. */
async function full (lab: Lab, fullMode: FullMode, queue: QueueOptions = {}): Promise<{ app: FastifyInstance, seen: number[], dropped: unknown[] } | undefined> {
  const settings = { queues: { default: { capacity: 2, concurrency: 1, ...queue, fullMode } } }
  if (lab.capabilities.fullModes?.includes(fullMode) === false) {
    await refused(lab.app(settings), NOT_SUPPORTED)
    return undefined
  }
  const app = await lab.app(settings)
  const seen: number[] = []
  const dropped: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  app.jobs.addHook('onDrop', ({ payload }) => { dropped.push(payload) })
  await app.ready()
  app.jobs.pause()
  for (const payload of [1, 2]) assert.equal((await app.jobs.enqueue('work', payload)).status, 'enqueued')
  return { app, seen, dropped }
}

function depth (app: FastifyInstance): Promise<number> {
  return app.jobs.status().then(({ queueDepth }) => queueDepth)
}

export const capacity: readonly Case[] = [
  {
    name: "full, 'wait': an enqueue waits until there is room, the first come first",
    async run (lab) {
      const { app, seen } = await full(lab, 'wait') ?? {}
      if (app === undefined) return
      const waiting = [3, 4, 5].map((payload) => settled(app.jobs.enqueue('work', payload).then(({ status }) => status)))
      for (const enqueued of waiting) assert.equal(await isPending(enqueued), true)
      assert.equal(await depth(app), 2)
      app.jobs.resume()
      assert.deepEqual(await inTime('there was room', Promise.all(waiting)), ['enqueued', 'enqueued', 'enqueued'])
      await until('all have run', () => seen!.length === 5)
      assert.deepEqual(seen, [1, 2, 3, 4, 5])
    }
  },
  {
    name: "full, 'wait': an enqueue with a timeout of its own waits no longer than that",
    async run (lab) {
      const backend = lab.connect()
      const app = await lab.app({ backend, queues: { default: { capacity: 1 } } })
      app.jobs.define('work', async () => {})
      await app.ready()
      app.jobs.pause()
      await app.jobs.enqueue('work', 1)
      const job = { id: 'job-2', name: 'work', payload: 2, attempt: 1, enqueuedAt: Date.now(), correlationId: undefined, options: undefined }
      const { fullModes = ['wait'] } = lab.capabilities
      if (fullModes.includes('wait')) await refused(inTime('it gave up', backend.enqueue('default', [job], { timeout: 10 })), QUEUE_FULL)
    }
  },
  {
    name: "full, 'wait': a smaller enqueue does not overtake one that waits for more room",
    async run (lab) {
      const { app, seen } = await full(lab, 'wait', { capacity: 3 }) ?? {}
      if (app === undefined) return
      const two = settled(app.jobs.enqueueMany([3, 4].map((payload) => ({ job: 'work', payload }))))
      const one = settled(app.jobs.enqueue('work', 5))
      assert.equal(await isPending(Promise.race([two, one])), true)
      app.jobs.resume()
      await inTime('there was room', Promise.all([two, one]))
      await until('all have run', () => seen!.length === 5)
      assert.deepEqual(seen, [1, 2, 3, 4, 5])
    }
  },
  {
    name: "full, 'wait': the signal ends the wait, and the job is never run",
    async run (lab) {
      const { app, seen } = await full(lab, 'wait') ?? {}
      if (app === undefined) return
      const controller = new AbortController()
      const one = app.jobs.enqueue('work', 3, { signal: controller.signal })
      const many = app.jobs.enqueueMany([{ job: 'work', payload: 4 }], { signal: controller.signal })
      const stays = settled(app.jobs.enqueue('work', 5))
      const given = [settled(one), settled(many)]
      assert.equal(await isPending(one), true)
      const reason = new Error('the client went away')
      controller.abort(reason)
      assert.deepEqual(await inTime('the waits ended', Promise.all(given)), [reason, reason])
      app.jobs.resume()
      await inTime('there was room', stays)
      await until('all others have run', () => seen!.length === 3)
      assert.deepEqual(seen, [1, 2, 5])
    }
  },
  {
    name: "full, 'wait': enqueueTimeout ends the wait with FST_JOBS_QUEUE_FULL, not before its time",
    async run (lab) {
      const { app } = await full(lab, 'wait', { enqueueTimeout: 200 }) ?? {}
      if (app === undefined) return
      const before = performance.now()
      await refused(app.jobs.enqueue('work', 3), QUEUE_FULL)
      // Timers may fire a millisecond early.
      assert.ok(performance.now() - before >= 198)
      assert.equal(await depth(app), 2)
    }
  },
  {
    name: "full, 'wait': stopping ends the wait with FST_JOBS_STOPPING",
    async run (lab) {
      const { app } = await full(lab, 'wait') ?? {}
      if (app === undefined) return
      const waits = refused(app.jobs.enqueue('work', 3), STOPPING)
      await Promise.all([waits, inTime('the app has closed', app.close())])
    }
  },
  {
    name: "full, 'wait': more jobs at once than the capacity are refused at once",
    async run (lab) {
      const { app } = await full(lab, 'wait') ?? {}
      if (app === undefined) return
      await refused(app.jobs.enqueueMany(numbers(3).map((payload) => ({ job: 'work', payload }))), QUEUE_FULL)
    }
  },
  {
    name: "full, 'wait': many producers, and never more jobs than the capacity",
    async run (lab) {
      const { app, seen } = await full(lab, 'wait') ?? {}
      if (app === undefined) return
      const depths: number[] = []
      app.jobs.addHook('onStart', async () => { depths.push(await depth(app)) })
      const producers = numbers(5).map(async (producer) => {
        for (const count of numbers(6)) await app.jobs.enqueue('work', 10 * producer + count)
      })
      const enqueued = Promise.all(producers.map(settled))
      app.jobs.resume()
      assert.deepEqual(await inTime('all are enqueued', enqueued, { progress: () => seen!.length }), [undefined, undefined, undefined, undefined, undefined])
      await untilThereAre(32, 'jobs have run', () => seen!.length)
      assert.equal(new Set(seen).size, 32)
      assert.deepEqual(depths.filter((depth) => depth > 2), [])
    }
  },
  {
    name: "full, 'reject': an enqueue is refused at once with FST_JOBS_QUEUE_FULL, 503 and Retry-After",
    async run (lab) {
      const { app, seen } = await full(lab, 'reject') ?? {}
      if (app === undefined) return
      await assert.rejects(app.jobs.enqueue('work', 3), (error: Error & { code?: string, statusCode?: number, headers?: Record<string, string> }) => {
        assert.deepEqual([error.code, error.statusCode], [QUEUE_FULL, 503])
        assert.match(error.headers!['retry-after']!, /^\d+$/)
        return true
      })
      app.jobs.resume()
      await until('there is room again', () => app.jobs.enqueue('work', 4).then(() => true, () => false))
      await until('all have run', () => seen!.length === 3)
      assert.deepEqual(seen, [1, 2, 4])
    }
  },
  {
    name: "full, 'reject': many jobs at once are taken all or none",
    async run (lab) {
      const { app } = await full(lab, 'reject', { capacity: 3 }) ?? {}
      if (app === undefined) return
      await refused(app.jobs.enqueueMany([{ job: 'work', payload: 3 }, { job: 'work', payload: 4 }]), QUEUE_FULL)
      assert.equal(await depth(app), 2)
      await app.jobs.enqueueMany([{ job: 'work', payload: 3 }])
      assert.equal(await depth(app), 3)
    }
  },
  ...([
    ['dropWrite', 'the new job', { statuses: ['dropped', 'dropped'], dropped: [3, 4], run: [1, 2] }],
    ['dropOldest', 'the job that has waited longest', { statuses: ['enqueued', 'enqueued'], dropped: [1, 2], run: [3, 4] }],
    ['dropNewest', 'the job that came last', { statuses: ['enqueued', 'enqueued'], dropped: [2, 3], run: [1, 4] }]
  ] as const).map(([fullMode, victim, expected]): Case => ({
    name: `full, '${fullMode}': ${victim} is dropped, and onDrop is told once`,
    async run (lab) {
      const { app, seen, dropped } = await full(lab, fullMode) ?? {}
      if (app === undefined) return
      const statuses = [(await app.jobs.enqueue('work', 3)).status, (await app.jobs.enqueueMany([{ job: 'work', payload: 4 }]))[0]!.status]
      assert.deepEqual(statuses, expected.statuses)
      assert.equal(await depth(app), 2)
      app.jobs.resume()
      await until('those that are left have run', () => seen!.length === 2)
      await until('drops were told', () => dropped!.length === 2)
      assert.deepEqual({ dropped, run: seen }, { dropped: expected.dropped, run: expected.run })
    }
  })),
  {
    name: 'a running job holds no room, a delayed one does',
    async run (lab) {
      const settings = { queues: { default: { capacity: 1, concurrency: 1, fullMode: 'reject' } } } as const
      if (lab.capabilities.fullModes?.includes('reject') === false) return refused(lab.app(settings), NOT_SUPPORTED)
      const app = await lab.app(settings)
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      await app.ready()
      await app.jobs.enqueue('work', 'runs')
      await held.haveBegun(1)
      if (!lab.capabilities.delay) return refused(app.jobs.enqueue('work', 'late', { delay: 1 }), NOT_SUPPORTED)
      assert.equal((await app.jobs.enqueue('work', 'late', { delay: 3_600_000 })).status, 'enqueued')
      await refused(app.jobs.enqueue('work', 'too many'), QUEUE_FULL)
    }
  },
  {
    name: 'a duplicate needs no room',
    async run (lab) {
      const { app } = await full(lab, lab.capabilities.fullModes?.[0] ?? 'wait', { capacity: 3 }) ?? {}
      await app!.jobs.enqueue('work', 3, { id: 'one' })
      assert.equal((await inTime('it was answered', app!.jobs.enqueue('work', 4, { id: 'one' }))).status, 'duplicate')
      assert.equal(await depth(app!), 3)
    }
  },
  {
    name: 'cancelling a job that waits makes room for an enqueue that waits',
    async run (lab) {
      const { app, seen } = await full(lab, 'wait', { capacity: 3 }) ?? {}
      if (app === undefined) return
      const { id } = await app.jobs.enqueue('work', 3)
      if (!lab.capabilities.inspect) return refused(app.jobs.cancel(id), NOT_SUPPORTED)
      const waits = settled(app.jobs.enqueue('work', 4).then(({ status }) => status))
      assert.equal(await isPending(waits), true)
      assert.equal(await app.jobs.cancel(id), true)
      assert.equal(await inTime('there was room', waits), 'enqueued')
      app.jobs.resume()
      await until('those that are left have run', () => seen!.length === 3)
      assert.deepEqual(seen, [1, 2, 4])
    }
  }
]
