import type { FastifyReply } from 'fastify'
import type { JobView } from '../../types/job.ts'

export const integer = { type: 'integer' }
export const boolean = { type: 'boolean' }
export const text = { type: 'string' }
export const time = { type: 'string', format: 'date-time' }

/** The shape of Fastify's own error answers. */
export function problem (description: string) {
  return { description, type: 'object', properties: { statusCode: integer, error: text, message: text } }
}

export function sendNotFound (reply: FastifyReply, message: string): FastifyReply {
  return reply.code(404).send({ statusCode: 404, error: 'Not Found', message })
}

/** The last moment that a Date can say; a delay may reach beyond. */
const LAST_DATE = 8.64e15

export function isoTimes ({ enqueuedAt, runAt, startedAt, finishedAt }: JobView) {
  return { enqueuedAt: iso(enqueuedAt), runAt: iso(runAt), startedAt: iso(startedAt), finishedAt: iso(finishedAt) }
}

export function iso (milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(Math.min(milliseconds, LAST_DATE)).toISOString()
}
