import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import type { DeadLetter } from '../../lib/index.ts'
import { INVALID_PAYLOAD, NOT_SUPPORTED, numbers, refused } from './assertions.ts'
import { durable, type Case } from './case.ts'
import { enqueueFromElsewhere } from './envelopes.ts'
import type { Lab } from './lab.ts'
import { until } from './until.ts'

/** The dead letters, once there are so many. */
async function deadLetters (app: FastifyInstance, count: number): Promise<DeadLetter[]> {
  return until(`there are ${count} dead letters`, async () => {
    const letters = await app.jobs.deadLetters.list()
    return letters.length >= count && letters
  })
}

/** An app whose job 'fail' fails until it is told to succeed; with the order in which attempts began. */
async function failing (lab: Lab, queue: object = {}): Promise<{ app: FastifyInstance, begun: { payload: unknown, attempt: number }[], succeed (): void }> {
  const app = await lab.app({ queues: { default: queue } })
  const begun: { payload: unknown, attempt: number }[] = []
  let fails = true
  app.jobs.define('fail', { attempts: 2 }, async (payload, { job: { attempt } }) => {
    begun.push({ payload, attempt })
    if (fails) throw Object.assign(new TypeError(`attempt ${attempt} fails`), { code: 'E_FAIL' })
  })
  await app.ready()
  return { app, begun, succeed () { fails = false } }
}

