import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { EnqueueResult, JobEnvelope } from '../../lib/backends/index.ts'
import type { Backend, FullMode } from '../../lib/index.ts'
import { numbers, QUEUE_FULL, refused, settled } from './assertions.ts'
import type { Case, Subject } from './case.ts'
import type { Lab } from './lab.ts'
import { inTime, until } from './until.ts'

const HOUR = 3_600_000

interface Tick {
  readonly at: number
  /** Of the schedule. */
  readonly key?: string
  /** Absent: one of its own, as the unique key is. */
  readonly id?: string
  readonly uniqueKey?: string
  readonly uniqueFor?: number
}

let count = 0

/** What a schedule hands to its backend. */
function jobOf ({ at, key = 'nightly', id = `tick-${++count}`, uniqueKey = `key of ${id}`, uniqueFor = HOUR }: Tick): JobEnvelope {
  return {
    id,
    name: 'work',
    payload: null,
    attempt: 1,
    enqueuedAt: Date.now(),
    correlationId: undefined,
    options: { givenId: true, uniqueKey, uniqueFor, schedule: { name: 'nightly', at }, tickKey: key }
  }
}

interface TickStore {
  readonly app: FastifyInstance
  readonly backend: Backend
  readonly seen: string[]
  enqueue (tick: Tick, queue?: string, signal?: AbortSignal): Promise<EnqueueResult>
  /** Enqueued, as a job with an id of its own: the id. */
  takes (tick: Tick, queue?: string): Promise<string>
  /** A duplicate of the job of that id. */
  refuses (tick: Tick, id: string, queue?: string): Promise<void>
}

/** Paused queues that remember no finished job. */
async function storeOf (lab: Lab, queues: Record<string, { capacity: number, fullMode: FullMode }> = {}): Promise<TickStore> {
  const backend = lab.connect()
  const app = await lab.app({
    backend,
    queues: { default: { history: 0 }, other: {}, ...queues }
  })
  const seen: string[] = []
  app.jobs.define('work', async (_payload, { job }) => { seen.push(job.id) })
  await app.ready()
  app.jobs.pause()
  const enqueue = async (tick: Tick, queue = 'default', signal?: AbortSignal): Promise<EnqueueResult> => {
    const [result] = await backend.enqueue(queue, [jobOf(tick)], { signal })
    return result!
  }
  return {
    app,
    backend,
    seen,
    enqueue,
    async takes (tick, queue) {
      const { id, status } = await enqueue(tick, queue)
      assert.equal(status, 'enqueued')
      return id
    },
    async refuses (tick, id, queue) {
      assert.deepEqual(await inTime('the answer came', enqueue(tick, queue)), { id, status: 'duplicate' })
    }
  }
}

function remembersTicks ({ capabilities }: Subject): boolean {
  return capabilities.durable && capabilities.unique
}

