// For the resolver options 'asyncInit' and 'eagerInject', which it adds to awilix.
/// <reference types="awilix-manager" preserve="true" />
import type { AwilixContainer } from 'awilix'
import type { AppCradle } from './cradle.ts'
import type { Jobs, RequestJobs } from './jobs.ts'

declare module 'fastify' {
  interface FastifyInstance {
    readonly jobs: Jobs
    /** The same declaration as @fastify/awilix's, which need not be there. */
    diContainer: AwilixContainer<AppCradle>
  }
  interface FastifyRequest {
    readonly jobs: RequestJobs
  }
}
