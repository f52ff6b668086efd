import assert from 'node:assert/strict'
import type { FastifyInstance } from 'fastify'
import { refused } from './assertions.ts'
import type { Case, Subject } from './case.ts'
import type { Lab } from './lab.ts'
import type { BreakableConnection } from './target.ts'
import { inTime, until } from './until.ts'

const UNAVAILABLE = 'FST_JOBS_BACKEND_UNAVAILABLE'

function breakable ({ target }: Subject): boolean {
  return target.breakable !== undefined
}

/** An app that has run a job over a connection that is broken by now. */
async function brokenApp (lab: Lab): Promise<{ app: FastifyInstance, connection: BreakableConnection, seen: unknown[] }> {
  const connection = await lab.target.breakable!(lab.space)
  lab.onDispose(() => connection.close())
  const app = await lab.app({ backend: connection.backend })
  const seen: unknown[] = []
  app.jobs.define('work', async (payload) => { seen.push(payload) })
  await app.ready()
  await app.jobs.enqueue('work', 'before')
  await until('it has run', () => seen.length === 1)
  await connection.break()
  return { app, connection, seen }
}

export const outages: readonly Case[] = [
  {
    name: 'an enqueue is refused in time while the store is out of reach, and all goes on afterwards',
    appliesTo: breakable,
    async run (lab) {
      const { app, connection, seen } = await brokenApp(lab)
      const refusal = await inTime('the enqueue was refused', app.jobs.enqueue('work', 'refused', { id: 'refused' }).then(() => undefined, (error) => error))
      assert.deepEqual([refusal?.code, refusal?.statusCode], [UNAVAILABLE, 503])
      assert.match(refusal.headers?.['retry-after'] ?? '', /^\d+$/)
      await refused(app.jobs.enqueueMany([{ job: 'work', payload: 'refused', id: 'refused-too' }]), UNAVAILABLE)
      await connection.mend()
      await until('enqueues are taken again', () => app.jobs.enqueue('work', 'after').then(() => true, () => false))
      await until('the job has run', () => seen.includes('after'))
      assert.equal(seen.filter((payload) => payload === 'after').length, 1)
    }
  },
  {
    name: 'an app closes in time while the store is out of reach',
    appliesTo: breakable,
    async run (lab) {
      const { app, connection } = await brokenApp(lab)
      await inTime('the app has closed', app.close())
      await connection.mend()
    }
  }
]
