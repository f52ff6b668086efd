import t from 'tap'
import { uuid } from '../lib/uuid.ts'

t.test('every id is a version 4 UUID, and no two are the same', async (t) => {
  const ids = Array.from({ length: 5000 }, () => uuid())
  t.equal(new Set(ids).size, ids.length)
  t.same(ids.filter((id) => !/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)), [])
})

t.test('every digit that is random takes every value', async (t) => {
  const ids = Array.from({ length: 2000 }, () => uuid())
  for (const at of [0, 7, 9, 15, 20, 24, 35]) t.equal(new Set(ids.map((id) => id[at])).size, 16, `position ${at}`)
})
