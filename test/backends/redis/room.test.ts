import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Room } from '../../../lib/backends/redis/room.ts'
import { deferred, type Deferred } from '../../helpers/app.ts'

/** A room whose counts a test answers. */
function roomOf (capacity: number) {
  const counts: Deferred<number>[] = []
  const room = new Room(capacity, () => {
    const count = deferred<number>()
    counts.push(count)
    return count.promise
  })
  return { room, counts }
}

/** Moves the clock that the room reads. */
function pass (t: Test, milliseconds: number): void {
  const now = performance.now()
  t.intercept(performance, 'now', { value: () => now + milliseconds })
}

t.test('there is no room until it was counted', async (t) => {
  const { room, counts } = roomOf(16)
  t.equal(room.take(1), undefined)
  const counted = room.recount()
  t.equal(room.recount(), counted, 'who asks meanwhile waits for the same answer')
  counts[0]!.resolve(15)
  await counted
  t.ok(room.take(1))
  t.equal(room.take(1), undefined)
})

t.test('what is taken while a count is on its way is not in it', async (t) => {
  const { room, counts } = roomOf(16)
  const first = room.recount()
  counts[0]!.resolve(0)
  await first
  t.ok(room.take(10))
  const second = room.recount()
  const taken = room.take(4)!
  t.ok(taken)
  counts[1]!.resolve(10)
  await second
  t.equal(room.take(3), undefined)
  room.giveBack(taken, 4)
  t.ok(room.take(6))
  t.equal(room.take(1), undefined)
})

t.test('while enqueues go on it is counted anew beside them', async (t) => {
  const { room, counts } = roomOf(800)
  const counted = room.recount()
  counts[0]!.resolve(0)
  await counted
  room.take(1)
  t.equal(counts.length, 1)
  pass(t, 200)
  t.ok(room.take(1))
  t.ok(room.take(50))
  t.equal(counts.length, 1, 'behind them')
  await setImmediate()
  t.equal(counts.length, 2)
  t.ok(room.take(50))
  await setImmediate()
  t.equal(counts.length, 2)
})

t.test('a count that fails leaves the one before', async (t) => {
  const { room, counts } = roomOf(8)
  const counted = room.recount()
  counts[0]!.resolve(0)
  await counted
  pass(t, 200)
  t.ok(room.take(1))
  const failed = room.recount()
  counts[1]!.reject(new Error('away'))
  await t.rejects(failed, { message: 'away' })
  t.ok(room.take(7))
  t.equal(room.take(1), undefined)
})
