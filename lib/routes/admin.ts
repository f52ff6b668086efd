import type { FastifyInstance, FastifyReply } from 'fastify'
import type { DeadLetter } from '../../types/job.ts'
import { UniqueKeyTakenError } from '../errors.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Runtime } from '../runtime.ts'
import { authorization } from './authorize.ts'
import { fromBackend } from './from-backend.ts'
import { pick, sendJson } from './json.ts'
import type { OwnRoutes } from './own-routes.ts'
import { integer, isoTimes, notSupported, object, problem, sendNotFound, text, time, unavailable } from './schemas.ts'

const WAY_OUT = "set another 'routes.prefix', or leave out 'admin'"

const refusals = { 401: problem('Not authenticated'), 403: problem('Not authorized') }
const problems = { ...refusals, 404: problem('There is none of that name or id'), 501: notSupported, 503: unavailable }
const anything = { type: 'object', additionalProperties: true as const }
const done = { 204: { description: 'Done', type: 'null' } }
const id = { type: 'object', properties: { id: text }, required: ['id'] }
const schedule = { type: 'object', properties: { schedule: text }, required: ['schedule'] }
const enqueued = { 202: { description: 'Enqueued', ...object({ jobId: text }) } }
const queue = { type: 'object', properties: { queue: text }, required: ['queue'] }
const held = { 409: problem('Another job has its unique key by now', { code: text, heldBy: { ...text, description: 'The id of that job' } }) }

const error = object({ name: text, message: text }, {
  code: text,
  stack: text,
  cause: { ...anything, description: 'The error that caused it, in the same shape' },
  errors: { type: 'array', items: anything, description: 'Of an AggregateError' }
})

const deadLetters = {
  type: 'array',
  items: object({ id: text, name: text, queue: text, attempt: integer, enqueuedAt: time }, {
    startedAt: time,
    finishedAt: time,
    correlationId: text,
    error,
    payload: { ...text, description: 'As JSON; absent when it is not JSON' }
  })
}

const listSchema = {
  operationId: 'jobsAdminListDeadLetters',
  summary: 'Dead letters, the oldest first',
  querystring: {
    type: 'object',
    properties: { queue: { ...text, maxLength: 128 }, limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 } }
  },
  response: { 200: { description: 'Dead letters', ...deadLetters }, 400: problem('A parameter is wrong'), ...problems }
}

function change (name: string, params: object, summary: string, answers: object = done) {
  return { operationId: `jobsAdmin${name}`, summary, params, response: { ...answers, ...problems } }
}

const retrySchema = change('RetryDeadLetter', id, 'Run a dead letter again', { ...done, ...held })
const removeSchema = change('RemoveDeadLetter', id, 'Forget a dead letter')
const cancelSchema = change('CancelJob', id, 'Cancel a job that waits or runs')
const runSchema = change('RunSchedule', schedule, 'Run the job of a schedule now', enqueued)
const switches = [
  { verb: 'pause', queueSchema: change('PauseQueue', queue, 'Pause a queue'), scheduleSchema: change('PauseSchedule', schedule, 'Pause a schedule') },
  { verb: 'resume', queueSchema: change('ResumeQueue', queue, 'Resume a queue'), scheduleSchema: change('ResumeSchedule', schedule, 'Resume a schedule') }
] as const

/** `<prefix>/admin/…`, every route of it behind `authorize`. */
export function adminRoutes (
  instance: FastifyInstance, runtime: Runtime, { prefix, authorize, readOnly, security }: NonNullable<ResolvedOptions['admin']>, own: OwnRoutes
): void {
  const { inspection, scheduler } = runtime
  // Names of security schemes that the app's document does not declare would make it invalid: so there is no default.
  const common = security ? { tags: ['jobs admin'], security } : { tags: ['jobs admin'] }
  const options = (schema: object) => own.options({ ...schema, ...common })

  function queueNamed (name: string) {
    return runtime.queues.find((one) => one.name === name)
  }

  function readRoutes (admin: FastifyInstance): void {
    admin.get<{ Querystring: { queue?: string, limit: number } }>('/dead-letters', options(listSchema), async (request, reply) => {
      const { queue } = request.query
      if (queue !== undefined && queueNamed(queue) === undefined) return missing(reply, 'queue', queue)
      const letters = await fromBackend(inspection.listDead(request.query))
      return sendJson(reply, pick(deadLetters, letters.map((letter) => ({ ...letter, ...isoTimes(letter), payload: payloadText(letter) }))))
    })
  }

  function changeRoutes (admin: FastifyInstance): void {
    admin.post<{ Params: { id: string } }>('/dead-letters/:id/retry', options(retrySchema), async ({ params }, reply) => {
      try {
        return await fromBackend(inspection.retry(params.id)) ? reply.code(204).send() : missing(reply, 'dead letter', params.id)
      } catch (error) {
        if (error instanceof UniqueKeyTakenError) return conflict(reply, error)
        throw error
      }
    })

    admin.delete<{ Params: { id: string } }>('/dead-letters/:id', options(removeSchema), async ({ params }, reply) =>
      await fromBackend(inspection.remove(params.id)) ? reply.code(204).send() : missing(reply, 'dead letter', params.id))

    admin.post<{ Params: { id: string } }>('/jobs/:id/cancel', options(cancelSchema), async ({ params }, reply) =>
      await fromBackend(inspection.cancel(params.id)) ? reply.code(204).send() : missing(reply, 'job that waits or runs', params.id))

    for (const { verb, queueSchema, scheduleSchema } of switches) {
      admin.post<{ Params: { queue: string } }>(`/queues/:queue/${verb}`, options(queueSchema), async ({ params }, reply) => {
        if (queueNamed(params.queue) === undefined) return missing(reply, 'queue', params.queue)
        instance.jobs[verb](params.queue)
        return reply.code(204).send()
      })

      admin.post<{ Params: { schedule: string } }>(`/schedules/:schedule/${verb}`, options(scheduleSchema), async ({ params }, reply) => {
        if (!scheduler.has(params.schedule)) return missing(reply, 'schedule', params.schedule)
        scheduler[verb](params.schedule)
        return reply.code(204).send()
      })
    }

    admin.post<{ Params: { schedule: string } }>('/schedules/:schedule/run', options(runSchema), async ({ params }, reply) => {
      if (!scheduler.has(params.schedule)) return missing(reply, 'schedule', params.schedule)
      const { id } = await fromBackend(scheduler.run(params.schedule))
      return sendJson(reply.code(202), { jobId: id })
    })
  }

  instance.register(async (admin) => {
    admin.addHook('onRequest', authorization(authorize, admin.log))
    own.register(WAY_OUT, () => {
      readRoutes(admin)
      if (!readOnly) changeRoutes(admin)
    })
  }, { prefix })
}

function conflict (reply: FastifyReply, { code, heldBy, message }: UniqueKeyTakenError): FastifyReply {
  return sendJson(reply.code(409), { statusCode: 409, code, error: 'Conflict', message, heldBy })
}

function missing (reply: FastifyReply, kind: string, name: string): FastifyReply {
  return sendNotFound(reply, `There is no ${kind} '${name}'`)
}

function payloadText ({ payload }: DeadLetter): string | undefined {
  try {
    return JSON.stringify(payload)
  } catch {
    return undefined
  }
}
