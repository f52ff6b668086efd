import t from 'tap'
import { KnownKeys, type Errand, type Seen } from '../../lib/outbox/known-keys.ts'

/** What a look, and the walk that may follow it, find. */
interface Sight {
  readonly ahead?: readonly Seen[]
  readonly seenTo?: number
  readonly isAll?: boolean
  readonly walked?: readonly (Seen & { readonly isDue?: boolean })[]
  readonly walkFrom?: string
}

function setup () {
  let time = 0
  const keys = new KnownKeys({ monotonic: () => time })
  const pass = (milliseconds: number): void => { time += milliseconds }
  /** What a store does: `sights` are what its looks find, one after the other. `cost`: milliseconds of each, of the walk where there is one. */
  function errands (limit: number, sights: Sight[] = [], cost = 1): Errand[] {
    const found: Errand[] = []
    let sight: Sight = {}
    for (const errand of keys.errands(limit)) {
      found.push(errand)
      if (errand.type === 'look') {
        sight = sights.shift() ?? {}
        keys.saw(sight.ahead ?? [], sight.seenTo ?? 0, sight.isAll ?? true)
      } else if (errand.type === 'walk') {
        keys.walked((sight.walked ?? []).map((seen) => ({ isDue: true, ...seen })), sight.walkFrom ?? '')
        pass(cost)
      }
    }
    return found
  }
  /** The errands up to the first events; `costs`: milliseconds of each. */
  function untilTake (costs: { look?: number, walk?: number } = {}): string[] {
    const types: string[] = []
    for (const { type } of keys.errands(2)) {
      types.push(type)
      if (type === 'take') break
      pass(costs[type] ?? 0)
    }
    return types
  }
  return { pass, keys, errands, untilTake }
}

function turns (errands: readonly Errand[]): unknown[] {
  return errands.flatMap((errand) => errand.type === 'take' ? [errand.turns.map(({ key, floor }) => `${key} ${floor}`)] : [])
}

/** Whether each look went with a walk. */
function looks (errands: readonly Errand[]): unknown[] {
  return errands.flatMap(({ type }, index) => type === 'look' ? [errands[index + 1]?.type === 'walk'] : [])
}

t.test('an empty memory looks, and ends where there is nothing', async (t) => {
  const { errands } = setup()
  t.same(errands(2), [{ type: 'look', behind: 0 }, { type: 'walk', from: '' }])
})

t.test('keys that were seen have their turns in batches, those that were served come to the end', async (t) => {
  const { keys, errands } = setup()
  t.same(turns(errands(2, [{ ahead: [{ key: 'a', seq: 1 }, { key: 'b', seq: 2 }], walked: [{ key: 'b', seq: 2 }, { key: 'c', seq: 9 }] }])), [['a 0', 'b 0'], ['a 0', 'b 0']])
  keys.served('a', 1, 1)
  t.same(turns(errands(3))[0], ['b 0', 'c 0', 'a 0'])
  keys.forget('b')
  keys.served('b', 5, 1)
  t.same(turns(errands(3))[0], ['c 0', 'a 0'])
})

t.test('it looks on where one look did not see everything', async (t) => {
  const { errands } = setup()
  const starts = (done: readonly Errand[]): unknown[] => done.map((errand) => errand.type === 'look' ? errand.behind : errand.type === 'walk' && errand.from)
  t.same(starts(errands(2, [{ isAll: false, seenTo: 7 }, { isAll: false, seenTo: 8 }, { seenTo: 9 }])), [0, '', 7, '', 8, ''])
  t.same(starts(errands(2, [{ walkFrom: 'x' }, { walkFrom: 'y' }, {}])), [9, '', 9, 'x', 9, 'y'])
  t.same(starts(errands(2)), [9, ''])
})

t.test('looks, and walks, take a fortieth of the time each', async (t) => {
  const { pass, errands, untilTake } = setup()
  errands(2, [{ ahead: [{ key: 'a', seq: 1 }] }])
  pass(250)
  t.same(untilTake({ look: 40 }), ['look', 'walk', 'take'], 'there are 25 ms to begin with')
  pass(550)
  t.same(untilTake(), ['take'])
  pass(100)
  t.same(untilTake({ walk: 100 }), ['look', 'walk', 'take'])
  pass(2900)
  t.same(untilTake(), ['look', 'take'])
  pass(101)
  t.same(untilTake(), ['look', 'walk', 'take'])
})

