import type { Test } from 'tap'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import type { Backend, FullMode } from '../../../lib/index.ts'
import type { EnvelopeOptions, JobEnvelope } from '../../../types/job.ts'
import { buildApp, turns } from '../../helpers/app.ts'
import { ManualClock } from '../../helpers/clock.ts'
import { fillDisk, freeDisk, test, type SqliteFile } from '../../helpers/sqlite.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

interface Ticking {
  backend: Backend
  clock: ManualClock
  start: number
  /** Enqueues the job `id` for a tick, milliseconds from the start; 'enqueued', 'dropped', or whose duplicate it is. */
  tick (id: string, at: number, options?: Partial<EnvelopeOptions>): Promise<string>
  remembered (): unknown[]
}

async function open (t: Test, file: SqliteFile, settings: { capacity?: number, fullMode?: FullMode } = {}): Promise<Ticking> {
  const clock = new ManualClock()
  const backend = sqlite({ path: file.path })
  const app = await buildApp(t, { backend, clock, queues: { default: settings, other: {} } })
  app.jobs.define('work', async () => {})
  app.jobs.pause()
  await app.ready()
  await turns(20)
  const start = clock.now()
  return {
    backend,
    clock,
    start,
    async tick (id, at, options = {}) {
      const [result] = await backend.enqueue('default', [envelope(id, { tickKey: 'nightly', uniqueFor: HOUR, schedule: { name: 'nightly', at: start + at }, ...options })], {})
      return result!.status === 'duplicate' ? `duplicate of ${result!.id}` : result!.status
    },
    remembered: () => file.rows('ticks').map(({ key, tick, job }) => [key, tick - start, job])
  }
}

function envelope (id: string, options: EnvelopeOptions): JobEnvelope {
  return { id, name: 'work', payload: 1, attempt: 1, enqueuedAt: 0, correlationId: undefined, options }
}

test('the latest tick of a key is remembered for good: a job of that tick is a duplicate of the first', async (t, file) => {
  const { backend, clock, tick, remembered } = await open(t, file)
  t.equal(await tick('a', 0), 'enqueued')
  t.equal(await tick('b', 0), 'duplicate of a')
  t.equal(await backend.cancel!('a'), true)
  t.equal(await tick('c', 0), 'duplicate of a', 'whatever has become of it')
  await clock.sleep(100 * 24 * HOUR)
  t.equal(await tick('d', 0), 'duplicate of a', 'however long ago')
  t.equal(await tick('e', HOUR), 'enqueued')
  t.same(remembered(), [['nightly', HOUR, 'e']], 'a row a key')
})

test('a tick that is earlier by more than uniqueFor is a duplicate of the latest; one that is earlier by less is another job', async (t, file) => {
  const { tick, remembered } = await open(t, file)
  t.equal(await tick('late', 0), 'enqueued')
  t.equal(await tick('within', -HOUR), 'enqueued')
  t.equal(await tick('beyond', -HOUR - 1), 'duplicate of late')
  t.equal(await tick('short', -1, { uniqueFor: undefined }), 'duplicate of late', 'its unique key is gone with its end')
  t.same(remembered(), [['nightly', 0, 'late']], 'the latest stays')
})

test('keys and queues have ticks of their own, and so has every file', async (t, file) => {
  const { backend, start, tick } = await open(t, file)
  t.equal(await tick('a', 0), 'enqueued')
  t.equal(await tick('b', 0, { tickKey: 'hourly' }), 'enqueued')
  const options = { tickKey: 'nightly', schedule: { name: 'nightly', at: start } }
  t.match(await backend.enqueue('other', [envelope('c', options)], {}), [{ id: 'c', status: 'enqueued' }])
  const again = await open(t, file)
  t.equal(await again.tick('d', 0), 'duplicate of a', 'another process knows it')
})

test('a tick that only a wrong clock can have put into the future does not count, and is replaced', async (t, file) => {
  const { tick, remembered } = await open(t, file)
  t.equal(await tick('ahead', MINUTE), 'enqueued')
  t.equal(await tick('same', MINUTE), 'duplicate of ahead', 'clocks may differ by a minute')
  t.equal(await tick('wrong', MINUTE + 1), 'enqueued')
  t.equal(await tick('again', MINUTE + 1), 'enqueued')
  t.equal(await tick('right', 0), 'enqueued')
  t.same(remembered(), [['nightly', 0, 'right']])
})

for (const fullMode of ['reject', 'dropWrite'] as const) {
  test(`${fullMode}: a job that found no room leaves no tick behind`, async (t, file) => {
    const { backend, tick, remembered } = await open(t, file, { capacity: 1, fullMode })
    await backend.enqueue('default', [envelope('fills', {})], {})
    if (fullMode === 'reject') await t.rejects(tick('a', 0), { code: 'FST_JOBS_QUEUE_FULL' })
    else t.equal(await tick('a', 0), 'dropped')
    t.same(remembered(), [])
    t.equal(await backend.cancel!('fills'), true)
    t.equal(await tick('b', 0), 'enqueued')
  })
}

test('wait: the tick is remembered when its job gets in, and a job of the same tick that waited behind it is its duplicate', async (t, file) => {
  const { backend, tick, remembered } = await open(t, file, { capacity: 1 })
  await backend.enqueue('default', [envelope('fills', {})], {})
  const waiting = [tick('a', 0), tick('b', 0)]
  await turns(20)
  t.same(remembered(), [])
  t.equal(await backend.cancel!('fills'), true)
  t.equal(await waiting[0], 'enqueued')
  t.same(remembered(), [['nightly', 0, 'a']])
  t.equal(await waiting[1], 'duplicate of a')
})

test('a tick whose transaction failed is not remembered', async (t, file) => {
  const { backend, start, tick, remembered } = await open(t, file)
  fillDisk(file)
  const big = { ...envelope('a', { tickKey: 'nightly', schedule: { name: 'nightly', at: start } }), payload: 'x'.repeat(50_000) }
  await t.rejects(backend.enqueue('default', [big], {}), { code: 'FST_JOBS_BACKEND_UNAVAILABLE' })
  t.same(remembered(), [])
  freeDisk(file)
  t.equal(await tick('b', 0), 'enqueued')
})
