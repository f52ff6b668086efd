import type { FastifyInstance } from 'fastify'
import { readiness } from '../observability/health.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Runtime } from '../runtime.ts'

const liveSchema = {
  summary: 'Liveness: the process serves',
  tags: ['health'],
  response: { 200: { description: 'Alive', type: 'object', properties: { status: { type: 'string' } } } }
}

function health (description: string) {
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
  summary: 'Readiness: background jobs can take more work',
  tags: ['health'],
  response: { 200: health('Healthy or degraded'), 503: health('Unhealthy') }
}

/** `GET <path>/live` and `GET <path>/ready`. */
export function healthRoutes (instance: FastifyInstance, runtime: Runtime, options: Exclude<ResolvedOptions['health'], false>): void {
  instance.get(`${options.path}/live`, { schema: liveSchema, logLevel: 'warn' }, async () => ({ status: 'alive' }))

  instance.get(`${options.path}/ready`, { schema: readySchema, logLevel: 'warn' }, async (_request, reply) => {
    const found = await readiness(runtime, options)
    return reply.code(found.status === 'unhealthy' ? 503 : 200).send(found)
  })
}
