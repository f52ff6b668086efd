import './fastify.ts'

export type { Backend, Clock, FullMode } from './backend.ts'
export type { DeadLetter, JobInfo, JobState, JobView, ScheduledTick, SerializedError } from './job.ts'
export type * from './jobs.ts'
export type * from './options.ts'
export type * from './schedules.ts'
export type * from './services.ts'
export type * from './standard-schema.ts'
