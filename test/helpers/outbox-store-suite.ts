import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { OutboxEvent } from '../../lib/outbox/index.ts'
import type { EventResult, OpenStore, OutboxStore } from '../../lib/outbox/store.ts'
import { uuid } from '../../lib/uuid.ts'
import { deferred } from './app.ts'
import { until } from './outbox.ts'

/** One database with an empty outbox, and a table of the business's. */
export interface Database {
  readonly store: OutboxStore
  /** The same as the source of a module that has `postgres`, `sqlite` and `pg` imported. */
  readonly storeSource: string
  /** Runs `use` in a transaction: committed, or rolled back when it throws. */
  transaction<T> (use: (tx: any, insertBusinessRow: () => unknown) => T | Promise<T>): Promise<T> // A client or a DatabaseSync.
  rows (): Promise<Row[]>
  businessRows (): Promise<number>
  /** Moves all times of events by so many milliseconds, as if they had been given by a clock that was ahead. */
  shiftTimes (milliseconds: number): Promise<void>
  /** Makes the payload of an event one that is not JSON. */
  damage (id: string): Promise<void>
}

export interface Row {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly last_error: string | null
}

export interface Engine {
  readonly name: string
  /** Undefined, with the test skipped, where the engine is not there. */
  create (t: Test): Promise<Database | undefined>
}

const HOLD = 60_000

export function published (event: OutboxEvent): EventResult {
  return { event, state: 'published' }
}

function failed (event: OutboxEvent, delay: number): EventResult {
  return { event, state: 'failed', error: new Error('no'), message: `attempt ${event.attempt} failed`, delay }
}

function parked (event: OutboxEvent): EventResult {
  return { event, state: 'parked', error: new Error('no'), message: `attempt ${event.attempt} failed` }
}

/** Adds events in one transaction; their ids. */
export async function add (database: Database, store: Pick<OpenStore, 'add'>, ...keys: string[]): Promise<string[]> {
  return database.transaction(async (tx) => {
    const ids: string[] = []
    for (const key of keys) ids.push(await store.add(tx, () => ({ id: uuid(), type: 'thing.happened', key, payload: '{}' })))
    return ids
  })
}

/** What a batch hands out; nothing is stored. */
async function look (store: OpenStore, limit = 100): Promise<string[]> {
  let ids: string[] = []
  await store.batch({ limit, hold: HOLD }, async (events) => {
    ids = events.map(({ id }) => id)
    return []
  })
  return ids
}

function settle (store: OpenStore, result: (event: OutboxEvent) => EventResult | undefined): Promise<readonly EventResult[]> {
  return store.batch({ limit: 100, hold: HOLD }, async (events) => events.map(result).filter((one) => one !== undefined))
}

