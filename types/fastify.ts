// In the declarations, too: whoever imports the plugin sees fastify.diContainer.
/// <reference types="@fastify/awilix" preserve="true" />
import type { Jobs } from './jobs.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly jobs: Jobs
  }
}
