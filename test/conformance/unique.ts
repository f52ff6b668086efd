import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import { NOT_SUPPORTED, numbers, refused } from './assertions.ts'
import type { Case } from './case.ts'
import type { Lab } from './lab.ts'
import { until } from './until.ts'

/** Enqueues with the key: the status. */
function statusOf (app: FastifyInstance, payload: unknown, options: object = { uniqueKey: 'key' }): Promise<string> {
  return app.jobs.enqueue('work', payload, options).then(({ status }) => status)
}

async function appWithout (lab: Lab): Promise<void> {
  const app = await lab.app()
  app.jobs.define('work', async () => {})
  await app.ready()
  return refused(app.jobs.enqueue('work', null, { uniqueKey: 'key' }), NOT_SUPPORTED)
}

export const unique: readonly Case[] = [
  {
    name: 'a unique key is taken while its job waits and runs, and free when it has ended',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      await app.ready()
      app.jobs.pause()
      const first = await app.jobs.enqueue('work', 'first', { uniqueKey: 'key' })
      const second = await app.jobs.enqueue('work', 'second', { uniqueKey: 'key' })
      assert.deepEqual([second.id, second.status], [first.id, 'duplicate'])
      assert.equal(await statusOf(app, 'another key', { uniqueKey: 'key too' }), 'enqueued')
      app.jobs.resume()
      await held.haveBegun(2)
      assert.equal(await statusOf(app, 'second'), 'duplicate')
      held.endAll()
      await until('the key is free', async () => await statusOf(app, 'third') === 'enqueued')
      await held.haveEnded(3)
      assert.deepEqual(held.ended.sort(), ['another key', 'first', 'third'])
    }
  },
  {
    name: 'a unique key stays taken while its job waits for a retry, and is free when it is dead',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      let retries = 0
      app.jobs.define('work', { attempts: 2, backoff: () => 300 }, async () => { throw new Error('always') })
      app.jobs.addHook('onRetry', () => { retries++ })
      await app.ready()
      await statusOf(app, 'first')
      await until('it waits for its retry', () => retries === 1)
      assert.equal(await statusOf(app, 'second'), 'duplicate')
      await until('it is dead', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
      assert.equal(await statusOf(app, 'third'), 'enqueued')
    }
  },
  {
    name: 'with uniqueFor the key stays taken for so long after the end',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      let ended = 0
      app.jobs.define('work', async () => { ended = Date.now() })
      await app.ready()
      const options = { uniqueKey: 'key', uniqueFor: 500 }
      const { id } = await app.jobs.enqueue('work', 'first', options)
      await until('it has run', () => ended > 0)
      const end = ended
      const second = await app.jobs.enqueue('work', 'second', options)
      assert.deepEqual([second.id, second.status], [id, 'duplicate'])
      await until('the key is free', async () => await statusOf(app, 'third', options) === 'enqueued')
      assert.ok(Date.now() - end >= 500, `free after ${Date.now() - end} ms, not before 500`)
    }
  },
  {
    name: 'a job that is enqueued again by its id and its key, once the id is forgotten and the key is not, is a duplicate',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app({ queues: { default: { history: 0 } } })
      let ended = 0
      app.jobs.define('work', async () => { ended++ })
      await app.ready()
      const options = { id: 'mine', uniqueKey: 'key', uniqueFor: 3_600_000 }
      assert.equal(await statusOf(app, null, options), 'enqueued')
      await until('it has run', () => ended === 1)
      await app.jobs.idle()
      assert.equal(await statusOf(app, null, options), 'duplicate')
      assert.equal((await app.jobs.enqueueMany([{ job: 'work', payload: null, ...options }, { job: 'work', payload: null, id: 'other' }])).map(({ status }) => status).join(), 'duplicate,enqueued')
      await until('the other one has run', () => ended === 2)
    }
  },
  {
    name: 'a key can be taken for ever',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      let ended = 0
      app.jobs.define('work', async () => { ended++ })
      await app.ready()
      for (const [index, uniqueFor] of [Number.MAX_SAFE_INTEGER, 1e300].entries()) {
        const options = { uniqueKey: `key ${uniqueFor}`, uniqueFor }
        const { id } = await app.jobs.enqueue('work', 'first', options)
        await until('it has run', () => ended > index)
        await app.jobs.idle()
        const second = await app.jobs.enqueue('work', 'second', options)
        assert.deepEqual([second.id, second.status], [id, 'duplicate'])
      }
    }
  },
  {
    name: 'a job that was cancelled gives its key back at once, with uniqueFor, too',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      app.jobs.pause()
      const options = { uniqueKey: 'key', uniqueFor: 3_600_000 }
      const { id } = await app.jobs.enqueue('work', 'first', options)
      if (!lab.capabilities.inspect) return refused(app.jobs.cancel(id), NOT_SUPPORTED)
      assert.equal(await app.jobs.cancel(id), true)
      assert.equal(await statusOf(app, 'second', options), 'enqueued')
    }
  },
  {
    name: 'a dead letter that is removed gives its key back, with uniqueFor, too',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      app.jobs.define('work', { attempts: 1 }, async () => { throw new Error('always') })
      await app.ready()
      const options = { uniqueKey: 'key', uniqueFor: 3_600_000 }
      const { id } = await app.jobs.enqueue('work', 'first', options)
      await until('it is dead', async () => (await app.jobs.status()).queues.default!.deadLetters === 1)
      assert.equal(await statusOf(app, 'second', options), 'duplicate')
      if (!lab.capabilities.inspect) return refused(app.jobs.deadLetters.remove(id), NOT_SUPPORTED)
      assert.equal(await app.jobs.deadLetters.remove(id), true)
      assert.equal(await statusOf(app, 'third', options), 'enqueued')
    }
  },
  {
    name: 'keys of two jobs never meet',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      app.jobs.define('work:a', async () => {})
      await app.ready()
      app.jobs.pause()
      assert.equal((await app.jobs.enqueue('work', null, { uniqueKey: 'a:b' })).status, 'enqueued')
      assert.equal((await app.jobs.enqueue('work:a', null, { uniqueKey: 'b' })).status, 'enqueued')
      assert.equal((await app.jobs.enqueue('work:a', null, { uniqueKey: 'a:b' })).status, 'enqueued')
    }
  },
  {
    name: '200 concurrent enqueues of one key are one job',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      const held = lab.heldJobs()
      app.jobs.define('work', held.handler)
      await app.ready()
      const answers = await Promise.all(numbers(200).map((payload) => app.jobs.enqueue('work', payload, { uniqueKey: 'key' })))
      assert.equal(answers.filter(({ status }) => status === 'enqueued').length, 1)
      assert.equal(answers.filter(({ status }) => status === 'duplicate').length, 199)
      assert.equal(new Set(answers.map(({ id }) => id)).size, 1)
      held.endAll()
      await held.haveEnded(1)
      await until('the key is free', async () => await statusOf(app, 'last') === 'enqueued')
      await held.haveEnded(2)
      assert.equal(held.begun.at(-1), 'last')
      assert.equal(held.begun.length, 2)
    }
  },
  {
    name: 'jobs of one key that are enqueued at once are one job',
    async run (lab) {
      if (!lab.capabilities.unique) return appWithout(lab)
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.ready()
      app.jobs.pause()
      const answers = await app.jobs.enqueueMany(['a', 'b', 'a'].map((uniqueKey) => ({ job: 'work', payload: uniqueKey, uniqueKey })))
      assert.deepEqual(answers.map(({ status }) => status), ['enqueued', 'enqueued', 'duplicate'])
      assert.equal(answers[2]!.id, answers[0]!.id)
      assert.equal((await app.jobs.status()).queues.default!.queueDepth, 2)
    }
  }
]
