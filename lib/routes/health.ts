import type { FastifyInstance, FastifyReply } from 'fastify'
import { health, readiness, type Health } from '../observability/health.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Runtime } from '../runtime.ts'
import { sendJson } from './json.ts'
import type { OwnRoutes } from './own-routes.ts'
import { object, text } from './schemas.ts'

const liveSchema = {
  operationId: 'jobsHealthLive',
  summary: 'Liveness: the process serves',
  tags: ['health'],
  response: { 200: { description: 'Alive', ...object({ status: text }) } }
}

function answer (description: string) {
  return { description, ...object({ status: { type: 'string', enum: ['healthy', 'degraded', 'unhealthy'] }, reasons: { type: 'array', items: text } }) }
}

const readySchema = {
  operationId: 'jobsHealthReady',
  summary: 'Readiness: this instance can take requests',
  tags: ['health'],
  response: { 200: answer('Healthy or degraded'), 503: answer('Unhealthy') }
}

const healthSchema = {
  ...readySchema,
  operationId: 'jobsHealth',
  summary: 'Health: everything that is not well with background jobs, for people and uptime checks'
}

/** `GET <path>`, `GET <path>/live` and `GET <path>/ready`. */
export function healthRoutes (instance: FastifyInstance, runtime: Runtime, options: Exclude<ResolvedOptions['health'], false>, own: OwnRoutes): void {
  const route = (schema: object) => ({ ...own.options(schema), logLevel: 'warn' as const })

  instance.get(`${options.path}/live`, route(liveSchema), async (_request, reply) => sendJson(reply, { status: 'alive' }))

  instance.get(`${options.path}/ready`, route(readySchema), async (_request, reply) => send(reply, await readiness(runtime, options)))

  instance.get(options.path || '/', route(healthSchema), async (_request, reply) => send(reply, await health(runtime, options)))
}

function send (reply: FastifyReply, { status, reasons }: Health): FastifyReply {
  return sendJson(reply.code(status === 'unhealthy' ? 503 : 200), { status, reasons })
}
