import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Case } from './case.ts'
import { until } from './until.ts'

const TENANTS = ['ada', 'bob', 'cyd', 'dan']

export const context: readonly Case[] = [
  {
    name: 'no job, retry or hook runs in the AsyncLocalStorage context of a request',
    async run (lab) {
      const storage = new AsyncLocalStorage<string>()
      const app = await lab.app()
      const contexts: unknown[] = []
      const see = (): unknown => contexts.push(storage.getStore())
      app.jobs.define('work', async (_payload, { job: { attempt } }) => {
        see()
        if (attempt === 1) throw new Error('again')
      })
      app.jobs.addHook('onRetry', see)
      app.jobs.addHook('onSuccess', see)
      await app.ready()
      const delay = lab.capabilities.delay ? 20 : undefined
      await Promise.all(TENANTS.map((tenant) => storage.run(tenant, async () => {
        await app.jobs.enqueue('work', null)
        await app.jobs.enqueue('work', null, { delay })
      })))
      await until('all jobs have succeeded and their hooks have run', () => contexts.length === 2 * 4 * TENANTS.length)
      assert.deepEqual(contexts.filter((seen) => seen !== undefined), [])
    }
  }
]