export const deadLetterCases: readonly Case[] = [
  {
    name: 'a job that has used up its attempts is a dead letter, with its payload and its last error',
    async run (lab) {
      const { app } = await failing(lab)
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.list(), NOT_SUPPORTED)
      const before = Date.now()
      const { id } = await app.jobs.enqueue('fail', { to: 'ada' }, { correlationId: 'request-7' })
      const [letter] = await deadLetters(app, 1)
      const { error, enqueuedAt, startedAt, finishedAt, ...rest } = letter!
      assert.deepEqual({ name: error!.name, message: error!.message, code: error!.code }, { name: 'TypeError', message: 'attempt 2 fails', code: 'E_FAIL' })
      assert.match(error!.stack!, /attempt 2 fails/)
      assert.ok(before <= enqueuedAt && enqueuedAt <= startedAt! && startedAt! <= finishedAt! && finishedAt! <= Date.now())
      const { name, queue, state, attempt, payload, correlationId } = rest
      assert.deepEqual({ id: rest.id, name, queue, state, attempt, payload, correlationId },
        { id, name: 'fail', queue: 'default', state: 'dead', attempt: 2, payload: { to: 'ada' }, correlationId: 'request-7' })
    }
  },
  {
    name: 'long texts of an error are cut, its causes are kept, in dead letters and while the job waits for its retry',
    async run (lab) {
      const app = await lab.app()
      const long = 'x'.repeat(1024 * 1024)
      app.jobs.define('fail', { backoff: () => 3_600_000 }, async () => {
        throw Object.assign(new AggregateError([new RangeError('a member')], long, { cause: Object.assign(new TypeError('the reason'), { code: 'E_REASON' }) }), { stack: long })
      })
      await app.ready()
      const { id } = await app.jobs.enqueue('fail', null)
      if (!lab.capabilities.inspect) return refused(app.jobs.get(id), NOT_SUPPORTED)
      const retried = await until('it waits for its retry', async () => (await app.jobs.get(id))?.error)
      await app.jobs.enqueue('fail', null, { attempts: 1 })
      const [letter] = await deadLetters(app, 1)
      for (const { message, stack, cause, errors } of [retried, letter!.error!]) {
        assert.match(message, /^x{8192}… \[cut: 1048576 bytes\]$/)
        assert.match(stack!, /^x{16384}… \[cut: 1048576 bytes\]$/)
        assert.deepEqual([cause!.name, cause!.message, cause!.code], ['TypeError', 'the reason', 'E_REASON'])
        assert.deepEqual(errors!.map(({ name, message }) => [name, message]), [['RangeError', 'a member']])
      }
    }
  },
  {
    name: 'dead letters are listed the oldest first, so many as are asked for, of the queue that is asked for',
    async run (lab) {
      const { app } = await failing(lab, { concurrency: 1 })
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.list({ limit: 2 }), NOT_SUPPORTED)
      for (const payload of numbers(4)) {
        await app.jobs.enqueue('fail', payload, { attempts: 1 })
        await deadLetters(app, payload)
      }
      const payloads = async (options: object): Promise<unknown[]> => (await app.jobs.deadLetters.list(options)).map(({ payload }) => payload)
      assert.deepEqual(await payloads({}), [1, 2, 3, 4])
      assert.deepEqual(await payloads({ limit: 2 }), [1, 2])
      assert.deepEqual(await payloads({ limit: 0 }), [])
      assert.deepEqual(await payloads({ queue: 'default' }), [1, 2, 3, 4])
    }
  },
  {
    name: 'a dead letter that is retried runs again from its first attempt, with all its attempts',
    async run (lab) {
      const { app, begun, succeed } = await failing(lab)
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.retry('one'), NOT_SUPPORTED)
      const { id } = await app.jobs.enqueue('fail', 'payload')
      await deadLetters(app, 1)
      assert.equal(await app.jobs.deadLetters.retry(id), true)
      await until('it has failed twice more', () => begun.length === 4)
      await deadLetters(app, 1)
      succeed()
      assert.equal(await app.jobs.deadLetters.retry(id), true)
      await until('it has succeeded', async () => (await app.jobs.get(id))?.state === 'succeeded')
      assert.deepEqual(begun, [1, 2, 1, 2, 1].map((attempt) => ({ payload: 'payload', attempt })))
      assert.deepEqual(await app.jobs.deadLetters.list(), [])
      assert.equal(await app.jobs.deadLetters.retry(id), false)
    }
  },
  {
    name: 'a dead letter that is retried is let in when the queue is full',
    async run (lab) {
      const { app, begun, succeed } = await failing(lab, { capacity: 1 })
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.retry('one'), NOT_SUPPORTED)
      const { id } = await app.jobs.enqueue('fail', 'dead', { attempts: 1 })
      await deadLetters(app, 1)
      app.jobs.pause()
      succeed()
      await app.jobs.enqueue('fail', 'fills')
      assert.equal(await app.jobs.deadLetters.retry(id), true)
      const { queueDepth } = await app.jobs.status()
      assert.ok(queueDepth <= 1, `${queueDepth} jobs wait, more than the capacity`)
      app.jobs.resume()
      await until('both have run', () => begun.length === 3)
      assert.deepEqual(begun.slice(1).map(({ payload }) => payload).sort(), ['dead', 'fills'])
    }
  },
  {
    name: 'a dead letter whose unique key another job has by now is not retried, and the answer names that job',
    async run (lab) {
      const { app, begun, succeed } = await failing(lab)
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.retry('one'), NOT_SUPPORTED)
      if (!lab.capabilities.unique) return refused(app.jobs.enqueue('fail', 1, { uniqueKey: 'key' }), NOT_SUPPORTED)
      const first = await app.jobs.enqueue('fail', 'first', { uniqueKey: 'key', attempts: 1 })
      await deadLetters(app, 1)
      app.jobs.pause()
      const second = await app.jobs.enqueue('fail', 'second', { uniqueKey: 'key' })
      assert.equal(second.status, 'enqueued')
      await assert.rejects(app.jobs.deadLetters.retry(first.id), { code: 'FST_JOBS_UNIQUE_KEY_TAKEN', statusCode: 409, heldBy: second.id })
      succeed()
      app.jobs.resume()
      await until('the second one has succeeded', async () => (await app.jobs.get(second.id))?.state === 'succeeded')
      app.jobs.pause()
      assert.equal(await app.jobs.deadLetters.retry(first.id), true)
      const third = await app.jobs.enqueue('fail', 'third', { uniqueKey: 'key' })
      assert.deepEqual([third.id, third.status], [first.id, 'duplicate'], 'it has its key again')
      app.jobs.resume()
      await until('the first one has succeeded', async () => (await app.jobs.get(first.id))?.state === 'succeeded')
      assert.deepEqual(begun.map(({ payload }) => payload), ['first', 'second', 'first'])
    }
  },
  {
    name: 'a dead letter that is removed is forgotten',
    async run (lab) {
      const { app } = await failing(lab)
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.remove('one'), NOT_SUPPORTED)
      const { id } = await app.jobs.enqueue('fail', null)
      await deadLetters(app, 1)
      assert.equal(await app.jobs.deadLetters.remove(id), true)
      assert.deepEqual(await app.jobs.deadLetters.list(), [])
      assert.equal(await app.jobs.get(id), undefined)
      assert.equal((await app.jobs.status()).queues.default!.deadLetters, 0)
      assert.equal(await app.jobs.deadLetters.remove(id), false)
      assert.equal(await app.jobs.deadLetters.retry(id), false)
    }
  },
  {
    name: 'only a dead letter is retried or removed: no id that is unknown, no job that waits or has succeeded',
    async run (lab) {
      const { app, succeed } = await failing(lab)
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.remove('one'), NOT_SUPPORTED)
      succeed()
      assert.deepEqual([await app.jobs.deadLetters.retry('unknown'), await app.jobs.deadLetters.remove('unknown')], [false, false])
      app.jobs.pause()
      const { id } = await app.jobs.enqueue('fail', null)
      assert.deepEqual([await app.jobs.deadLetters.retry(id), await app.jobs.deadLetters.remove(id)], [false, false])
      app.jobs.resume()
      await until('it has succeeded', async () => (await app.jobs.get(id))?.state === 'succeeded')
      assert.deepEqual([await app.jobs.deadLetters.retry(id), await app.jobs.deadLetters.remove(id)], [false, false])
    }
  },
  {
    name: 'so many dead letters are kept as the queue says, and the oldest one goes first',
    async run (lab) {
      const { app } = await failing(lab, { deadLetters: 2, concurrency: 1 })
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.list(), NOT_SUPPORTED)
      for (const payload of numbers(4)) {
        await app.jobs.enqueue('fail', payload, { attempts: 1 })
        await until('it is dead', async () => (await app.jobs.deadLetters.list()).at(-1)?.payload === payload)
      }
      await until('the last two are kept', async () => {
        const payloads = (await app.jobs.deadLetters.list()).map(({ payload }) => payload)
        return payloads.join() === '3,4'
      })
      await until('they are counted', async () => (await app.jobs.status()).queues.default!.deadLetters === 2)
    }
  },
  {
    name: "with unknownJobs 'deadLetter' a job that this app does not define is a dead letter, and the consumer goes on",
    async run (lab) {
      const backend = lab.connect()
      const app = await lab.app({ backend, queues: { default: { concurrency: 1 } }, unknownJobs: 'deadLetter' })
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      await enqueueFromElsewhere(backend, { id: '00000000-0000-4000-8000-000000000001', name: 'gone', payload: { kept: true } })
      await app.jobs.enqueue('work', 'after it')
      await until('the job after it has run', () => seen.length === 1)
      await until('it is dead', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
      if (!lab.capabilities.inspect) return
      const [letter] = await app.jobs.deadLetters.list()
      assert.deepEqual([letter!.name, letter!.error!.code, letter!.payload], ['gone', 'FST_JOBS_UNKNOWN_JOB', { kept: true }])
    }
  },
  {
    name: 'a stored payload that no longer fits its schema is a dead letter that says so',
    appliesTo: durable,
    async run (lab) {
      const backend = lab.connect()
      const app = await lab.app({ backend })
      const dead: unknown[] = []
      app.jobs.define('work', { schema: { type: 'object', required: ['to'] } }, async () => {})
      app.jobs.addHook('onDeadLetter', (_job, error) => { dead.push((error as { code?: unknown }).code) })
      await app.ready()
      await enqueueFromElsewhere(backend, { id: '00000000-0000-4000-8000-000000000001', name: 'work', payload: {} })
      await until('it is dead', () => dead.length === 1)
      assert.deepEqual(dead, [INVALID_PAYLOAD])
    }
  },
  {
    name: 'a record that cannot be read is a dead letter, and the consumer goes on',
    appliesTo: ({ target }) => target.corrupt !== undefined,
    async run (lab) {
      const app = await lab.app({ queues: { default: { concurrency: 1 } } })
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      app.jobs.pause()
      const { id } = await app.jobs.enqueue('work', 'spoilt')
      await lab.target.corrupt!(lab.space, 'default', id)
      await app.jobs.enqueue('work', 'after it')
      app.jobs.resume()
      await until('the job after it has run', () => seen.length === 1)
      assert.deepEqual(seen, ['after it'])
      await until('it is dead', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
      if (!lab.capabilities.inspect) return
      const [letter] = await deadLetters(app, 1)
      assert.deepEqual([letter!.id, letter!.error!.code], [id, INVALID_PAYLOAD])
      assert.equal((await app.jobs.get(id))!.state, 'dead')
      assert.equal(await app.jobs.deadLetters.remove(id), true)
    }
  }
]