t.test('what took long once keeps it from looking for a second, and from walking for ten, at the most', async (t) => {
  const { pass, errands, untilTake } = setup()
  errands(2, [{ ahead: [{ key: 'a', seq: 1 }] }])
  pass(250)
  t.same(untilTake({ look: 15_000 }), ['look', 'walk', 'take'])
  pass(999)
  t.same(untilTake(), ['take'])
  pass(2)
  t.same(untilTake({ walk: 15_000 }), ['look', 'walk', 'take'])
  pass(9990)
  t.same(untilTake(), ['look', 'take'])
  pass(20)
  t.same(untilTake(), ['look', 'walk', 'take'])
})

t.test('a key whose first event waits has its turn when that is due, or when a walk finds it due', async (t) => {
  const { pass, keys, errands } = setup()
  const ahead = [{ key: 'a', seq: 1 }, { key: 'b', seq: 2 }, { key: 'c', seq: 3 }]
  errands(3, [{ ahead }])
  keys.waits('a', 1000)
  keys.waits('b', 5000)
  keys.waits('c', 60_000)
  t.same(turns(errands(3, [{ ahead }])), [], 'what comes behind an event that waits is nothing to take')
  pass(990)
  t.same(turns(errands(3)), [])
  pass(10)
  t.same(turns(errands(3))[0], ['a 0'])
  keys.forget('a')
  pass(4000)
  t.same(turns(errands(3))[0], ['b 0'])
  keys.forget('b')
  t.same(turns(errands(3, [{ walked: [{ key: 'c', seq: 3, isDue: false }, { key: 'd', seq: 4, isDue: false }] }])), [])
  t.same(turns(errands(3, [{ walked: [{ key: 'c', seq: 3 }] }]))[0], ['c 0'])
  keys.forget('c')
  pass(60_000)
  t.same(turns(errands(3)), [], 'and no second one')
})

t.test('what waits is remembered of as many keys as there may be', async (t) => {
  const { pass, keys, errands } = setup()
  for (let n = 0; n <= 100_000; n++) keys.waits(`key ${n}`, 1)
  pass(1)
  t.equal((turns(errands(100_001))[0] as unknown[]).length, 100_000)
})

t.test('a walk that finds an earlier event, although it waits, lowers the place at which the search begins', async (t) => {
  const { pass, keys, errands } = setup()
  errands(1, [{ ahead: [{ key: 'a', seq: 1 }] }])
  keys.served('a', 1000, 100)
  pass(250)
  t.same(turns(errands(1, [{ walked: [{ key: 'a', seq: 500, isDue: false }] }]))[0], ['a 499'])
  keys.forget('a')
  errands(1, [{ walked: [{ key: 'a', seq: 300, isDue: false }] }])
  t.same(turns(errands(1, [{ ahead: [{ key: 'a', seq: 2000 }] }]))[0], ['a 299'])
})

t.test('what a batch finished that was under way says nothing about an event that came at any place meanwhile', async (t) => {
  const { keys, errands } = setup()
  errands(1, [{ ahead: [{ key: 'a', seq: 1 }] }])
  keys.add('a')
  keys.served('a', 5000, 1000)
  t.same(turns(errands(1))[0], ['a 0'])
  keys.served('a', 6000, 1000)
  t.same(turns(errands(1))[0], ['a 6000'])
})

t.test('a key that it knows comes before a look that there is no time for, and where that gives nothing, it looks', async (t) => {
  const { pass, keys, errands, untilTake } = setup()
  errands(2, [{ ahead: [{ key: 'a', seq: 1 }] }])
  pass(10)
  untilTake({ look: 100 })
  pass(10)
  const found = Array.from(keys.errands(2), ({ type }) => type)
  t.same(found.slice(0, 2), ['take', 'look'])
})

