import type { FastifyReply } from 'fastify'
import type { JobView } from '../../types/job.ts'
import { sendJson, type JsonSchema } from './json.ts'

export const integer = { type: 'integer' }
export const boolean = { type: 'boolean' }
export const text = { type: 'string' }
export const time = { type: 'string', format: 'date-time' }

/** An object that always has all of `required`. */
export function object (required: Readonly<Record<string, JsonSchema>>, optional: Readonly<Record<string, JsonSchema>> = {}) {
  return { type: 'object', required: Object.keys(required), properties: { ...required, ...optional } }
}

export function mapOf (additionalProperties: JsonSchema) {
  return { type: 'object', additionalProperties }
}

/** The shape of Fastify's own error answers. An error handler of the app's may give another one. */
export function problem (description: string, more: Readonly<Record<string, JsonSchema>> = {}) {
  return { description, ...object({ statusCode: integer, error: text, message: text, ...more }, { code: text }) }
}

/** What a route answers when it asks a backend that does not answer, or that cannot tell about single jobs. */
export const unavailable = problem('A backend of background jobs does not answer')
export const notSupported = problem('The backend cannot look at jobs')

export function sendNotFound (reply: FastifyReply, message: string): FastifyReply {
  return sendJson(reply.code(404), { statusCode: 404, error: 'Not Found', message })
}

/** The last moment that a Date can say; a delay may reach beyond. */
const LAST_DATE = 8.64e15

export function isoTimes ({ enqueuedAt, runAt, startedAt, finishedAt }: JobView) {
  return { enqueuedAt: iso(enqueuedAt), runAt: iso(runAt), startedAt: iso(startedAt), finishedAt: iso(finishedAt) }
}

export function iso (milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(Math.min(milliseconds, LAST_DATE)).toISOString()
}
