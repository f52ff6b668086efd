import t from 'tap'
import { EveryRule } from '../../lib/schedules/every.ts'

t.test('the n-th tick is at start + n × every', async (t) => {
  const rule = new EveryRule(1000, 500)
  t.equal(rule.next(500), 1500)
  t.equal(rule.next(1499), 1500)
  t.equal(rule.next(1500), 2500)
  t.equal(rule.latest(1499), 500)
  t.equal(rule.latest(1500), 1500)
  t.equal(rule.latest(999_999), 999_500)
})

t.test('it goes on before the start, where a clock that was set back looks', async (t) => {
  const rule = new EveryRule(1000, 500)
  t.equal(rule.next(-600), -500)
  t.equal(rule.latest(-600), -1500)
})

t.test('ticks between two times are counted without being visited', async (t) => {
  const rule = new EveryRule(1, 0)
  t.equal(rule.count(0, 1e12), 1e12)
  t.equal(rule.count(5, 5), 0)
  t.equal(rule.count(5, 4), 0)
})
