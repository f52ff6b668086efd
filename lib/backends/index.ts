// For backends of one's own: fastify-background-jobs/backend.
export { decodePayload, encodePayload } from '../envelope.ts'
export { BackendUnavailableError, InvalidOptionsError, QueueFullError, retryLater } from '../errors.ts'
export { WaitingProducers } from './waiting-producers.ts'
export type * from '../../types/backend.ts'
export type * from '../../types/job.ts'
