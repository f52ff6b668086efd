import t from 'tap'
import { Ticks } from '../../../lib/backends/memory/ticks.ts'
import type { EnvelopeOptions, JobEnvelope } from '../../../lib/backends/index.ts'
import { ManualClock } from '../../helpers/clock.ts'

const MINUTE = 60_000

function tick (at: number, uniqueFor?: number, tickKey = 'key'): EnvelopeOptions {
  return { tickKey, uniqueFor, schedule: { name: 'tick', at } }
}

function job (id: string, options: EnvelopeOptions | undefined): JobEnvelope {
  return { id, name: 'work', payload: undefined, attempt: 1, enqueuedAt: 0, correlationId: undefined, options }
}

t.test('the latest tick is remembered, whatever comes after it', async (t) => {
  const ticks = new Ticks(new ManualClock())
  t.equal(ticks.duplicateOf(tick(1000)), undefined)
  ticks.remember(job('a', tick(1000)))
  ticks.remember(job('b', tick(2000)))
  ticks.remember(job('c', tick(1500)))
  t.equal(ticks.duplicateOf(tick(2000)), 'b')
  t.equal(ticks.duplicateOf(tick(2001)), undefined)
  t.equal(ticks.duplicateOf(tick(1500)), 'b', 'without uniqueFor every earlier one is its duplicate')
})

t.test('an earlier tick is a duplicate when its unique key may have been forgotten', async (t) => {
  const ticks = new Ticks(new ManualClock())
  ticks.remember(job('a', tick(10_000)))
  t.equal(ticks.duplicateOf(tick(9000, 1000)), undefined)
  t.equal(ticks.duplicateOf(tick(8999, 1000)), 'a')
})

t.test('a tick more than a minute in the future does not count until its time has come near', async (t) => {
  const clock = new ManualClock()
  const ticks = new Ticks(clock)
  const at = clock.now() + 2 * MINUTE
  ticks.remember(job('a', tick(at)))
  t.equal(ticks.duplicateOf(tick(at)), undefined)
  await clock.advance(MINUTE)
  t.equal(ticks.duplicateOf(tick(at)), 'a')
  clock.jump(-1)
  ticks.remember(job('b', tick(1000)))
  t.equal(ticks.duplicateOf(tick(1000)), 'b', 'it is replaced by an earlier one')
})

t.test('plain jobs are neither asked about nor remembered', async (t) => {
  const ticks = new Ticks(new ManualClock())
  ticks.remember(job('a', undefined))
  ticks.remember(job('b', { schedule: { name: 'tick', at: 1000 } }))
  t.equal(ticks.duplicateOf({}), undefined)
  t.equal(ticks.duplicateOf(tick(1000)), undefined)
})
