import t from 'tap'
import type { MemoryQueue } from '../../../lib/backends/memory/queue.ts'
import { MemoryRecord } from '../../../lib/backends/memory/record.ts'
import { RecordIndex } from '../../../lib/backends/memory/record-index.ts'
import { uuid } from '../../../lib/uuid.ts'

function record (id: string, givenId?: true): MemoryRecord {
  const options = givenId && { givenId }
  return new MemoryRecord({} as MemoryQueue, { id, name: 'work', payload: 1, attempt: 1, enqueuedAt: 0, correlationId: undefined, options })
}

t.test('every record is found by its id while it is a member, at any size', async (t) => {
  const index = new RecordIndex()
  const records = Array.from({ length: 20_000 }, () => record(uuid()))
  for (const one of records) index.add(one)
  t.equal(index.size, 20_000)
  t.ok(records.every((one) => index.find(one.envelope.id) === one))
  const [gone, kept] = [records.filter((_, n) => n % 10 !== 0), records.filter((_, n) => n % 10 === 0)]
  for (const one of gone) index.remove(one)
  t.equal(index.size, 2000)
  t.ok(gone.every((one) => index.find(one.envelope.id) === undefined))
  t.ok(kept.every((one) => index.find(one.envelope.id) === one))
  for (const one of kept) index.remove(one)
  t.equal(index.size, 0)
})

t.test('records of one bucket come and go in any order', async (t) => {
  const index = new RecordIndex()
  const same = ['a', 'b', 'c'].map((end) => record(`12345678-${end}`))
  for (const one of same) index.add(one)
  index.remove(same[1]!)
  t.same(same.map((one) => index.find(one.envelope.id) === one), [true, false, true])
  index.remove(same[2]!)
  index.remove(same[0]!)
  t.same(same.map((one) => index.find(one.envelope.id)), [undefined, undefined, undefined])
})

t.test('a given id may be anything', async (t) => {
  const index = new RecordIndex()
  for (const id of ['', 'x', '__proto__', 'ü'.repeat(100)]) {
    const one = record(id, true)
    index.add(one)
    t.equal(index.find(id), one)
    index.remove(one)
    t.equal(index.find(id), undefined)
  }
  t.equal(index.size, 0)
})
