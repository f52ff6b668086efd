import type { FastifyInstance } from 'fastify'

export function defineFlakyReport (app: FastifyInstance) {
  return app.jobs.define('flaky-report', {
    attempts: 3,
    backoff: { type: 'exponential', delay: 50, max: 200, jitter: 0 }
  }, async () => { throw new Error('the report service is down') })
}