t.test('as long as there is something to take, it looks again after 10 ms, and walks from the beginning after 250 ms', async (t) => {
  const { pass, keys, errands, untilTake } = setup()
  t.same(errands(2, [{ ahead: [{ key: 'a', seq: 1 }] }]).map(({ type }) => type), ['look', 'walk', 'take'])
  pass(8)
  t.same(untilTake(), ['take'])
  pass(1)
  t.same(untilTake(), ['look', 'take'])
  pass(240)
  t.same(untilTake(), ['look', 'walk', 'take'])
  keys.walked([], 'b')
  pass(10)
  t.same(untilTake(), ['look', 'walk', 'take'], 'a walk that is on its way goes on')
  keys.saw([], 9, false)
  t.same(untilTake(), ['look', 'walk', 'take'], 'and so does a look')
})

t.test('a walk that was cheap is made although there is no time, one that was dear twice is not', async (t) => {
  const { pass, errands } = setup()
  errands(2, [{}], 150)
  t.same(looks(errands(2, [{}], 60)), [true], 'the one before was dear, but one alone may have been bad luck')
  t.same(looks(errands(2, [{ ahead: [{ key: 'a', seq: 5 }] }], 1)), [false])
  pass(10_000)
  t.same(looks(errands(2, [{}], 1)), [true])
})

t.test('the search for a key that turns up begins at the beginning, whatever a walk costs', async (t) => {
  const { errands } = setup()
  errands(2, [{}], 150)
  errands(2, [{}], 150)
  t.same(turns(errands(2, [{ ahead: [{ key: 'a', seq: 5 }] }]))[0], ['a 0'], 'an earlier event of it may wait for its retry')
})

t.test('one that had many events, has none and gets new ones is searched for behind them, unless one came at any place', async (t) => {
  const { pass, keys, errands } = setup()
  const ahead = [{ key: 'a', seq: 1 }]
  errands(1, [{ ahead }])
  keys.served('a', 1000, 1000)
  keys.forget('a')
  t.same(turns(errands(1, [{ ahead }]))[0], ['a 1000'])
  keys.forget('a')
  pass(1000)
  t.same(turns(errands(1, [{ walked: [{ key: 'a', seq: 500 }] }]))[0], ['a 499'])
  keys.forget('a')
  keys.add('a')
  t.same(turns(errands(1))[0], ['a 0'])
})

t.test('that is remembered of ten thousand keys', async (t) => {
  const { keys, errands } = setup()
  for (let n = 0; n <= 10_000; n++) {
    errands(1, [{ ahead: [{ key: `key ${n}`, seq: 1 }] }])
    keys.served(`key ${n}`, 1000, 1000)
    keys.forget(`key ${n}`)
  }
  const ahead = ['key 0', 'key 1', 'key 10000'].map((key, index) => ({ key, seq: 2000 + index }))
  t.same(turns(errands(3, [{ ahead }]))[0], ['key 0 0', 'key 1 1000', 'key 10000 1000'])
})

t.test('a walk that failed has taken its time, too', async (t) => {
  const { pass, keys, errands, untilTake } = setup()
  errands(2, [{ ahead: [{ key: 'a', seq: 1 }] }])
  pass(250)
  const failing = keys.errands(2)
  t.same([failing.next().value?.type, failing.next().value?.type], ['look', 'walk'])
  pass(200)
  failing.return(undefined)
  pass(1000)
  t.same(untilTake(), ['look', 'take'])
})

t.test('after many events the search for the next one begins behind them, until a walk has seen an earlier one', async (t) => {
  const { pass, keys, errands } = setup()
  errands(1, [{ ahead: [{ key: 'a', seq: 1 }] }])
  keys.served('a', 999, 99)
  t.same(turns(errands(1))[0], ['a 0'])
  keys.served('a', 1000, 1)
  t.same(turns(errands(1))[0], ['a 1000'])
  pass(1000)
  t.same(turns(errands(1, [{ walked: [{ key: 'a', seq: 500 }] }]))[0], ['a 499'])
})

t.test('where there are too many keys, one that was served makes room for another', async (t) => {
  const { keys, errands } = setup()
  for (let n = 0; n <= 100_000; n++) keys.add(`key ${n}`)
  const take = (): unknown => (turns(errands(100_001))[0] as unknown[]).length
  t.equal(take(), 100_000)
  errands(100_001, [{ ahead: [{ key: 'key 1', seq: 1 }, { key: 'more', seq: 2 }] }])
  t.equal(take(), 100_000)
  keys.served('key 0', 1, 1)
  t.equal(take(), 99_999)
  keys.add('late')
  t.equal(take(), 100_000)
})
