import t from 'tap'
import { TimerHeap, type Timer } from '../lib/timer-heap.ts'
import { ManualClock } from './helpers/clock.ts'

t.test('any number of timers fire in order, behind one timeout of the clock', async (t) => {
  const clock = new ManualClock()
  const fired: number[] = []
  const heap = new TimerHeap<number>(clock, (item) => { fired.push(item) })
  const delays = Array.from({ length: 200 }, (_, n) => (n * 7919) % 1009)
  for (const delay of delays) heap.add(delay, delay)
  t.equal(clock.pending, 1)
  t.equal(heap.size, 200)
  await clock.advance(1009)
  t.same(fired, delays.toSorted((a, b) => a - b))
  t.equal(clock.pending, 0)
})

t.test('timers that are removed do not fire, in whatever order they go', async (t) => {
  const clock = new ManualClock()
  const fired: number[] = []
  const heap = new TimerHeap<number>(clock, (item) => { fired.push(item) })
  const timers: Timer<number>[] = []
  for (let n = 0; n < 100; n++) timers.push(heap.add((n * 37) % 101, (n * 37) % 101))
  const kept = timers.filter((_, n) => n % 3 === 0)
  for (const timer of timers.filter((_, n) => n % 3 !== 0)) heap.remove(timer)
  t.same([...heap.items()].sort((a, b) => a - b), kept.map(({ item }) => item).sort((a, b) => a - b))
  await clock.advance(101)
  t.same(fired, kept.map(({ item }) => item).sort((a, b) => a - b))
  heap.remove(timers[1]!)
  t.equal(heap.size, 0, 'removing twice is harmless')
})

t.test('removing the first timer fires nothing early, removing the last one disarms', async (t) => {
  const clock = new ManualClock()
  const fired: string[] = []
  const heap = new TimerHeap<string>(clock, (item) => { fired.push(item) })
  const first = heap.add(10, 'first')
  const second = heap.add(20, 'second')
  heap.remove(first)
  await clock.advance(19)
  t.same(fired, [])
  t.equal(clock.pending, 1)
  heap.remove(second)
  t.equal(clock.pending, 0)
})

t.test('an earlier timer that comes later moves the timeout forward', async (t) => {
  const clock = new ManualClock()
  const fired: string[] = []
  const heap = new TimerHeap<string>(clock, (item) => { fired.push(item) })
  heap.add(1000, 'late')
  heap.add(10, 'early')
  t.equal(clock.pending, 1)
  await clock.advance(10)
  t.same(fired, ['early'])
})

t.test('a callback may add a timer', async (t) => {
  const clock = new ManualClock()
  const fired: number[] = []
  const heap: TimerHeap<number> = new TimerHeap(clock, (item) => {
    fired.push(clock.monotonic())
    if (item > 0) heap.add(5, item - 1)
  })
  heap.add(5, 2)
  await clock.advance(100)
  t.same(fired, [5, 10, 15])
})

t.test('a delay may exceed 2^31 ms', async (t) => {
  const clock = new ManualClock()
  const fired: string[] = []
  const heap = new TimerHeap<string>(clock, (item) => { fired.push(item) })
  heap.add(2 ** 32 + 5, 'far')
  await clock.advance(2 ** 32 + 4)
  t.same(fired, [])
  await clock.advance(1)
  t.same(fired, ['far'])
})

t.test('clear forgets every timer', async (t) => {
  const clock = new ManualClock()
  const heap = new TimerHeap<string>(clock, () => t.fail('fired'))
  const timer = heap.add(1, 'a')
  heap.add(2, 'b')
  heap.clear()
  heap.remove(timer)
  t.same([heap.size, clock.pending], [0, 0])
  await clock.advance(10)
})

t.test('timers of the same time fire in the order in which they were added, whatever was removed in between', async (t) => {
  const clock = new ManualClock()
  const fired: number[] = []
  const heap = new TimerHeap<number>(clock, (item) => { fired.push(item) })
  const timers = Array.from({ length: 100 }, (_, n) => heap.addAt(10 + (n % 2), n))
  for (const timer of timers.filter((_, n) => n % 5 === 0)) heap.remove(timer)
  await clock.advance(11)
  const kept = timers.map(({ item }) => item).filter((n) => n % 5 !== 0)
  t.same(fired, [...kept.filter((n) => n % 2 === 0), ...kept.filter((n) => n % 2 === 1)])
})

t.test('by the wall clock timers follow its jumps within ten seconds, forward and back', async (t) => {
  const clock = new ManualClock()
  const fired: string[] = []
  const heap = new TimerHeap<string>(clock, (item) => { fired.push(item) }, 'wall')
  heap.addAt(clock.now() + 3_600_000, 'in an hour')
  clock.jump(3_600_000)
  await clock.advance(10_000)
  t.same(fired, ['in an hour'])
  heap.addAt(clock.now() + 5000, 'in five seconds')
  clock.jump(-60_000)
  await clock.advance(64_999)
  t.equal(fired.length, 1)
  await clock.advance(1)
  t.equal(fired.length, 2)
  t.equal(clock.pending, 0, 'an empty heap looks at no clock')
})

t.test('a timeout that was lost is not trusted: the next timer that is added arms another one', async (t) => {
  for (const time of ['monotonic', 'wall'] as const) {
    const clock = new ManualClock()
    const fired: string[] = []
    const heap = new TimerHeap<string>(clock, (item) => { fired.push(item) }, time)
    const { setTimeout } = clock
    clock.setTimeout = () => 'lost'
    heap.add(100, 'lost')
    clock.setTimeout = setTimeout
    await clock.advance(1100)
    heap.add(10_000, 'much later')
    t.equal(clock.pending, 0, 'it may only be late')
    await clock.advance(1)
    heap.add(10_000, 'later')
    await clock.advance(1)
    t.same(fired, ['lost'], time)
  }
})
