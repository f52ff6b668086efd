import t from 'tap'
import { uuid } from '../lib/uuid.ts'

t.test('every id is a version 7 UUID, and no two are the same', async (t) => {
  const ids = Array.from({ length: 5000 }, () => uuid())
  t.equal(new Set(ids).size, ids.length)
  t.same(ids.filter((id) => !/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)), [])
})

t.test('every digit that is random takes every value', async (t) => {
  const ids = Array.from({ length: 2000 }, () => uuid())
  for (const at of [15, 17, 20, 24, 35]) t.equal(new Set(ids.map((id) => id[at])).size, 16, `position ${at}`)
})

t.test('an id begins with the time at which its batch was made', async (t) => {
  const before = Date.now()
  // The rest of an older batch, and all of a new one.
  const id = Array.from({ length: 32 }, () => uuid()).at(-1)!
  const time = parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
  t.ok(time >= before - 60_000 && time <= Date.now(), `${time} at ${before}`)
})