export const ticks: readonly Case[] = [
  {
    name: 'a tick is not enqueued again when its job and its unique key are forgotten',
    appliesTo: remembersTicks,
    async run (lab) {
      const { app, backend, seen, takes, refuses } = await storeOf(lab)
      const tick = { at: Date.now() - HOUR, uniqueFor: 1 }
      const id = await takes({ ...tick, id: 'first', uniqueKey: 'key' })
      app.jobs.resume()
      for (const probe of [{ id: 'first', options: { givenId: true } }, { id: 'probe', options: { givenId: true, uniqueKey: 'key' } }] as const) {
        await until('its id, or its key, is free', async () => {
          const [result] = await backend.enqueue('default', [{ ...jobOf(tick), ...probe }], {})
          return result!.status === 'enqueued'
        })
      }
      await until('the probes have run, too', () => seen.length === 3)
      await app.jobs.idle()
      await refuses({ ...tick, id: 'second', uniqueKey: 'another key' }, id)
      await app.jobs.idle()
      assert.equal(seen.length, 3)
    }
  },
  {
    name: 'the next app on the store remembers the tick, too',
    appliesTo: remembersTicks,
    async run (lab) {
      const first = await storeOf(lab)
      const at = Date.now() - HOUR
      const id = await first.takes({ at })
      await first.app.close()
      const second = await storeOf(lab)
      await second.refuses({ at }, id)
      await second.takes({ at: at + 1 })
    }
  },
  {
    name: 'a tick that is earlier than the last one by more than uniqueFor is a duplicate of that one; within uniqueFor its unique key decides',
    appliesTo: remembersTicks,
    async run (lab) {
      const { takes, refuses } = await storeOf(lab)
      const at = Date.now() - 10 * HOUR
      const last = await takes({ at })
      await refuses({ at: at - HOUR - 1 }, last)
      const earlier = await takes({ at: at - HOUR, uniqueKey: 'key' })
      await refuses({ at: at - HOUR, uniqueKey: 'key' }, earlier)
      await refuses({ at }, last)
      await refuses({ at: at - HOUR - 1 }, last)
      await takes({ at: at - HOUR - 1, uniqueFor: HOUR + 1 })
    }
  },
  {
    name: 'a later tick is enqueued, and is the last one from then on',
    appliesTo: remembersTicks,
    async run (lab) {
      const { takes, refuses } = await storeOf(lab)
      const at = Date.now() - 10 * HOUR
      await takes({ at })
      const last = await takes({ at: at + HOUR + 1 })
      await refuses({ at: at + HOUR + 1 }, last)
      await refuses({ at }, last)
      await takes({ at: at + 1 })
      await refuses({ at }, last)
    }
  },
  {
    name: 'a last tick that is more than a minute in the future does not count, and is replaced',
    appliesTo: remembersTicks,
    async run (lab) {
      const { takes, refuses } = await storeOf(lab)
      const now = Date.now()
      await takes({ at: now + HOUR })
      await takes({ at: now + HOUR })
      const last = await takes({ at: now - HOUR, uniqueFor: 1000 })
      await refuses({ at: now - HOUR }, last)
      await refuses({ at: now - 2 * HOUR, uniqueFor: 1000 }, last)
    }
  },
  {
    name: 'a last tick that is less than a minute in the future counts',
    appliesTo: remembersTicks,
    async run (lab) {
      const { takes, refuses } = await storeOf(lab)
      const now = Date.now()
      const last = await takes({ at: now + 50_000 })
      await refuses({ at: now + 50_000 }, last)
      await refuses({ at: now, uniqueFor: 1000 }, last)
    }
  },
  {
    name: 'a tick of which many jobs are enqueued at the same time is one job',
    appliesTo: remembersTicks,
    async run (lab) {
      const { app, backend, enqueue } = await storeOf(lab)
      const at = Date.now() - HOUR
      const answers = await Promise.all(numbers(50).map(() => enqueue({ at })))
      answers.push(...await backend.enqueue('default', numbers(3).map(() => jobOf({ at })), {}))
      answers.push(...await backend.enqueue('default', numbers(3).map(() => jobOf({ at: at + 1 })), {}))
      assert.equal(answers.filter(({ status }) => status === 'enqueued').length, 2)
      assert.equal(new Set(answers.map(({ id }) => id)).size, 2)
      assert.equal((await app.jobs.status()).queues.default!.queueDepth, 2)
    }
  },
  {
    name: 'the ticks of two schedules, and those of two queues, do not meet',
    appliesTo: remembersTicks,
    async run (lab) {
      const { takes, refuses } = await storeOf(lab)
      const at = Date.now() - HOUR
      const first = await takes({ at, key: 'nightly' })
      const second = await takes({ at, key: 'weekly' })
      const third = await takes({ at, key: 'nightly' }, 'other')
      await refuses({ at, key: 'nightly' }, first)
      await refuses({ at, key: 'weekly' }, second)
      await refuses({ at, key: 'nightly' }, third, 'other')
    }
  },
  {
    name: 'a tick that found no room is not remembered, and one that is a duplicate needs none',
    appliesTo: remembersTicks,
    async run (lab) {
      const modes = (['wait', 'reject', 'dropWrite'] as const).filter((fullMode) => lab.capabilities.fullModes?.includes(fullMode) !== false)
      const { app, backend, seen, enqueue, takes, refuses } = await storeOf(lab, Object.fromEntries(modes.map((fullMode) => [fullMode, { capacity: 1, fullMode }])))
      const at = Date.now() - HOUR
      const plain = (id: string): JobEnvelope => ({ ...jobOf({ at, id }), options: { givenId: true } })
      for (const fullMode of modes) {
        await backend.enqueue(fullMode, [plain(`${fullMode} is full`)], {})
        if (fullMode === 'reject') {
          await refused(enqueue({ at }, fullMode), QUEUE_FULL)
        } else if (fullMode === 'dropWrite') {
          assert.equal((await enqueue({ at }, fullMode)).status, 'dropped')
        } else {
          const controller = new AbortController()
          const waiting = settled(enqueue({ at }, fullMode, controller.signal))
          controller.abort(new Error('enough'))
          await inTime('the wait ended', waiting)
        }
        const ran = seen.length
        app.jobs.resume(fullMode)
        await until('there is room', () => seen.length > ran)
        app.jobs.pause(fullMode)
        const id = await takes({ at }, fullMode)
        await refuses({ at }, id, fullMode)
      }
    }
  }
]
