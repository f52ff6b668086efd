import t from 'tap'
import { Buckets, JobCounters } from '../../lib/observability/counters.ts'

t.test('an observation goes into the first bucket whose bound it does not exceed', (t) => {
  const buckets = new Buckets([0.001, 0.005, 300])
  for (const milliseconds of [0, 1, 1.5, 300_000, 300_001]) buckets.observe(milliseconds)
  t.same(buckets.counts, [2, 1, 1, 1], 'the bound itself is inside, beyond all of them is +Inf')
  t.equal(buckets.count, 5)
  t.equal(buckets.sum, 600_003.5)
  t.end()
})

t.test('without bounds everything is beyond them', (t) => {
  const buckets = new Buckets([])
  buckets.observe(1)
  t.same(buckets.counts, [1])
  t.end()
})

t.test('counters begin at zero and share no histogram', (t) => {
  const [one, two] = [new JobCounters([1]), new JobCounters([1])]
  const { wait, duration, ...counts } = one
  t.ok(Object.values(counts).every((count) => count === 0))
  wait.observe(1)
  t.equal(duration.count, 0)
  t.equal(two.wait.count, 0)
  t.end()
})
