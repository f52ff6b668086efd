import t, { type Test } from 'tap'
import type { Backend, EnqueueResult } from '../../../types/backend.ts'
import type { EnvelopeOptions, JobEnvelope } from '../../../types/job.ts'
import { redisSpace, type RedisSpace } from '../../helpers/redis.ts'
import { consume, envelope, openBackend } from '../../helpers/redis-backend.ts'
import { until } from '../../helpers/outbox.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DUE = Date.now() - 24 * HOUR

function test (sentence: string, body: (t: Test, space: RedisSpace) => Promise<void>): void {
  t.test(sentence, async (t) => {
    const space = await redisSpace(t)
    if (space !== undefined) await body(t, space)
  })
}

function tick (id: string, at: number, options: EnvelopeOptions = {}): JobEnvelope {
  return envelope(id, { tickKey: 'nightly', schedule: { name: 'nightly', at }, uniqueFor: HOUR, ...options })
}

async function enqueue (backend: Backend, ...jobs: JobEnvelope[]): Promise<string[]> {
  return (await backend.enqueue('default', jobs, {})).map(({ id, status }: EnqueueResult) => `${status} ${id}`)
}

test('a tick is a duplicate of its job for good: by then its id and its unique key are forgotten', async (t, space) => {
  const backend = await openBackend(t, space, { history: 0 })
  const first = (id: string) => tick(id, DUE, { givenId: true, uniqueKey: 'tick', uniqueFor: 0 })
  t.same(await enqueue(backend, first('run:1')), ['enqueued run:1'])
  consume(t, backend, [])
  await until(async () => await backend.find('run:1') === undefined)
  t.same(await space.client.keys(`${space.prefix}:default:de:*`), [])
  t.same(await enqueue(backend, first('run:1')), ['duplicate run:1'])
  t.same(await enqueue(backend, tick('another-1', DUE)), ['duplicate run:1'])
  t.same(await enqueue(backend, tick('run-2', DUE + 1)), ['enqueued run-2'])
  t.same(await enqueue(backend, tick('another-2', DUE + 1)), ['duplicate run-2'])
})

test('of an earlier tick only one whose unique key may be forgotten is a duplicate', async (t, space) => {
  const backend = await openBackend(t, space)
  t.same(await enqueue(backend, tick('run-3', DUE)), ['enqueued run-3'])
  t.same(await enqueue(backend, tick('run-1', DUE - HOUR - 1)), ['duplicate run-3'])
  t.same(await enqueue(backend, tick('run-2', DUE - HOUR)), ['enqueued run-2'])
  t.same(await enqueue(backend, tick('again', DUE)), ['duplicate run-3'], 'the latest one stays')
  t.same(await enqueue(backend, tick('without', DUE - 1, { uniqueFor: undefined })), ['duplicate run-3'])
  t.equal((await backend.stats('default')).waiting, 2)
})

test('of many that enqueue a tick at the same time one does, and so within one enqueue', async (t, space) => {
  const backends = await Promise.all([openBackend(t, space), openBackend(t, space)])
  const results = await Promise.all(Array.from({ length: 20 }, (_, n) => enqueue(backends[n % 2]!, tick(`run-${n}`, DUE))))
  const [enqueued] = results.flat().filter((result) => result.startsWith('enqueued'))
  const id = enqueued!.slice('enqueued '.length)
  t.equal(results.flat().filter((result) => result === `duplicate ${id}`).length, 19)
  const later = ['a-1', 'a-2', 'a-3'].map((id) => tick(id, DUE + 1))
  t.same(await enqueue(backends[0], ...later, envelope('plain-1')), ['enqueued a-1', 'duplicate a-1', 'duplicate a-1', 'enqueued plain-1'])
  t.equal((await backends[0].stats('default')).waiting, 3)
})

test('a tick whose job finds no room is not remembered, and one that is remembered needs none', async (t, space) => {
  const backend = await openBackend(t, space, { capacity: 1 })
  t.same(await enqueue(backend, tick('run-1', DUE)), ['enqueued run-1'])
  await t.rejects(enqueue(backend, tick('run-2', DUE + 1)), { code: 'FST_JOBS_QUEUE_FULL' })
  await t.rejects(enqueue(backend, tick('run-2', DUE + 1, { givenId: true })), { code: 'FST_JOBS_QUEUE_FULL' })
  t.same(await enqueue(backend, tick('another', DUE)), ['duplicate run-1'])
  t.same(await enqueue(backend, tick('another', DUE, { givenId: true }), tick('run-0', DUE - 2 * HOUR)), ['duplicate run-1', 'duplicate run-1'])
  t.equal(await backend.cancel('run-1'), true)
  t.same(await enqueue(backend, tick('run-2', DUE + 1, { givenId: true })), ['enqueued run-2'])
})

test('a tick whose job was a duplicate is not remembered', async (t, space) => {
  const backend = await openBackend(t, space)
  await enqueue(backend, envelope('job-1', { givenId: true, uniqueKey: 'key' }))
  t.same(await enqueue(backend, tick('job-1', DUE, { givenId: true })), ['duplicate job-1'])
  t.same(await enqueue(backend, tick('run-1', DUE, { uniqueKey: 'key' })), ['duplicate job-1'])
  t.same(await enqueue(backend, tick('run-2', DUE)), ['enqueued run-2'])
})

test('the job of a tick that was cancelled is not enqueued again, and still known', async (t, space) => {
  const backend = await openBackend(t, space)
  const first = tick('run-1', DUE, { givenId: true })
  await enqueue(backend, first)
  t.equal(await backend.cancel('run-1'), true)
  t.same(await enqueue(backend, first), ['duplicate run-1'])
  t.match(await backend.find('run-1'), { state: 'cancelled' })
  t.equal((await backend.stats('default')).waiting, 0)
})

test('several jobs for which another process left no room are all kept out, also one whose id was that of a cancelled job', async (t, space) => {
  const [backend, other] = await Promise.all([openBackend(t, space, { capacity: 3 }), openBackend(t, space, { capacity: 3 })])
  await enqueue(backend, envelope('freed-1', { givenId: true }))
  await backend.cancel('freed-1')
  await enqueue(other, envelope('job-1'), envelope('job-2'))
  await t.rejects(enqueue(backend, envelope('job-3'), envelope('freed-1', { givenId: true })), { code: 'FST_JOBS_QUEUE_FULL' })
  t.equal((await backend.stats('default')).waiting, 2)
  t.match(await backend.find('freed-1'), { state: 'cancelled' })
})
