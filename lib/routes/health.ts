import type { FastifyInstance, FastifyReply } from 'fastify'
import { health, readiness, type Health } from '../observability/health.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Runtime } from '../runtime.ts'

const liveSchema = {
  summary: 'Liveness: the process serves',
  tags: ['health'],
  response: { 200: { description: 'Alive', type: 'object', properties: { status: { type: 'string' } } } }
}

function answer (description: string) {
  return {
    description,
    type: 'object',
    properties: {
      status: { type: 'string', enum: ['healthy', 'degraded', 'unhealthy'] },
      reasons: { type: 'array', items: { type: 'string' } }
    }
  }
}

const readySchema = {
  summary: 'Readiness: this instance can take requests',
  tags: ['health'],
  response: { 200: answer('Healthy or degraded'), 503: answer('Unhealthy') }
}

const healthSchema = { ...readySchema, summary: 'Health: everything that is not well with background jobs, for people and uptime checks' }

/** `GET <path>`, `GET <path>/live` and `GET <path>/ready`. */
export function healthRoutes (instance: FastifyInstance, runtime: Runtime, options: Exclude<ResolvedOptions['health'], false>): void {
  instance.get(`${options.path}/live`, { schema: liveSchema, logLevel: 'warn' }, async () => ({ status: 'alive' }))

  instance.get(`${options.path}/ready`, { schema: readySchema, logLevel: 'warn' }, async (_request, reply) => send(reply, await readiness(runtime, options)))

  instance.get(options.path || '/', { schema: healthSchema, logLevel: 'warn' }, async (_request, reply) => send(reply, await health(runtime, options)))
}

function send (reply: FastifyReply, found: Health): FastifyReply {
  return reply.code(found.status === 'unhealthy' ? 503 : 200).send(found)
}
