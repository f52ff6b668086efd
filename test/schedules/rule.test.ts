import t from 'tap'
import { EveryRule } from '../../lib/schedules/every.ts'
import { BoundedRule } from '../../lib/schedules/rule.ts'

const rule = new BoundedRule(new EveryRule(10, 0), 100, 130)

t.test('the first tick is the start itself, the last one the end itself', async (t) => {
  t.equal(rule.next(-1000), 100)
  t.equal(rule.next(99), 100)
  t.equal(rule.next(100), 110)
  t.equal(rule.next(129), 130)
  t.equal(rule.next(130), undefined)
})

t.test('looking back finds nothing before the start and nothing after the end', async (t) => {
  t.equal(rule.latest(99), undefined)
  t.equal(rule.latest(100), 100)
  t.equal(rule.latest(1000), 130)
})

t.test('only what lies between them counts', async (t) => {
  t.equal(rule.count(0, 1000), 4)
  t.equal(rule.count(110, 1000), 2)
})
