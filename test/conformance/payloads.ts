import assert from 'node:assert/strict'
import { INVALID_PAYLOAD, isPending, numbers, PAYLOAD_TOO_LARGE, refused, settled } from './assertions.ts'
import { storesPayloads, type Case } from './case.ts'
import type { Lab } from './lab.ts'
import { inTime, until, untilThereAre } from './until.ts'

/** What the handlers of those payloads are given, in their order. */
async function delivered (lab: Lab, payloads: readonly unknown[]): Promise<unknown[]> {
  const app = await lab.app({ queues: { default: { concurrency: 1 } } })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  await app.ready()
  for (const payload of payloads) await app.jobs.enqueue('work', payload)
  await untilThereAre(payloads.length, 'jobs have run', () => seen.length)
  return seen
}

const cycle: { self?: unknown } = {}
cycle.self = cycle

const INVALID: Record<string, unknown> = {
  'a BigInt': { count: 1n },
  'a cycle': cycle,
  'a toJSON that throws': { toJSON () { throw new Error('not me') } },
  'a NUL': { text: 'a\0b' },
  'a NUL in a key': { 'a\0b': 1 },
  'a high surrogate alone': ['\ud83d'],
  'a low surrogate alone': 'a\ude00b',
  'surrogates the wrong way round': '\ude00\ud83d'
}

export const payloads: readonly Case[] = [
  {
    name: 'a payload arrives as a JSON round trip leaves it, on every backend the same',
    appliesTo: storesPayloads,
    async run (lab) {
      const payloads = [
        { nan: NaN, infinity: -Infinity, zero: -0, big: 2 ** 53, tiny: 5e-324, huge: 1.7976931348623157e308 },
        { date: new Date(0), map: new Map([[1, 2]]), set: new Set([1]), regexp: /x/, bytes: new Uint8Array([1, 2]), buffer: Buffer.from('ab') },
        { left: undefined, out () {}, symbol: Symbol('s'), list: [undefined, () => {}, Symbol('s')], hole: [1, , 3] }, // eslint-disable-line no-sparse-arrays
        { toJSON: () => ({ by: 'toJSON' }) },
        { nested: [{ deep: [[[{ '': null, ' ': true, ключ: '値' }]]] }] },
        '', 'text', 'é😀\u2028\ufeff\t\\u0000\\ud800 \'"`${}%s', 0, -1.5, true, false, null, [], {},
        { a: 'x'.repeat(100_000), list: numbers(5000) }
      ]
      const expected = payloads.map((payload) => JSON.parse(JSON.stringify(payload)))
      assert.deepEqual(await delivered(lab, payloads), expected)
    }
  },
  {
    name: 'a payload that is undefined arrives as null',
    appliesTo: storesPayloads,
    async run (lab) {
      assert.deepEqual(await delivered(lab, [undefined]), [null])
    }
  },
  {
    name: 'what is done to a payload after its enqueue does not reach the handler',
    appliesTo: storesPayloads,
    async run (lab) {
      const app = await lab.app()
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      app.jobs.pause()
      const payload = { list: [1] }
      const many = [{ list: [2] }, { list: [3] }]
      await app.jobs.enqueue('work', payload)
      await app.jobs.enqueueMany(many.map((payload) => ({ job: 'work', payload })))
      for (const { list } of [payload, ...many]) list.push(0)
      app.jobs.resume()
      await until('all have run', () => seen.length === 3)
      assert.deepEqual(seen.map((payload) => JSON.stringify(payload)).sort(), ['{"list":[1]}', '{"list":[2]}', '{"list":[3]}'])
    }
  },
  {
    name: 'what is done to a payload while its enqueue waits for room does not reach the handler',
    appliesTo: (subject) => storesPayloads(subject) && subject.capabilities.fullModes?.includes('wait') !== false,
    async run (lab) {
      const app = await lab.app({ queues: { default: { capacity: 1, concurrency: 1 } } })
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      app.jobs.pause()
      await app.jobs.enqueue('work', 'fills')
      const payload = { list: [1] }
      const waits = settled(app.jobs.enqueue('work', payload))
      assert.equal(await isPending(waits), true)
      payload.list.push(2)
      app.jobs.resume()
      await inTime('there was room', waits)
      await until('both have run', () => seen.length === 2)
      assert.deepEqual(seen, ['fills', { list: [1] }])
    }
  },
  ...Object.entries(INVALID).map(([what, payload]): Case => ({
    name: `${what} in a payload is refused with FST_JOBS_INVALID_PAYLOAD, with all that was to be enqueued with it`,
    appliesTo: storesPayloads,
    async run (lab) {
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      app.jobs.pause()
      await refused(app.jobs.enqueue('work', payload), INVALID_PAYLOAD)
      await refused(app.jobs.enqueueMany([{ job: 'work', payload: 'good' }, { job: 'work', payload }]), INVALID_PAYLOAD)
      assert.equal((await app.jobs.status()).queueDepth, 0)
      await app.jobs.enqueue('work', 'good')
      assert.equal((await app.jobs.status()).queueDepth, 1)
    }
  })),
  {
    name: 'own __proto__ and constructor keys do no harm',
    appliesTo: storesPayloads,
    async run (lab) {
      const harmful = JSON.parse('{"kept":1,"__proto__":{"polluted":true},"list":[{"__proto__":{"polluted":true}}],"constructor":{"prototype":{"polluted":true}}}')
      const [payload] = await delivered(lab, [harmful]) as [any]
      assert.equal(Object.getPrototypeOf(payload), Object.prototype)
      for (const copy of [payload, payload.list[0], Object.assign({}, payload), { ...payload }, Object.assign({}, payload.list[0]), {}]) {
        assert.equal(copy.polluted, undefined)
      }
      assert.equal(payload.kept, 1)
      assert.ok(!Object.hasOwn(payload, '__proto__'))
      assert.ok(!Object.hasOwn(payload.list[0], '__proto__'))
    }
  },
  {
    name: 'the size of a payload is counted in UTF-8 bytes',
    appliesTo: storesPayloads,
    async run (lab) {
      const app = await lab.app({ queues: { default: { maxPayloadBytes: 100 } } })
      const seen: unknown[] = []
      app.jobs.define('work', async (payload) => { seen.push(payload) })
      await app.ready()
      // Two quotes, and three bytes for each euro sign.
      const fits = `${'€'.repeat(32)}ab`
      assert.equal((await app.jobs.enqueue('work', fits)).status, 'enqueued')
      await refused(app.jobs.enqueue('work', `${fits}c`), PAYLOAD_TOO_LARGE)
      await refused(app.jobs.enqueue('work', '€'.repeat(50)), PAYLOAD_TOO_LARGE)
      await refused(app.jobs.enqueueMany([{ job: 'work', payload: 1 }, { job: 'work', payload: `${fits}c` }]), PAYLOAD_TOO_LARGE)
      await until('the one that fits has run', () => seen.length === 1)
      assert.deepEqual(seen, [fits])
    }
  },
  {
    name: 'a payload of 900 kB arrives whole, or is refused where the engine carries less',
    appliesTo: storesPayloads,
    async run (lab) {
      const payload = 'x'.repeat(900_000)
      const { maxPayloadBytes = Infinity } = lab.capabilities
      if (maxPayloadBytes > 900_002) return assert.deepEqual(await delivered(lab, [payload]), [payload])
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      return refused(app.jobs.enqueue('work', payload), PAYLOAD_TOO_LARGE)
    }
  }
]
