import assert from 'node:assert/strict'
import Fastify from 'fastify'
import backgroundJobs from '../../lib/index.ts'
import { refused } from './assertions.ts'
import type { Case } from './case.ts'
import { inTime, until } from './until.ts'

/** Milliseconds: longer than any connectTimeout that a target should choose. */
const CONNECT_TIMEOUT = 15_000

export const opening: readonly Case[] = [
  {
    name: 'the capabilities are known before the store is opened',
    async run (lab) {
      const { name, capabilities } = lab.connect()
      assert.match(name, /./)
      for (const capability of ['durable', 'delegates', 'delay', 'priority', 'unique', 'inspect'] as const) {
        assert.equal(typeof capabilities[capability], 'boolean', capability)
      }
      assert.ok(!(capabilities.durable && capabilities.delegates), 'what is durable cannot take functions')
    }
  },
  {
    name: 'a backend without its server fails to open, in time, with FST_JOBS_BACKEND_UNAVAILABLE',
    appliesTo: ({ target }) => target.unreachable !== undefined,
    async run (lab) {
      const app = Fastify()
      const registered = app.register(backgroundJobs, { backend: lab.target.unreachable!() })
      await assert.rejects(inTime('opening failed', Promise.resolve(registered), { patience: CONNECT_TIMEOUT }), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'FST_JOBS_BACKEND_UNAVAILABLE')
        return true
      })
      await inTime('the app has closed', app.close())
    }
  },
  {
    name: 'a second app on the same backend object is refused, and the first one goes on',
    async run (lab) {
      const backend = lab.connect()
      const first = await lab.app({ backend })
      const seen: unknown[] = []
      first.jobs.define('work', async (payload) => { seen.push(payload) })
      await first.ready()
      await refused(lab.app({ backend }), 'FST_JOBS_INVALID_OPTIONS')
      await first.jobs.enqueue('work', 'still here')
      await until('it has run', () => seen.length === 1)
    }
  },
  {
    name: 'an app that is never ready closes',
    async run (lab) {
      const app = await lab.app()
      app.jobs.define('work', async () => {})
      await app.jobs.enqueue('work', null)
      await inTime('the app has closed', app.close())
    }
  },
  {
    name: 'several queues live in one backend, each with jobs of its own',
    async run (lab) {
      const app = await lab.app({ queues: { 'mails.eu-1': {}, Mails_EU: {} } })
      const seen: string[] = []
      for (const queue of ['default', 'mails.eu-1', 'Mails_EU']) {
        app.jobs.define(`work in ${queue}`, { queue }, async (payload, { job }) => { seen.push(`${payload} in ${job.queue}`) })
      }
      await app.ready()
      app.jobs.pause()
      for (const queue of ['default', 'mails.eu-1', 'Mails_EU']) await app.jobs.enqueue(`work in ${queue}`, queue)
      const { queues } = await app.jobs.status()
      assert.deepEqual(Object.values(queues).map(({ queueDepth }) => queueDepth), [1, 1, 1])
      app.jobs.resume()
      await until('all have run', () => seen.length === 3)
      assert.deepEqual(seen.sort(), ['Mails_EU in Mails_EU', 'default in default', 'mails.eu-1 in mails.eu-1'])
    }
  }
]
