import type { Test } from 'tap'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import type { BackendContext, Consumer, Delivery, Outcome } from '../../../lib/backends/index.ts'
import type { Backend } from '../../../lib/index.ts'
import type { EnvelopeOptions } from '../../../types/job.ts'
import { turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { test, type SqliteFile } from '../../helpers/sqlite.ts'

interface Opened {
  backend: Backend
  clock: ManualClock
  start: number
  /** Every delivery, with its values at the handing-over. */
  deliveries: { attempt: number, stalls: number | undefined, stalled: boolean | undefined, dueIn: number, at: number }[]
  enqueue (id: string, options?: EnvelopeOptions): Promise<unknown>
  /** Begins to work: each delivery comes to the next of the outcomes, then to success. */
  work (...outcomes: Outcome[]): Consumer
}

async function open (t: Test, file: SqliteFile): Promise<Opened> {
  const clock = new ManualClock()
  const backend = sqlite({ path: file.path, lease: 3000 })
  const settings = { name: 'default', capacity: 2, concurrency: 1, fullMode: 'reject', enqueueTimeout: undefined, history: 10, deadLetters: 10, maxPayloadBytes: 1000 } as const
  const log = { info () {}, warn () {}, error () {} } as unknown as BackendContext['log']
  await backend.open({ queues: [settings], log, clock, stopping: new AbortController().signal, onDrop () {} })
  t.teardown(() => backend.close())
  const start = clock.now()
  const deliveries: Opened['deliveries'] = []
  return {
    backend,
    clock,
    start,
    deliveries,
    enqueue: (id, options) => backend.enqueue('default', [{ id, name: 'work', payload: 1, attempt: 1, enqueuedAt: clock.now(), correlationId: undefined, options }], {}),
    work (...outcomes) {
      const deliver = (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): void => {
        deliveries.push({ attempt: delivery.envelope.attempt, stalls: delivery.stalls, stalled: delivery.stalled, dueIn: delivery.dueAt! - start, at: clock.now() - start })
        settle(delivery, outcomes.shift() ?? { type: 'succeeded' })
      }
      return backend.consume('default', { concurrency: 1 }, deliver as never)
    }
  }
}

test('a job that is handed back until a time is delayed until then, with its attempts, its stalls and the time at which it first fell due', async (t, file) => {
  const { backend, clock, start, deliveries, enqueue, work } = await open(t, file)
  await enqueue('plain')
  file.connect().exec('UPDATE fastify_jobs_jobs SET stalls = 3')
  work({ type: 'released', runAt: start + 1000 })
  await turns(20)
  t.match(await backend.find!('plain'), { state: 'delayed', attempt: 0, runAt: start + 1000 })
  t.match(await backend.stats('default'), { waiting: 0, waitingSince: undefined, delayed: 1, active: 0 })
  await clock.advance(999)
  t.equal(deliveries.length, 1)
  await clock.advance(1)
  t.same(deliveries, [{ attempt: 1, stalls: 3, stalled: false, dueIn: 0, at: 0 }, { attempt: 1, stalls: 3, stalled: false, dueIn: 0, at: 1000 }])
  t.match(await backend.find!('plain'), { state: 'succeeded', attempt: 1 })
  t.match(file.rows('queues'), [{ fresh: 0, returned: 0, delayed: 0, active: 0, finished: 1 }])
})

test('a delayed job and a retry that are handed back keep the time of their own', async (t, file) => {
  const { clock, start, deliveries, enqueue, work } = await open(t, file)
  await enqueue('delayed', { runAt: start + 100 })
  work(
    { type: 'released', runAt: start + 500 }, { type: 'retry', runAt: start + 700, error: { name: 'Error', message: 'no' } },
    { type: 'released', runAt: start + 2000 }
  )
  await clock.advance(3000)
  t.same(deliveries.map(({ attempt, dueIn, at }) => [attempt, dueIn, at]), [[1, 100, 100], [1, 100, 500], [2, 700, 700], [2, 700, 2000]])
})

test('a job that was handed back until a time waits, from then on, since it first fell due', async (t, file) => {
  const { backend, clock, start, enqueue, work } = await open(t, file)
  await clock.advance(50)
  await enqueue('plain')
  const consumer = work({ type: 'released', runAt: start + 1000 })
  await turns(20)
  consumer.pause()
  await clock.advance(999)
  t.match(await backend.stats('default'), { waiting: 0, waitingSince: start + 50, delayed: 1 }, 'what came back counts as delayed')
})

test('a job that is handed back until a time holds room until it runs', async (t, file) => {
  const { start, clock, enqueue, work, deliveries } = await open(t, file)
  await enqueue('a')
  work({ type: 'released', runAt: start + 1000 })
  await turns(20)
  await enqueue('b', { runAt: start + 5000 })
  await t.rejects(enqueue('c'), { code: 'FST_JOBS_QUEUE_FULL' })
  await clock.advance(1000)
  t.equal(deliveries.length, 2)
  await enqueue('d')
})

test('a time that has passed already hands a job back at once', async (t, file) => {
  const { start, deliveries, enqueue, work } = await open(t, file)
  await enqueue('a')
  work({ type: 'released', runAt: start }, { type: 'released', runAt: start - 1 })
  await turns(30)
  t.same(deliveries.map(({ attempt, at }) => [attempt, at]), [[1, 0], [1, 0], [1, 0]])
})

test('what was lost to another process is not handed back', async (t, file) => {
  const { start, enqueue, work } = await open(t, file)
  await enqueue('a')
  work({ type: 'released', runAt: start + 1000 })
  file.connect().exec('PRAGMA busy_timeout = 1000; CREATE TRIGGER steal AFTER UPDATE OF place ON fastify_jobs_jobs WHEN new.place = 2 BEGIN UPDATE fastify_jobs_jobs SET position = 7 WHERE seq = new.seq; END')
  await turns(30)
  t.match(file.rows('jobs'), [{ place: 2, position: 7 }])
  t.match(file.rows('queues'), [{ active: 1, delayed: 0, returned: 0 }])
})

test('the first delivery after a stall tells of it, and no later one; one that was called off does not count', async (t, file) => {
  const { clock, start, deliveries, enqueue, work } = await open(t, file)
  await enqueue('a')
  file.connect().exec('UPDATE fastify_jobs_jobs SET stalls = 1, stalled = 1')
  const consumer = work({ type: 'released' }, { type: 'retry', runAt: start + 10, error: { name: 'Error', message: 'no' } })
  // It is handed out a turn later.
  while (file.rows('jobs')[0].place !== 2) await turns(1)
  consumer.pause()
  await turns(20)
  t.same(deliveries, [])
  consumer.resume()
  await clock.advance(10)
  t.same(deliveries.map(({ attempt, stalls, stalled }) => [attempt, stalls, stalled]), [[1, 1, true], [1, 1, false], [2, 1, false]])
})
