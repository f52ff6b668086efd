import t from 'tap'
import { Budget } from '../lib/budget.ts'
import { systemClock } from '../lib/clock.ts'
import { now } from './helpers/app.ts'
import { ManualClock } from './helpers/clock.ts'

t.test('what is asked of a budget, whenever that is, counts from its beginning', async (t) => {
  const clock = new ManualClock()
  const budget = new Budget(clock, 1000)
  const atTheEnd = budget.past(0)
  await clock.advance(600)
  const [asLate, withGrace] = [budget.past(0), budget.past(500)]
  await clock.advance(399)
  t.equal(await now(atTheEnd), 'pending')
  await clock.advance(1)
  t.same(await Promise.all([atTheEnd, asLate]), ['late', 'late'])
  await clock.advance(499)
  t.equal(await now(withGrace), 'pending')
  await clock.advance(1)
  t.equal(await withGrace, 'late')
  t.equal(clock.pending, 0)
})

t.test('one that is used up, or was nothing, is late in the next turn', async (t) => {
  const clock = new ManualClock()
  const [none, used] = [new Budget(clock, 0), new Budget(clock, 10)]
  await clock.advance(5000)
  for (const ask of [() => none.past(0), () => used.past(0), () => used.past(900)]) {
    const late = ask()
    t.equal(await now(late), 'pending')
    await clock.advance(1)
    t.equal(await late, 'late')
  }
})

t.test('once it has ended, nothing is late any more and no timer is left', async (t) => {
  const clock = new ManualClock()
  const budget = new Budget(clock, 1000)
  const late = [budget.past(0), budget.past(900)]
  t.equal(clock.pending, 2)
  budget.end()
  budget.end()
  t.equal(clock.pending, 0)
  await clock.advance(10_000)
  for (const one of late) t.equal(await now(one), 'pending')
})

t.test('one that is longer than Node can time is not over at once', async (t) => {
  const clock = new ManualClock()
  const late = new Budget(clock, Number.MAX_SAFE_INTEGER).past(900)
  await clock.advance(60_000)
  t.equal(await now(late), 'pending')
})

t.test('whoever waits for it holds the process', (t) => {
  const timers: NodeJS.Timeout[] = []
  const budget = new Budget({
    ...systemClock,
    setTimeout (...args) {
      const timer = systemClock.setTimeout(...args) as NodeJS.Timeout
      timers.push(timer)
      return timer
    }
  }, 60_000)
  budget.past(0)
  t.same(timers.map((timer) => timer.hasRef()), [true])
  budget.end()
  t.end()
})

t.test('a clock may hand out what is not a timer of Node', async (t) => {
  let fire!: () => void
  const budget = new Budget({ ...systemClock, setTimeout: (callback) => { fire = callback; return 7 }, clearTimeout () {} }, 10)
  const late = budget.past(0)
  fire()
  t.equal(await late, 'late')
  budget.end()
})
