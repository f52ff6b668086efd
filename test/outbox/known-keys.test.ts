import t from 'tap'
import { KnownKeys, type Errand, type Seen, type Sight } from '../../lib/outbox/known-keys.ts'
import { ManualClock } from '../helpers/clock.ts'

const nothing: Sight = { ahead: [], seenTo: 0, isAll: true }

type Look = Partial<Omit<Sight, 'walk'>> & { walked?: Seen[], walkFrom?: string }

function setup () {
  const clock = new ManualClock()
  const keys = new KnownKeys(clock)
  /** What a store does: `sights` are what its looks find, one after the other. `cost`: milliseconds of each. */
  function errands (limit: number, sights: Look[] = [], cost = 1): Errand[] {
    const found: Errand[] = []
    for (const errand of keys.errands(limit)) {
      found.push(errand)
      if (errand.type === 'take') continue
      const { walked = [], walkFrom = '', ...ahead } = sights.shift() ?? {}
      keys.saw({ ...nothing, ...ahead, walk: errand.walks ? { keys: walked, from: walkFrom } : undefined }, cost)
    }
    return found
  }
  return { clock, keys, errands }
}

function turns (errands: readonly Errand[]): unknown[] {
  return errands.flatMap((errand) => errand.type === 'take' ? [errand.turns.map(({ key, floor }) => `${key} ${floor}`)] : [])
}

function looks (errands: readonly Errand[]): unknown[] {
  return errands.flatMap((errand) => errand.type === 'look' ? [errand.walks] : [])
}

t.test('an empty memory looks, and ends where there is nothing', async (t) => {
  const { errands } = setup()
  t.same(errands(2), [{ type: 'look', walks: true }])
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
  const { keys, errands } = setup()
  t.same(looks(errands(2, [{ isAll: false, seenTo: 7 }, { isAll: false, seenTo: 8 }, { seenTo: 9 }])), [true, true, true])
  t.equal(keys.seenTo, 9)
  t.same(looks(errands(2, [{ walkFrom: 'x' }, { walkFrom: 'y' }, {}])), [true, true, true])
  t.equal(keys.walkFrom, '')
})

t.test('it looks for a twentieth of the time', async (t) => {
  const { clock, keys, errands } = setup()
  t.same(looks(errands(2, [{ ahead: [{ key: 'a', seq: 1 }] }], 150)), [true], 'it has 50 ms to begin with')
  keys.served('a', 1, 1)
  const first = keys.errands(2)
  t.equal(first.next().value!.type, 'take', 'the key that it knows comes first')
  t.equal(first.next().value!.type, 'look', 'and where that gives nothing, it looks')
  await clock.advance(2001)
  t.equal(keys.errands(2).next().value!.type, 'look')
})

t.test('a walk that was cheap is made although there is no time, one that was dear twice is not', async (t) => {
  const { clock, errands } = setup()
  errands(2, [{}], 150)
  t.same(looks(errands(2, [{}], 60)), [true], 'the one before was dear, but one alone may have been bad luck')
  t.same(looks(errands(2, [{ ahead: [{ key: 'a', seq: 5 }] }], 1)), [false])
  await clock.advance(10_000)
  t.same(looks(errands(2, [{}], 1)), [true])
})

t.test('where walks are dear, the search for a key that turns up begins at its event', async (t) => {
  const { keys, errands } = setup()
  errands(2, [{}], 150)
  errands(2, [{}], 150)
  t.same(turns(errands(2, [{ ahead: [{ key: 'a', seq: 5 }] }]))[0], ['a 4'])
  keys.add('a')
  t.same(turns(errands(2))[0], ['a 0'], 'unless one came at any place')
})

t.test('after many events the search for the next one begins behind them, until a walk has seen an earlier one', async (t) => {
  const { keys, errands } = setup()
  errands(1, [{ ahead: [{ key: 'a', seq: 1 }] }])
  keys.served('a', 999, 999)
  t.same(turns(errands(1))[0], ['a 0'])
  keys.served('a', 1000, 1)
  t.same(turns(errands(1))[0], ['a 1000'])
  t.same(turns(errands(1, [{ walked: [{ key: 'a', seq: 500 }] }]))[0], ['a 499'])
})

t.test('where there are too many keys, one that was served makes room for another', async (t) => {
  const { keys, errands } = setup()
  for (let n = 0; n <= 100_000; n++) keys.add(`key ${n}`)
  const take = (): unknown => turns([...errands(100_001)]).flat().length
  t.equal(take(), 100_000)
  t.equal(turns(errands(100_001, [{ ahead: [{ key: 'key 1', seq: 1 }, { key: 'more', seq: 2 }] }])).flat().length, 100_000)
  keys.served('key 0', 1, 1)
  t.equal(take(), 99_999)
  keys.add('late')
  t.equal(take(), 100_000)
})
