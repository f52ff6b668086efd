import t from 'tap'
import { BUCKETS, Buckets, JobCounters } from '../../lib/observability/counters.ts'

t.test('an observation goes into the first bucket whose bound it does not exceed', (t) => {
  const buckets = new Buckets()
  for (const milliseconds of [0, 1, 1.5, 300_000, 300_001]) buckets.observe(milliseconds)
  t.equal(buckets.counts[0], 2, 'the bound itself is inside')
  t.equal(buckets.counts[1], 1)
  t.equal(buckets.counts[BUCKETS.length - 1], 1)
  t.equal(buckets.counts[BUCKETS.length], 1, 'beyond all of them is +Inf')
  t.equal(buckets.count, 5)
  t.equal(buckets.sum, 600_003.5)
  t.end()
})

t.test('the bounds rise', (t) => {
  t.same([...BUCKETS].sort((a, b) => a - b), BUCKETS)
  t.end()
})

t.test('counters begin at zero and share no histogram', (t) => {
  const [one, two] = [new JobCounters(), new JobCounters()]
  const { wait, duration, ...counts } = one
  t.ok(Object.values(counts).every((count) => count === 0))
  wait.observe(1)
  t.equal(duration.count, 0)
  t.equal(two.wait.count, 0)
  t.end()
})
