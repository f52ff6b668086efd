import './fastify.ts'

export type * from './backend.ts'
export type * from './job.ts'
export type * from './jobs.ts'
export type * from './options.ts'
export type * from './schedules.ts'
export type * from './services.ts'
