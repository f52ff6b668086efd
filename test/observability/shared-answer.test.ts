import t from 'tap'
import { SharedAnswer } from '../../lib/observability/shared-answer.ts'
import { deferred, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'

t.test('who asks at the same time shares one question; the next one is put anew', async (t) => {
  const clock = new ManualClock()
  let asked = 0
  const answer = new SharedAnswer(async () => {
    asked++
    await turns()
    return asked
  }, clock)
  t.same(await Promise.all([answer.get(), answer.get(), answer.get()]), [1, 1, 1])
  t.equal(await answer.get(), 2)
  t.equal(clock.pending, 0)
})

t.test('what the store throws or rejects with is passed on, and the next question is put', async (t) => {
  const problems = [() => { throw new Error('closed') }, () => Promise.reject(new Error('refused'))]
  const answer = new SharedAnswer((): number | Promise<number> => problems.shift()?.() ?? 7, new ManualClock())
  await t.rejects(answer.get(), { message: 'closed' })
  await t.rejects(answer.get(), { message: 'refused' })
  t.equal(await answer.get(), 7)
})

t.test('a store that does not answer is not waited for, and not asked again meanwhile', async (t) => {
  const clock = new ManualClock()
  const answer = deferred<number>()
  let asked = 0
  const shared = new SharedAnswer(() => {
    asked++
    return answer.promise
  }, clock)
  for (let round = 0; round < 2; round++) {
    const refused = t.rejects(shared.get(), { message: 'no answer within 2000 ms' })
    await clock.advance(2000)
    await refused
  }
  t.equal(asked, 1)
  const last = shared.get()
  answer.resolve(7)
  t.equal(await last, 7)
  t.equal(clock.pending, 0)
})

t.test('what such a store rejects with later is nobody’s unhandled rejection', async (t) => {
  const clock = new ManualClock()
  const answer = deferred<number>()
  const refused = t.rejects(new SharedAnswer(() => answer.promise, clock).get())
  await clock.advance(2000)
  await refused
  answer.reject(new Error('connection reset'))
  await turns()
})
