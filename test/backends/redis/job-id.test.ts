import t from 'tap'
import { jobId, storedId } from '../../../lib/backends/redis/job-id.ts'
import { uuid } from '../../../lib/uuid.ts'

t.test('generated ids and most others are stored as they are', async (t) => {
  for (const id of [uuid(), 'order-17', 'a1', '2026-11-21.invoice_9']) t.equal(storedId(id), id)
})

t.test('ids that BullMQ or Redis keys have another use for are stored as something else', async (t) => {
  for (const id of ['0', '42', '-1', '1.5', '1e5', '0x10', 'wait', 'stalled-check', 'a:1', 'a1:lock', '~1', '{a}1', '%3a1', '1'.repeat(100)]) {
    const stored = storedId(id)
    t.not(stored, id)
    t.match(stored, /^~[^:{}]*$/)
    t.ok(Number.isNaN(Number(stored)))
    t.equal(jobId(stored), id)
  }
})

t.test('no two ids are stored as one', async (t) => {
  const ids = ['a:b1', 'a%3ab1', '~a:b1', '~a%3ab1', 'a3ab1', '~~a:b1', 'a%b1', 'a%25b1']
  t.equal(new Set(ids.map(storedId)).size, ids.length)
  t.same(ids.map((id) => jobId(storedId(id))), ids)
})
