import t from 'tap'
import { deferred } from './deferred.ts'
import { inTime, until, untilThereAre } from './until.ts'

// Shorter than the waits of this file, of which each poll takes five milliseconds.
const patience = 20
const POLLS = 20

t.test('a wait goes on for as long as it makes progress, whatever time that takes', async (t) => {
  let polls = 0
  t.equal(await until('it is there', () => ++polls > POLLS && 'there', { patience, progress: () => polls }), 'there')
  let count = 0
  await untilThereAre(POLLS, 'polls have been made', () => count++)
  const slow = deferred<string>()
  let looks = 0
  const progress = (): number => {
    if (++looks === POLLS) slow.resolve('slow')
    return looks
  }
  t.equal(await inTime('it has come', slow.promise, { patience, progress }), 'slow')
})

t.test('a wait that stands still ends, and says where it stands', async (t) => {
  await t.rejects(until('it is there', () => false, { patience }), { message: 'waited 20 ms in vain until it is there' })
  await t.rejects(until('all are there', () => null, { patience, progress: async () => 7 }), { message: 'waited 20 ms in vain until all are there, it stands at 7' })
  await t.rejects(inTime('it has come', new Promise(() => {}), { patience }), { message: 'waited 20 ms in vain until it has come' })
})

t.test('what a promise rejects with is told', async (t) => {
  await t.rejects(inTime('it has come', Promise.reject(new Error('broken'))), { message: 'broken' })
})
