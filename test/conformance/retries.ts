import assert from 'node:assert/strict'
import { NonRetryableError } from '../../lib/index.ts'
import { storesPayloads, type Case } from './case.ts'
import { until } from './until.ts'

export const retries: readonly Case[] = [
  {
    name: 'a failed attempt is followed by the next one, until it succeeds',
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      const told: unknown[] = []
      app.jobs.define('work', async (payload, { job: { attempt, attempts } }) => {
        seen.push({ payload, attempt, attempts })
        if (attempt < 3) throw new Error(`attempt ${attempt}`)
      })
      app.jobs.addHook('onRetry', ({ attempt }, { message }) => { told.push({ attempt, message }) })
      app.jobs.addHook('onSuccess', ({ attempt }) => { told.push(`success of ${attempt}`) })
      await app.ready()
      await app.jobs.enqueue('work', 'payload')
      await until('it has succeeded', () => told.length === 3)
      assert.deepEqual(seen, [1, 2, 3].map((attempt) => ({ payload: 'payload', attempt, attempts: 3 })))
      assert.deepEqual(told, [{ attempt: 1, message: 'attempt 1' }, { attempt: 2, message: 'attempt 2' }, 'success of 3'])
      await until('nothing is left', async () => {
        const { queueDepth, delayed, deadLetters } = (await app.jobs.status()).queues.default!
        return queueDepth + delayed + deadLetters === 0
      })
    }
  },
  {
    name: 'an attempt does not begin before the backoff of the one before has passed',
    async run (lab) {
      const app = await lab.app()
      const begun: number[] = []
      const failed: number[] = []
      app.jobs.define('work', { attempts: 3, backoff: (attempt) => 100 * attempt }, async (_payload, { job: { attempt } }) => {
        begun.push(Date.now())
        if (attempt === 3) return
        failed.push(Date.now())
        throw new Error('again')
      })
      await app.ready()
      await app.jobs.enqueue('work', null)
      await until('three attempts have begun', () => begun.length === 3)
      assert.ok(begun[1]! - failed[0]! >= 100, `after ${begun[1]! - failed[0]!} ms, not before 100`)
      assert.ok(begun[2]! - failed[1]! >= 200, `after ${begun[2]! - failed[1]!} ms, not before 200`)
    }
  },
  {
    name: 'a job that waits for its retry holds no slot',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: unknown[] = []
      app.jobs.define('fail', { backoff: () => 3_600_000 }, async () => { throw new Error('an hour') })
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      await app.jobs.enqueue('fail', null)
      await app.jobs.enqueue('work', 'meanwhile')
      await until('the other job has run', () => seen.length === 1)
      const { delayed, queueDepth } = (await app.jobs.status()).queues.default!
      assert.deepEqual({ delayed, queueDepth }, { delayed: 1, queueDepth: 0 })
    }
  },
  {
    name: 'a retry is let in when the queue is full',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1, capacity: 1 } } })
      const held = lab.heldJobs()
      const seen: unknown[] = []
      app.jobs.define('fail', async (payload, { job: { attempt } }) => {
        if (attempt > 1) return seen.push('retried')
        await held.handler(payload)
        throw new Error('again')
      })
      app.jobs.define('work', async () => { seen.push('work') })
      await app.ready()
      await app.jobs.enqueue('fail', 'fails')
      await held.haveBegun(1)
      await app.jobs.enqueue('work', null)
      held.endAll()
      await until('both have run', () => seen.length === 2)
      assert.deepEqual(seen.sort(), ['retried', 'work'])
    }
  },
  {
    name: 'the attempts are those of the enqueue where it gives some, else those of the definition',
    async run (lab) {
      const app = await lab.app()
      const dead: unknown[] = []
      app.jobs.define('work', { attempts: 2 }, async () => { throw new Error('always') })
      app.jobs.addHook('onDeadLetter', ({ payload, attempt, attempts }) => { dead.push({ payload, attempt, attempts }) })
      await app.ready()
      await app.jobs.enqueue('work', 'definition')
      await until('the first one is dead', () => dead.length === 1)
      await app.jobs.enqueue('work', 'enqueue', { attempts: 4 })
      await until('both are dead', () => dead.length === 2)
      assert.deepEqual(dead, [{ payload: 'definition', attempt: 2, attempts: 2 }, { payload: 'enqueue', attempt: 4, attempts: 4 }])
    }
  },
  {
    name: 'a job whose error cannot be retried is dead at once',
    async run (lab) {
      const app = await lab.app()
      const dead: unknown[] = []
      app.jobs.define('work', async () => { throw new NonRetryableError('no such address') })
      app.jobs.addHook('onDeadLetter', ({ attempt }, { message }) => { dead.push({ attempt, message }) })
      await app.ready()
      await app.jobs.enqueue('work', null)
      await until('it is dead', () => dead.length === 1)
      assert.deepEqual(dead, [{ attempt: 1, message: 'no such address' }])
      await until('it is counted', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
    }
  },
  {
    name: 'whatever a handler throws, the consumer goes on',
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const thrown = ['a string', null, undefined, 42, { not: 'an error' }, Object.assign(new Error('with a code'), { code: 'E_CODE' })]
      const dead: string[] = []
      const seen: unknown[] = []
      app.jobs.define('fail', { attempts: 1 }, async (index) => { throw thrown[index] })
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      app.jobs.addHook('onDeadLetter', (_job, { message }) => { dead.push(message) })
      await app.ready()
      for (const index of thrown.keys()) await app.jobs.enqueue('fail', index)
      await app.jobs.enqueue('work', 'after them')
      await until('the last one has run', () => seen.length === 1)
      await until('all others are dead', () => dead.length === thrown.length)
      assert.equal(dead[0], 'a string')
      assert.equal(dead.at(-1), 'with a code')
    }
  },
  {
    name: 'every attempt gets the payload as it was enqueued, whatever an earlier one did to it, and so does the dead letter',
    appliesTo: storesPayloads,
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => {
        seen.push(structuredClone(payload))
        payload.list.push('changed')
        throw new Error('again')
      })
      await app.ready()
      await app.jobs.enqueue('work', { list: [1] }, { attempts: 3 })
      await until('three attempts have run', () => seen.length === 3)
      assert.deepEqual(seen, [{ list: [1] }, { list: [1] }, { list: [1] }])
      await until('it is dead', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
      if (lab.capabilities.inspect) assert.deepEqual((await app.jobs.deadLetters.list())[0]!.payload, { list: [1] })
    }
  }
]
