import type { FastifyInstance } from 'fastify'

export function reportRoutes (app: FastifyInstance) {
  app.post('/flaky-report', async (request, reply) => {
    const job = await request.jobs.enqueue('flaky-report', {})
    return reply.code(202).header('location', `/jobs/${job.id}`).send({ jobId: job.id })
  })

  app.get('/failed-reports', async () => {
    const letters = await app.jobs.deadLetters.list()
    return letters.map(({ id, name, attempt, error }) => ({ id, name, attempt, error: error?.message }))
  })
}