/** What every store promises to the relay. */
export function storeSuite (t: Test, { name, create }: Engine): void {
  function test (sentence: string, body: (t: Test, database: Database, store: OpenStore) => Promise<void>): void {
    t.test(`${name}: ${sentence}`, async (t) => {
      const database = await create(t)
      if (database === undefined) return
      const store = await database.store.open()
      t.teardown(() => store.close())
      await body(t, database, store)
    })
  }

  test('an event exists if and when its transaction commits', async (t, database, store) => {
    let id = ''
    await database.transaction(async (tx, insertBusinessRow) => {
      await insertBusinessRow()
      id = await store.add(tx, () => ({ id: uuid(), type: 'order.placed', key: '', payload: '{}' }))
    })
    await t.rejects(database.transaction(async (tx, insertBusinessRow) => {
      await insertBusinessRow()
      await store.add(tx, () => ({ id: uuid(), type: 'order.placed', key: '', payload: '{}' }))
      throw new Error('out of stock')
    }), { message: 'out of stock' })
    t.same((await database.rows()).map((row) => row.id), [id])
    t.equal(await database.businessRows(), 1)
  })

  test('what comes out is what went in', async (t, database, store) => {
    const payloads = [null, { a: [1, 'ä', '😀'], b: { c: null } }, 'nul \0 and half a pair \ud800', 12.5, '"quoted" \\ {braces}, and commas']
    const before = Date.now()
    const ids = await database.transaction(async (tx) => {
      const ids: string[] = []
      for (const payload of payloads) ids.push(await store.add(tx, () => ({ id: uuid(), type: 'Größe "x"', key: "k'1", payload: JSON.stringify(payload) })))
      return ids
    })
    let events: readonly OutboxEvent[] = []
    await store.batch({ limit: 100, hold: HOLD }, async (given) => {
      events = given
      return []
    })
    t.same(events.map(({ createdAt, ...event }) => event), payloads.map((payload, index) => ({ id: ids[index], type: 'Größe "x"', key: "k'1", payload, attempt: 1 })))
    for (const { createdAt } of events) t.ok(Number.isInteger(createdAt) && createdAt >= before - 1000 && createdAt <= Date.now() + 1000)
  })

  test('a batch is at most as large as asked for; keys come in turn, and the events of each in the order of add', async (t, database, store) => {
    const [a1, b1, a2, c1, b2] = await add(database, store, 'a', 'b', 'a', 'c', 'b')
    t.same(await look(store, 4), [a1, b1, c1, a2])
    await store.batch({ limit: 2, hold: HOLD }, async (events) => events.map(published))
    t.same(await look(store), [c1, a2, b2])
  })

  test('an event without a result stays as it was, and can be had at once', async (t, database, store) => {
    const ids = await add(database, store, '', '')
    t.same(await settle(store, () => undefined), [])
    t.match(await database.rows(), ids.map((id) => ({ id, state: 'pending', attempts: 0, last_error: null })))
    t.same(await look(store), ids)
  })

  test('a failed event waits, and with it the later ones of its key, counted and with the last error', async (t, database, store) => {
    const [a1, b1, a2, b2] = await add(database, store, 'a', 'b', 'a', 'b')
    const stored = await settle(store, (event) => event.id === a1 ? failed(event, 60_000) : event.id === b1 ? published(event) : undefined)
    t.same(stored.map(({ state }) => state), ['failed', 'published'])
    t.same(await look(store), [b2])
    const [row] = await database.rows()
    t.match(row, { id: a1, state: 'pending', attempts: 1, last_error: 'attempt 1 failed' })
    t.ok(a2)
  })

  test('a failed event comes back after its delay, for its next attempt, with what waited for it', async (t, database, store) => {
    const [first, second] = await add(database, store, '', '')
    await settle(store, (event) => event.id === first ? failed(event, 150) : undefined)
    t.same(await look(store), [])
    await until(async () => {
      const stored = await settle(store, (event) => event.id === first ? failed(event, 0) : undefined)
      return stored.length > 0
    })
    t.match((await database.rows())[0], { attempts: 2, last_error: 'attempt 2 failed' })
    await until(async () => (await look(store)).length === 2)
    await settle(store, published)
    t.match(await database.rows(), [{ id: first, state: 'published', attempts: 3, last_error: 'attempt 2 failed' }, { id: second, state: 'published', attempts: 1 }])
    t.same(await look(store), [])
  })

  test('a parked event lets the later ones of its key go on', async (t, database, store) => {
    const [first, second] = await add(database, store, '', '')
    await settle(store, (event) => event.id === first ? parked(event) : undefined)
    t.same(await look(store), [second])
  })

  test('parked events are listed, those parked first come first', async (t, database, store) => {
    const [first, second, third] = await add(database, store, 'a', 'b', 'c')
    await settle(store, (event) => event.id === second ? parked(event) : undefined)
    await settle(store, (event) => event.id === first ? parked(event) : undefined)
    const list = await store.listParked(100)
    t.match(list, [{ id: second, type: 'thing.happened', key: 'b', payload: {}, attempts: 1, lastError: 'attempt 1 failed' }, { id: first }])
    t.ok(list.every(({ createdAt, parkedAt }) => createdAt <= parkedAt && Math.abs(Date.now() - parkedAt) < 5000))
    t.same((await store.listParked(1)).map(({ id }) => id), [second])
    t.same(await store.listParked(0), [])
    t.same(await look(store), [third])
  })

  test('a parked event that is retried begins anew, at its old place', async (t, database, store) => {
    const [first, second] = await add(database, store, '', '')
    await settle(store, (event) => event.id === first ? parked(event) : undefined)
    t.equal(await store.retryParked(first!), true)
    t.match(await database.rows(), [{ id: first, state: 'pending', attempts: 0, last_error: 'attempt 1 failed' }, {}])
    t.same(await look(store), [first, second])
    t.equal(await store.retryParked(first!), false, 'it is not parked any more')
  })

  test('a parked event can be removed', async (t, database, store) => {
    const [first, second] = await add(database, store, '', '')
    await settle(store, (event) => event.id === first ? parked(event) : undefined)
    t.equal(await store.removeParked(second!), false, 'it is not parked')
    t.equal(await store.removeParked(first!), true)
    t.equal(await store.removeParked(first!), false)
    t.same((await database.rows()).map(({ id }) => id), [second])
  })

  test('what is the id of no event is nowhere', async (t, _database, store) => {
    for (const id of [uuid(), 'no uuid', '', 'nul \0']) {
      t.equal(await store.retryParked(id), false)
      t.equal(await store.removeParked(id), false)
    }
  })

  test('what one process has in its hands, and what follows it, no other one gets', async (t, database, store) => {
    const other = await database.store.open()
    t.teardown(() => other.close())
    const ids = await add(database, store, 'a', 'a', 'a', 'b', 'c')
    let elsewhere: string[] = []
    await store.batch({ limit: 4, hold: HOLD }, async (events) => {
      t.same(events.map(({ id }) => id), [ids[0], ids[3], ids[4], ids[1]])
      elsewhere = await look(other)
      return [published(events[0]!), failed(events[3]!, 60_000)]
    })
    t.same(elsewhere, [])
    t.same(await look(other), [ids[3], ids[4]])
  })

  test('keys take turns: one with a long backlog leaves room for the others', async (t, database, store) => {
    const ids = await add(database, store, 'a', 'a', 'a', 'a', 'b', 'c')
    t.same(await look(store, 3), [ids[0], ids[4], ids[5]])
    t.same(await look(store, 4), [ids[0], ids[4], ids[5], ids[1]])
  })

  test('a key that is tried again comes after those that have been due for longer', async (t, database, store) => {
    const [a, b] = await add(database, store, 'a', 'b')
    await settle(store, (event) => event.id === a ? failed(event, 0) : undefined)
    t.same(await look(store, 1), [b])
    t.same(await look(store), [b, a])
  })

  test('an earlier event that turns up later does not make others be handed out twice', async (t, database, store) => {
    const other = await database.store.open()
    t.teardown(() => other.close())
    const [first, second, third] = await add(database, store, '', '', '')
    await settle(store, (event) => event.id === first ? parked(event) : undefined)
    await store.batch({ limit: 100, hold: HOLD }, async (events) => {
      t.same(events.map(({ id }) => id), [second, third])
      await other.retryParked(first!)
      t.same(await look(other), [first])
      return events.map(published)
    })
    t.same(await look(other), [first])
  })

  test('many keys that wait for a retry keep no other key waiting', async (t, database, store) => {
    const keys = Array.from({ length: 25 }, (_, index) => `failing ${index}`)
    const heads = new Set(await add(database, store, ...keys))
    await add(database, store, ...keys, ...keys)
    await settle(store, (event) => heads.has(event.id) ? failed(event, 60_000) : undefined)
    t.same(await look(store, 2), [])
    const [fresh] = await add(database, store, 'fresh')
    t.same(await look(store, 2), [fresh])
    await store.batch({ limit: 2, hold: HOLD }, async (events) => events.map((event) => failed(event, 60_000)))
    t.same(await look(store, 2), [])
  })

  test('events published long ago are pruned, the oldest first, and nothing else', async (t, database, store) => {
    await add(database, store, 'a', 'b', 'c', 'd', 'e')
    const ids = (await database.rows()).map(({ id }) => id)
    await settle(store, (event) => event.key === 'e' ? undefined : event.key === 'd' ? parked(event) : published(event))
    t.equal(await store.prune(60_000, 10), 0)
    await database.shiftTimes(-1000)
    t.equal(await store.prune(5, 2), 2)
    t.same((await database.rows()).map(({ id }) => id).slice(1), ids.slice(3))
    t.equal(await store.prune(5, 10), 1)
    t.same((await database.rows()).map(({ id }) => id), ids.slice(3))
  })

  test('the figures are those of what is there', async (t, database, store) => {
    t.same(await store.stats(), { pending: 0, parked: 0, oldestSeconds: 0 })
    await add(database, store, 'a', 'b', 'c')
    await settle(store, (event) => event.key === 'a' ? parked(event) : event.key === 'b' ? published(event) : undefined)
    const { oldestSeconds, ...counts } = await until(async () => {
      const stats = await store.stats()
      return stats.oldestSeconds > 0.05 && stats
    })
    t.same(counts, { pending: 1, parked: 1 })
    t.ok(oldestSeconds < 60)
  })

  test('a key with a long backlog keeps another one waiting for one batch at the most', async (t, database, store) => {
    await add(database, store, ...Array<string>(3000).fill('long'))
    const [first] = await add(database, store, 'short')
    await store.batch({ limit: 10, hold: HOLD }, async (events) => {
      t.ok(events.some(({ id }) => id === first))
      return events.map(published)
    })
    const [second] = await add(database, store, 'another')
    let batches = 0
    await until(async () => {
      batches++
      let isFound = false
      await store.batch({ limit: 10, hold: HOLD }, async (events) => {
        isFound = events.some(({ id }) => id === second)
        return events.map(published)
      })
      return isFound
    })
    t.ok(batches < 50, `found in batch ${batches}`)
  })

  test('a long backlog behind an event that failed keeps no other key waiting', async (t, database, store) => {
    const [head] = await add(database, store, ...Array<string>(3000).fill('failing'))
    await store.batch({ limit: 10, hold: HOLD }, async (events) => events.slice(0, 1).map((event) => failed(event, 60_000)))
    t.equal((await database.rows()).find(({ id }) => id === head)!.attempts, 1)
    const [other] = await add(database, store, 'other')
    t.same(await look(store, 10), [other])
  })

  test('times that a clock gave which was an hour ahead are not waited for', async (t, database, store) => {
    const [failing, fresh] = await add(database, store, 'failing', 'fresh')
    await settle(store, (event) => event.id === failing ? failed(event, 60_000) : undefined)
    t.same(await look(store), [fresh])
    await database.shiftTimes(3_600_000)
    const both = await until(async () => {
      const ids = await look(store)
      return ids.length > 1 && ids
    })
    t.same(both.toSorted(), [failing, fresh].toSorted())
    await settle(store, (event) => event.id === failing ? failed(event, 60_000) : undefined)
    t.same(await look(store), [fresh], 'a time of now is trusted')
    await settle(store, parked)
    await store.retryParked(fresh!)
    await database.shiftTimes(3_600_000)
    t.ok((await look(store)).includes(fresh!), 'nor is that of a retry by hand')
  })

  test('a __proto__ key of a payload is left out, and a payload that cannot be read is told of', async (t, database, store) => {
    await database.transaction(async (tx) => store.add(tx, () => ({ id: uuid(), type: 'x', key: '', payload: '{"a":1,"__proto__":{"isAdmin":true}}' })))
    await store.batch({ limit: 10, hold: HOLD }, async ([event], { damaged }) => {
      t.same(Object.keys(event!.payload as object), ['a'])
      t.equal(damaged.size, 0)
      return []
    })
    const [id] = (await database.rows()).map((row) => row.id)
    await database.damage(id!)
    await store.batch({ limit: 10, hold: HOLD }, async ([event], { damaged }) => {
      t.match(damaged.get(id!), { code: 'FST_JOBS_INVALID_PAYLOAD' })
      return [parked(event!)]
    })
    t.match(await store.listParked(10), [{ id, payload: 'no JSON' }])
  })

  test('large payloads come in several batches', async (t, database, store) => {
    const payload = JSON.stringify(randomBytes(3 * 1024 * 1024).toString('base64'))
    await database.transaction(async (tx) => {
      for (let n = 0; n < 6; n++) await store.add(tx, () => ({ id: uuid(), type: 'x', key: '', payload }))
    })
    let count = 0
    await store.batch({ limit: 10, hold: HOLD }, async (events) => { count = events.length; return [] })
    t.ok(count > 1 && count < 6, `${count} of 6`)
  })

  test('where there are more keys than one look sees, all of them come', async (t, database, store) => {
    const ids = await add(database, store, ...Array.from({ length: 2500 }, (_, n) => `key ${n * 7919 % 2500}`))
    const found = new Set<string>()
    while (found.size < ids.length) {
      const stored = await store.batch({ limit: 100, hold: HOLD }, async (events) => events.map(published))
      for (const { event } of stored) found.add(event.id)
    }
    t.same(await look(store), [])
  })

  test('several processes can open an outbox that is not there yet, at once', async (t, database) => {
    const stores = await Promise.all(Array.from({ length: 5 }, () => database.store.open()))
    for (const store of stores) store.close()
    t.pass()
  })

  test('work that goes on while another process has the database is not lost', async (t, database, store) => {
    const [id] = await add(database, store, '')
    const [began, gate] = [deferred(), deferred()]
    const writing = database.transaction(async (tx, insertBusinessRow) => {
      await insertBusinessRow()
      await store.add(tx, () => ({ id: uuid(), type: 'x', key: '', payload: '{}' }))
      began.resolve()
      await gate.promise
    })
    await began.promise
    const working = settle(store, published)
    setTimeout(() => gate.resolve(), 100)
    const stored = await working
    await writing
    t.same(stored.map(({ event }) => event.id).slice(0, 1), [id])
  })
}
