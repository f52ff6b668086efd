import type { FastifyInstance } from 'fastify'
import type { Registry } from 'prom-client'

const schema = {
  summary: 'Metrics in the Prometheus text format',
  tags: ['metrics'],
  response: { 200: { description: 'Prometheus text format', content: { 'text/plain': { schema: { type: 'string' } } } } }
}

/** `GET <path>`, for Prometheus. */
export function metricsRoute (instance: FastifyInstance, registry: Registry, path: string): void {
  instance.get(path, { schema, logLevel: 'warn' }, async (_request, reply) => {
    const text = await registry.metrics()
    return reply.type(registry.contentType).serializer(String).send(text)
  })
}
