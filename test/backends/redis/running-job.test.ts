import { Queue } from 'bullmq'
import t, { type Test } from 'tap'
import type { Outcome } from '../../../lib/backends/index.ts'
import { deferred } from '../../helpers/app.ts'
import { redisSpace, type RedisSpace } from '../../helpers/redis.ts'
import { consume, envelope, openBackend } from '../../helpers/redis-backend.ts'
import { until } from '../../helpers/outbox.ts'

function test (sentence: string, body: (t: Test, space: RedisSpace) => Promise<void>): void {
  t.test(sentence, async (t) => {
    const space = await redisSpace(t)
    if (space !== undefined) await body(t, space)
  })
}

/** A delayed job falls due now. */
async function promote (t: Test, { client, prefix }: RedisSpace, id: string): Promise<void> {
  const queue = new Queue('default', { connection: client, prefix })
  t.teardown(() => queue.close())
  await (await queue.getJob(id))!.promote()
}

test('a job that is handed back with a delay comes again then: the same attempt, with its stalls and the time at which it fell due', async (t, space) => {
  const backend = await openBackend(t, space)
  const job = envelope('job-1', { runAt: Date.now() + 20, uniqueKey: 'key', uniqueFor: 60_000 })
  await backend.enqueue('default', [job], {})
  await space.client.hset(`${space.prefix}:default:job-1`, 'stc', 2)
  const runAt = Date.now() + 60_000
  const deliveries = consume(t, backend, [{ type: 'released', runAt }])
  await until(async () => deliveries.length === 1 && (await backend.find('job-1'))?.state !== 'active')
  t.match(await backend.find('job-1'), { state: 'delayed', attempt: 0, runAt, error: undefined })
  t.match(await backend.enqueue('default', [envelope('job-2', { uniqueKey: 'key' })], {}), [{ id: 'job-1', status: 'duplicate' }], 'it keeps its unique key')
  t.match(await backend.stats('default'), { waiting: 0, delayed: 1, active: 0 })
  await promote(t, space, 'job-1')
  await until(() => deliveries.length === 2)
  for (const { envelope, stalls, dueAt } of deliveries) {
    t.equal(envelope.attempt, 1)
    t.equal(stalls, 2)
    t.equal(dueAt ?? envelope.options!.runAt, job.options!.runAt)
  }
  await until(async () => (await backend.find('job-1'))?.state === 'succeeded')
  t.equal((await backend.find('job-1'))!.attempt, 1)
})

test('the first delivery after a stall tells of it, and no later one; a dead letter that runs again has no past', async (t, space) => {
  const backend = await openBackend(t, space)
  await backend.enqueue('default', [envelope('job-1')], {})
  const error = { name: 'Error', message: 'no' }
  const begun = deferred()
  const held = deferred<Outcome>()
  const consumer = backend.consume('default', { concurrency: 1 }, (() => {
    begun.resolve()
    return held.promise
  }) as never)
  t.teardown(() => held.resolve({ type: 'released' }))
  await begun.promise
  consumer.pause()
  // As if its process had ended.
  await space.client.del(`${space.prefix}:default:job-1:lock`)
  const deliveries = consume(t, backend, [{ type: 'released' }, { type: 'retry', runAt: Date.now(), error }, { type: 'dead', error }])
  await until(async () => deliveries.length === 3 && (await backend.find('job-1'))?.state === 'dead')
  t.equal(await backend.retry('job-1'), true)
  await until(() => deliveries.length === 4)
  t.same(deliveries.map(({ envelope, stalls, stalled }) => [envelope.attempt, stalls, stalled]), [[1, 1, true], [1, 1, false], [2, 1, false], [1, 0, false]])
})

test('a retry that is handed back with a delay comes in its time, and keeps its attempt, its error and the time at which it fell due', async (t, space) => {
  const backend = await openBackend(t, space)
  await backend.enqueue('default', [envelope('job-1')], {})
  const due = Date.now() + 50
  const runAt = due + 200
  const deliveries = consume(t, backend, [
    { type: 'retry', runAt: due, error: { name: 'Error', message: 'first' } }, { type: 'released', runAt: due + 100 }, { type: 'released', runAt }, { type: 'released' }
  ])
  await until(() => deliveries.length === 5)
  t.ok(Date.now() >= runAt)
  t.same(deliveries.map(({ envelope }) => envelope.attempt), [1, 2, 2, 2, 2])
  t.same(deliveries.map(({ dueAt }) => dueAt), [undefined, due, due, due, due])
  t.match(await backend.find('job-1'), { error: { message: 'first' } })
})

test('a job that is handed back until a time that is past comes again at once, and others run meanwhile', async (t, space) => {
  const backend = await openBackend(t, space)
  for (const id of ['job-1', 'job-2', 'job-3']) await backend.enqueue('default', [envelope(id)], {})
  const deliveries = consume(t, backend, [{ type: 'released', runAt: Date.now() - 1000 }, { type: 'released', runAt: Date.now() + 300 }])
  await until(() => deliveries.length === 5)
  t.same(deliveries.map(({ envelope }) => envelope.id), ['job-1', 'job-2', 'job-3', 'job-1', 'job-2'])
})

test('whatever an error has is kept over a retry and in a dead letter', async (t, space) => {
  const backend = await openBackend(t, space)
  const error = {
    name: 'TypeError',
    message: 'fetch failed',
    code: 'E_FETCH',
    stack: 'TypeError: fetch failed\n    at here',
    cause: { name: 'Error', message: 'connect ECONNREFUSED', code: 'ECONNREFUSED', stack: 'Error: …', cause: { name: 'string', message: 'deeper' } },
    errors: [{ name: 'Error', message: 'one' }, { name: 'Error', message: 'two', code: 'E_TWO' }]
  }
  await backend.enqueue('default', [envelope('job-1')], {})
  const deliveries = consume(t, backend, [{ type: 'retry', runAt: Date.now() + 60_000, error }, { type: 'dead', error }])
  await until(async () => deliveries.length === 1 && (await backend.find('job-1'))?.state === 'delayed')
  t.same((await backend.find('job-1'))!.error, error)
  await promote(t, space, 'job-1')
  await until(async () => (await backend.find('job-1'))?.state === 'dead')
  t.same((await backend.find('job-1'))!.error, error)
  t.same((await backend.listDead('default', { limit: 1 }))[0]!.error, error)
})
