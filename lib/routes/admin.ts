import type { FastifyInstance, FastifyReply } from 'fastify'
import type { DeadLetter } from '../../types/job.ts'
import { UniqueKeyTakenError } from '../errors.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Runtime } from '../runtime.ts'
import { authorization } from './authorize.ts'
import { fromBackend } from './from-backend.ts'
import { isoTimes, problem, sendNotFound, text, time } from './schemas.ts'
import { validatorCompiler } from './validator.ts'

const tags = ['jobs admin']
const forbidden = problem('Not authorized')
const notFound = problem('There is none of that name or id')
const anything = { type: 'object', additionalProperties: true }
const done = { description: 'Done', type: 'null' }
const id = { type: 'object', properties: { id: text }, required: ['id'] }
const schedule = { type: 'object', properties: { schedule: text }, required: ['schedule'] }
const enqueued = { description: 'Enqueued', type: 'object', properties: { jobId: text } }
const queue = { type: 'object', properties: { queue: text }, required: ['queue'] }

const held = {
  description: 'Another job has its unique key by now',
  type: 'object',
  properties: { statusCode: { type: 'integer' }, code: text, error: text, message: text, heldBy: { ...text, description: 'The id of that job' } }
}

const listSchema = {
  summary: 'Dead letters, the oldest first',
  tags,
  querystring: {
    type: 'object',
    properties: { queue: { ...text, maxLength: 128 }, limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 } }
  },
  response: {
    200: {
      description: 'Dead letters',
      type: 'array',
      items: {
        type: 'object',
        properties: {
          id: text,
          name: text,
          queue: text,
          attempt: { type: 'integer' },
          enqueuedAt: time,
          startedAt: time,
          finishedAt: time,
          correlationId: text,
          error: {
            type: 'object',
            properties: {
              name: text,
              message: text,
              code: text,
              stack: text,
              cause: { ...anything, description: 'The error that caused it, in the same shape' },
              errors: { type: 'array', items: anything, description: 'Of an AggregateError' }
            }
          },
          payload: { ...text, description: 'As JSON; absent when it is not JSON' }
        }
      }
    },
    403: forbidden,
    404: notFound
  }
}

/** `<prefix>/admin/…`, every route of it behind `authorize`. */
export function adminRoutes (instance: FastifyInstance, runtime: Runtime, { prefix, authorize, readOnly }: NonNullable<ResolvedOptions['admin']>): void {
  const { inspection, scheduler } = runtime

  function queueNamed (name: string) {
    return runtime.queues.find((one) => one.name === name)
  }

  async function routes (admin: FastifyInstance): Promise<void> {
    admin.setValidatorCompiler(validatorCompiler)
    admin.addHook('onRequest', authorization(authorize, admin.log))

    admin.get<{ Querystring: { queue?: string, limit: number } }>('/dead-letters', { schema: listSchema }, async (request, reply) => {
      const { queue } = request.query
      if (queue !== undefined && queueNamed(queue) === undefined) return missing(reply, 'queue', queue)
      return (await fromBackend(inspection.listDead(request.query))).map((letter) => ({ ...letter, ...isoTimes(letter), payload: payloadText(letter) }))
    })
    if (readOnly) return

    const change = (params: object, summary: string, success: object = { 204: done }) =>
      ({ schema: { summary, tags, params, response: { ...success, 403: forbidden, 404: notFound } } })

    admin.post<{ Params: { id: string } }>('/dead-letters/:id/retry', change(id, 'Run a dead letter again', { 204: done, 409: held }), async ({ params }, reply) => {
      try {
        return await fromBackend(inspection.retry(params.id)) ? reply.code(204).send() : missing(reply, 'dead letter', params.id)
      } catch (error) {
        if (error instanceof UniqueKeyTakenError) return conflict(reply, error)
        throw error
      }
    })

    admin.delete<{ Params: { id: string } }>('/dead-letters/:id', change(id, 'Forget a dead letter'), async ({ params }, reply) =>
      await fromBackend(inspection.remove(params.id)) ? reply.code(204).send() : missing(reply, 'dead letter', params.id))

    admin.post<{ Params: { id: string } }>('/jobs/:id/cancel', change(id, 'Cancel a job that waits or runs'), async ({ params }, reply) =>
      await fromBackend(inspection.cancel(params.id)) ? reply.code(204).send() : missing(reply, 'job that waits or runs', params.id))

    for (const verb of ['pause', 'resume'] as const) {
      admin.post<{ Params: { queue: string } }>(`/queues/:queue/${verb}`, change(queue, `${verb} a queue`), async ({ params }, reply) => {
        if (queueNamed(params.queue) === undefined) return missing(reply, 'queue', params.queue)
        instance.jobs[verb](params.queue)
        return reply.code(204).send()
      })

      admin.post<{ Params: { schedule: string } }>(`/schedules/:schedule/${verb}`, change(schedule, `${verb} a schedule`), async ({ params }, reply) => {
        if (!scheduler.has(params.schedule)) return missing(reply, 'schedule', params.schedule)
        scheduler[verb](params.schedule)
        return reply.code(204).send()
      })
    }

    admin.post<{ Params: { schedule: string } }>('/schedules/:schedule/run', change(schedule, 'Run the job of a schedule now', { 202: enqueued }), async ({ params }, reply) => {
      if (!scheduler.has(params.schedule)) return missing(reply, 'schedule', params.schedule)
      const { id } = await fromBackend(scheduler.run(params.schedule))
      return reply.code(202).send({ jobId: id })
    })
  }

  instance.register(routes, { prefix })
}

function conflict (reply: FastifyReply, { code, heldBy, message }: UniqueKeyTakenError): FastifyReply {
  return reply.code(409).send({ statusCode: 409, code, error: 'Conflict', message, heldBy })
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
