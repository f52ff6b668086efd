import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'
import type { OwnRoutes } from './own-routes.ts'

const schema = {
  operationId: 'jobsMetrics',
  summary: 'Metrics in the Prometheus text format',
  tags: ['metrics'],
  // Not as `content`, which Swagger 2.0 does not have.
  produces: ['text/plain'],
  response: { 200: { description: 'Prometheus text format', type: 'string' } }
}

/** `GET <path>`, for Prometheus. */
export function metricsRoute (instance: FastifyInstance, registry: Registry, path: string, own: OwnRoutes): void {
  instance.get(path, { ...own.options(schema), logLevel: 'warn' }, async (_request, reply) => {
    const text = await registry.metrics()
    return reply.type(registry.contentType).serializer(String).send(text)
  })
}
