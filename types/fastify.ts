import type { Jobs } from './jobs.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly jobs: Jobs
  }
}
