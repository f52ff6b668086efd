import t from 'tap'
import { TickNames } from '../../lib/schedules/tick-names.ts'

const tick = Date.UTC(2026, 10, 21, 2)

t.test('the names of a tick never change: instances of several releases share a store', async (t) => {
  const names = new TickNames('nightly', 'default', 'send-report')
  t.equal(names.idOf(tick), 'nightly@2026-11-21T02:00:00.000Z.811vx1')
  t.equal(names.uniqueKeyOf(tick), 'schedule:nightly@2026-11-21T02:00:00.000Z')
  t.equal(names.keyOf(tick), 'nightly.811vx1')
})

t.test('schedules of the same name have other ids and keys when their queues or jobs differ', async (t) => {
  const all = [['default', 'a'], ['default', 'b'], ['other', 'a'], ['default","a', ''], ['', 'default","a']].map(([queue, job]) => new TickNames('nightly', queue!, job!))
  t.equal(new Set(all.map((names) => names.idOf(tick))).size, all.length)
  t.equal(new Set(all.map((names) => names.keyOf(tick))).size, all.length)
})

t.test('an id has at most 100 printable characters, whatever the names are', async (t) => {
  const names = new TickNames('x'.repeat(64), 'q'.repeat(128), '😀'.repeat(64))
  for (let setBack = 0; setBack < 999; setBack++) names.setBack(tick)
  t.match(names.idOf(tick), /^[\x21-\x7e]{100}$/)
  t.match(names.idOf(tick), /~999$/)
  t.match(names.keyOf(tick + 1), /^[\x21-\x7e]{1,100}$/)
})

t.test('the digest always has six digits', async (t) => {
  const ids = Array.from({ length: 1000 }, (_, n) => new TickNames('a', 'default', `job ${n}`).idOf(tick))
  t.same(ids.filter((id) => !/\.[\da-z]{6}$/.test(id)), [])
  t.equal(new Set(ids).size, 1000)
})

t.test('ticks that come again since the clock was set back are other ticks, which nobody remembers', async (t) => {
  const names = new TickNames('nightly', 'default', 'send-report')
  names.setBack(tick)
  t.equal(names.idOf(tick), 'nightly@2026-11-21T02:00:00.000Z.811vx1~1')
  t.equal(names.uniqueKeyOf(tick), 'schedule:nightly@2026-11-21T02:00:00.000Z~1')
  t.equal(names.keyOf(tick), undefined)
  t.equal(names.keyOf(tick + 1), 'nightly.811vx1')
  names.setBack(tick - 1000)
  t.equal(names.idOf(tick), 'nightly@2026-11-21T02:00:00.000Z.811vx1~2', 'up to the latest of the times at which it was')
})

t.test("the tick is known by the id, of this schedule's jobs only", async (t) => {
  const names = new TickNames('nightly', 'default', 'send-report')
  t.equal(names.tickOf('nightly@2026-11-21T02:00:00.000Z.811vx1'), tick)
  t.equal(names.tickOf('nightly@2026-11-21T02:00:00.000Z.811vx1~12'), tick)
  t.equal(names.tickOf('nightly@2026-11-21T02:00:00.000Z'), tick, 'of a release before the digest')
  t.equal(names.tickOf('nightly@2026-11-21T02:00:00.000Z~3'), tick)
  for (const id of ['nightly@2026-11-21T02:00:00.000Z.000000', 'weekly@2026-11-21T02:00:00.000Z.811vx1', 'nightly@2026-99-99T02:00:00.000Z.811vx1', 'nightly', 'nightly@', '']) {
    t.equal(names.tickOf(id), undefined, id)
  }
})
