import type { FastifyInstance } from 'fastify'

export function reportRoutes (app: FastifyInstance) {
  app.post('/flaky-report', async (request, reply) => {
    const job = await app.jobs.enqueue('flaky-report', {}, { correlationId: request.id })
    return reply.code(202).header('location', `/jobs/${job.id}`).send({ jobId: job.id })
  })
  app.get('/failed-reports', async () => app.jobs.deadLetters.list())
}
