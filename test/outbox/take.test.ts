import t from 'tap'
import { KnownKeys } from '../../lib/outbox/known-keys.ts'
import { take, type Candidate, type Found, type Read, type Step } from '../../lib/outbox/take.ts'

const MIB = 1024 * 1024

interface Event {
  readonly key: string
  readonly isDue?: boolean
  readonly isHeld?: boolean
  readonly bytes?: number
}

/** A table whose events come in the order of `events`, and the batch that is made up of it. */
function setup (events: readonly Event[]) {
  const keys = new KnownKeys({ monotonic: () => 0 })
  const rows = events.map(({ key, isDue = true, isHeld = isDue, bytes = 1 }, index) => ({ key, isDue, isHeld, bytes, seq: index + 1 }))

  /** Bytes of what another process has are counted, too, as PostgreSQL does it. */
  function read ({ turns, share, bytes }: Read): Found {
    const candidates: Candidate[] = []
    let left = bytes
    for (const { key, floor } of turns) {
      for (const row of rows.filter((row) => row.key === key && row.seq > floor).slice(0, share)) {
        if (left <= 0) break
        if (row.isDue) left -= row.bytes
        candidates.push({ ...row, wait: row.isDue ? 0 : 1000, id: `${row.seq}`, type: 'x', payload: '', created_at: 0, attempts: 0 })
      }
    }
    return { candidates, isCut: left <= 0 }
  }

  function search (step: Exclude<Step, Read>): undefined {
    if (step.type === 'walk') keys.walked([], '')
    else keys.saw(rows.filter(({ seq }) => seq > step.behind), rows.length, true)
    return undefined
  }

  /** The events of a batch as 'key seq', and the shares that were read. */
  function batch (limit: number): { taken: string[], shares: string[] } {
    const shares: string[] = []
    const taking = take(keys, limit)
    let next = taking.next()
    while (!next.done) {
      const step = next.value
      if (step.type === 'read') shares.push(`${step.share} of ${step.turns.map(({ key }) => key)}`)
      next = taking.next(step.type === 'read' ? read(step) : search(step))
    }
    return { taken: next.value.map(({ key, seq }) => `${key} ${seq}`), shares }
  }

  const known = (): string[] => [...keys.errands(100)].flatMap((errand) => errand.type === 'take' ? errand.turns.map(({ key }) => key) : [])
  return { batch, known }
}

const of = (key: string, count: number): Event[] => Array.from({ length: count }, () => ({ key }))

t.test('one key has all of a batch', async (t) => {
  t.same(setup(of('a', 5)).batch(3), { taken: ['a 1', 'a 2', 'a 3'], shares: ['3 of a'] })
})

t.test('each key has an equal share, and what is left goes to those with more, in the order of their turns', async (t) => {
  const { batch } = setup([...of('a', 9), ...of('b', 1), ...of('c', 1)])
  t.same(batch(7), { taken: ['a 1', 'a 2', 'b 10', 'c 11', 'a 3', 'a 4', 'a 5'], shares: ['2 of a,b,c', '3 of a'] })
})

t.test('where there is less than one event for each, the first ones have it', async (t) => {
  const { batch } = setup([...of('a', 2), ...of('b', 2), ...of('c', 2)])
  t.same(batch(5), { taken: ['a 1', 'b 3', 'c 5', 'a 2', 'b 4'], shares: ['1 of a,b,c', '1 of a,b'] })
})

t.test('what comes after an event that cannot be had is left, also later in the batch', async (t) => {
  const { batch } = setup([{ key: 'a' }, { key: 'a', isDue: false }, { key: 'a' }, { key: 'b' }, { key: 'b' }, { key: 'b', isHeld: false }, { key: 'b' }, { key: 'b' }])
  t.same(batch(8).taken, ['a 1', 'b 4', 'b 5'])
})

t.test('a key whose first event waits is forgotten, one that another process has is not', async (t) => {
  const { batch, known } = setup([{ key: 'waits', isDue: false }, { key: 'elsewhere', isHeld: false }, { key: 'a' }])
  t.same(batch(10).taken, ['a 3'])
  t.same([...new Set(known())], ['a', 'elsewhere'])
})

t.test('a batch ends where its payloads have reached 16 MiB, and a key of which nothing was read keeps its turn', async (t) => {
  const large = (key: string): Event => ({ key, bytes: 6 * MIB })
  const { batch, known } = setup([large('a'), large('b'), large('c'), large('d')])
  t.same(batch(10), { taken: ['a 1', 'b 2', 'c 3'], shares: ['2 of a,b,c,d'] })
  t.same([...new Set(known())], ['a', 'b', 'c', 'd'])
})

t.test('what is read of the keys with more is what room there is for its bytes', async (t) => {
  const { batch } = setup([...Array.from({ length: 9 }, () => ({ key: 'a', bytes: 5 * MIB })), { key: 'b' }])
  t.same(batch(6), { taken: ['a 1', 'a 2', 'a 3', 'b 10', 'a 4'], shares: ['3 of a,b', '2 of a'] })
})

t.test('payloads that cannot be had, since they wait or another process has them, keep nobody waiting', async (t) => {
  const { batch, known } = setup([
    ...Array.from({ length: 5 }, (_, n) => ({ key: `waits ${n}`, bytes: 9 * MIB, isDue: false })),
    ...Array.from({ length: 5 }, (_, n) => ({ key: `elsewhere ${n}`, bytes: 9 * MIB, isHeld: false })),
    { key: 'a' }, { key: 'a' }
  ])
  t.same(batch(22).taken, ['a 11', 'a 12'])
  t.same(known().slice(0, 6), ['elsewhere 0', 'elsewhere 1', 'elsewhere 2', 'elsewhere 3', 'elsewhere 4', 'a'].toSorted(), 'and those that wait are forgotten')
})

t.test('a key that was read as far as the bytes went goes on where it was', async (t) => {
  const { batch } = setup([{ key: 'elsewhere', bytes: 15 * MIB, isHeld: false }, ...Array.from({ length: 3 }, () => ({ key: 'a', bytes: 2 * MIB }))])
  t.same(batch(6), { taken: ['a 2', 'a 3', 'a 4'], shares: ['3 of elsewhere,a', '5 of a'] })
})
