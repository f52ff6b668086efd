import t from 'tap'
import { buildApp, turns } from '../../helpers/app.ts'
import { Lanes } from '../../../lib/backends/memory/lanes.ts'
import { MemoryRecord } from '../../../lib/backends/memory/record.ts'
import type { MemoryQueue } from '../../../lib/backends/memory/queue.ts'

function record (id: string, priority?: number): MemoryRecord {
  const options = priority === undefined ? undefined : { priority }
  return new MemoryRecord(undefined as unknown as MemoryQueue, { id, name: 'work', payload: undefined, attempt: 1, enqueuedAt: 0, correlationId: undefined, options })
}

function returned (id: string, priority?: number): MemoryRecord {
  const made = record(id, priority)
  made.started(0)
  return made
}

function ids (records: Iterable<MemoryRecord>): string[] {
  return Array.from(records, ({ envelope }) => envelope.id)
}

t.test('a higher priority runs first, and equal ones in the order they came', async (t) => {
  const app = await buildApp(t, { queues: { default: { concurrency: 1 } } })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  const jobs: [string, number | undefined][] = [['n1', undefined], ['low1', -10], ['high1', 10], ['n2', 0], ['top', 1000], ['low2', -10], ['high2', 10], ['mid', 5]]
  for (const [payload, priority] of jobs) await app.jobs.enqueue('work', payload, priority === undefined ? {} : { priority })
  await app.ready()
  await turns(20)
  t.same(seen, ['top', 'high1', 'high2', 'mid', 'n1', 'n2', 'low1', 'low2'])
})

t.test('returned jobs go before fresh ones of their priority, and an unshifted one before all of them', async (t) => {
  const lanes = new Lanes()
  lanes.push(record('fresh'))
  lanes.push(record('high', 1))
  lanes.pushReturned(returned('retry'))
  lanes.unshiftReturned(returned('released'))
  t.same([lanes.size, lanes.fresh, lanes.returned], [4, 2, 2])
  t.same(ids(lanes), ['high', 'released', 'retry', 'fresh'])
  t.same(ids([lanes.take()!, lanes.take()!, lanes.take()!, lanes.take()!]), ['high', 'released', 'retry', 'fresh'])
  t.equal(lanes.take(), undefined)
  t.equal(lanes.size, 0)
})

t.test('only fresh jobs can be dropped, of the lowest priority', async (t) => {
  const lanes = new Lanes()
  t.same([lanes.oldestFresh, lanes.newestFresh], [undefined, undefined])
  lanes.pushReturned(returned('retry', -5))
  for (const [id, priority] of [['a', 0], ['b', 0], ['high', 3]] as const) lanes.push(record(id, priority))
  t.same(ids([lanes.oldestFresh!, lanes.newestFresh!]), ['a', 'b'])
})

t.test('a job can be removed from the middle of any lane', async (t) => {
  const lanes = new Lanes()
  const records = ['a', 'b', 'c'].map((id) => record(id, 7))
  const retries = ['d', 'e'].map((id) => returned(id, 7))
  records.forEach((one) => lanes.push(one))
  retries.forEach((one) => lanes.pushReturned(one))
  lanes.remove(records[1]!)
  lanes.remove(retries[0]!)
  t.same(ids(lanes), ['e', 'a', 'c'])
  for (const one of [records[0]!, records[2]!, retries[1]!]) lanes.remove(one)
  t.same([ids(lanes), lanes.size], [[], 0])
  lanes.push(record('again', 7))
  t.equal(lanes.take()!.envelope.id, 'again')
})

t.test('jobs wait since the oldest one of any priority fell due', async (t) => {
  const lanes = new Lanes()
  t.equal(lanes.waitingSince, undefined)
  const at = (enqueuedAt: number, priority?: number): MemoryRecord => {
    const made = record(`${enqueuedAt}`, priority)
    return new MemoryRecord(made.queue, { ...made.envelope, enqueuedAt })
  }
  for (const one of [at(30, 1), at(10), at(20), at(40, -1)]) lanes.push(one)
  t.equal(lanes.waitingSince, 10)
  lanes.pushReturned(returned('retry'))
  t.equal(lanes.waitingSince, 0)
})
