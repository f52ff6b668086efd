import type { Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyServerOptions, type HTTPMethods } from 'fastify'
import backgroundJobs, { ManualClock, type BackgroundJobsOptions } from '../../lib/index.ts'

export const admin: NonNullable<BackgroundJobsOptions['admin']> = {
  authorize (request) {
    if (request.headers['x-role'] === 'stranger') throw Object.assign(new Error('who are you?'), { statusCode: 401 })
    return request.headers['x-role'] === 'admin'
  }
}

type Prepare = (app: FastifyInstance) => unknown

/** An app with all routes of the plugin, a dead letter, a waiting job, a schedule and a service. Whatever it answers is always the same. */
export async function appWithEverything (t: Test, prepare: Prepare = () => {}, server: FastifyServerOptions = {}, options: BackgroundJobsOptions = {}): Promise<FastifyInstance> {
  const app = Fastify({ logger: false, ...server })
  t.teardown(() => app.close())
  await prepare(app)
  await app.register(backgroundJobs, { admin, clock: new ManualClock(), retry: { attempts: 1 }, ...options })
  app.jobs.define('fails', () => { throw new TypeError('it broke', { cause: new Error('no route') }) })
  app.jobs.schedule('hourly', { cron: '0 * * * *' }, 'fails')
  app.jobs.service('listener', { start () {} })
  await app.ready()
  await app.jobs.enqueue('fails', 1, { id: 'dead', uniqueKey: 'key', correlationId: 'request-1' })
  await app.jobs.idle()
  app.jobs.pause()
  await app.jobs.enqueue('fails', 2, { id: 'waiting', uniqueKey: 'key' })
  return app
}

/** Requests with every status that the routes answer with in an app that works. */
export const REQUESTS: readonly (readonly [method: HTTPMethods, url: string, role: string, status: number])[] = [
  ['GET', '/health/live', 'nobody', 200],
  ['GET', '/health/ready', 'nobody', 200],
  ['GET', '/health', 'nobody', 200],
  ['GET', '/metrics', 'nobody', 200],
  ['GET', '/jobs/status', 'nobody', 200],
  ['GET', '/jobs/dead', 'nobody', 200],
  ['GET', '/jobs/waiting', 'nobody', 200],
  ['GET', '/jobs/missing', 'nobody', 404],
  ['GET', '/jobs/admin/dead-letters', 'admin', 200],
  ['GET', '/jobs/admin/dead-letters?queue=default&limit=5', 'admin', 200],
  ['GET', '/jobs/admin/dead-letters?limit=0', 'admin', 400],
  ['GET', '/jobs/admin/dead-letters?limit=Infinity', 'admin', 400],
  ['GET', '/jobs/admin/dead-letters?queue=missing', 'admin', 404],
  ['GET', '/jobs/admin/dead-letters', 'nobody', 403],
  ['GET', '/jobs/admin/dead-letters', 'stranger', 401],
  ['POST', '/jobs/admin/dead-letters/dead/retry', 'admin', 409],
  ['POST', '/jobs/admin/dead-letters/missing/retry', 'admin', 404],
  ['POST', '/jobs/admin/jobs/waiting/cancel', 'admin', 204],
  ['POST', '/jobs/admin/dead-letters/dead/retry', 'admin', 204],
  ['POST', '/jobs/admin/jobs/dead/cancel', 'admin', 204],
  ['DELETE', '/jobs/admin/dead-letters/missing', 'admin', 404],
  ['POST', '/jobs/admin/queues/default/pause', 'admin', 204],
  ['POST', '/jobs/admin/queues/default/resume', 'admin', 204],
  ['POST', '/jobs/admin/schedules/hourly/pause', 'admin', 204],
  ['POST', '/jobs/admin/schedules/hourly/resume', 'admin', 204],
  ['POST', '/jobs/admin/schedules/missing/run', 'admin', 404],
  ['POST', '/jobs/admin/schedules/hourly/run', 'admin', 202]
]

export interface Answer {
  readonly request: string
  readonly status: number
  readonly type: unknown
  readonly body: string
}

/** What the app answers to all of them, one after the other. */
export async function answersOf (app: FastifyInstance): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const [method, url, role] of REQUESTS) {
    const { statusCode, headers, body } = await app.inject({ method: method as 'GET', url, headers: { 'x-role': role } })
    // The one id that is random.
    answers.push({ request: `${method} ${url} by ${role}`, status: statusCode, type: headers['content-type'], body: body.replace(/"jobId":"[^"]+"/, '"jobId":"…"') })
  }
  return answers
}
