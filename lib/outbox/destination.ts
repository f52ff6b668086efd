import type { Jobs } from '../../types/jobs.ts'
import type { Publish } from '../../types/outbox.ts'
import { QueueFullError } from '../errors.ts'
import type { ResolvedOutboxOptions } from './options.ts'

/** Where events go. */
export interface Destination {
  readonly publish: Publish
  /** Codes of errors that tell of no fault of the event's: it stays as it is, and the relay comes back later. */
  readonly backpressure: ReadonlySet<unknown>
}

const BACKPRESSURE = ['FST_JOBS_STOPPING', 'FST_JOBS_QUEUE_FULL', 'FST_JOBS_BACKEND_UNAVAILABLE']

export function destinationOf (destination: ResolvedOutboxOptions['destination'], jobs: Jobs): Destination {
  if ('publish' in destination) return { publish: destination.publish, backpressure: new Set(BACKPRESSURE) }
  const { job } = destination
  return {
    // An enqueue that takes too long waits for room in its queue.
    backpressure: new Set([...BACKPRESSURE, 'FST_JOBS_TIMEOUT']),
    async publish ({ id, type, key, payload, createdAt }, { signal }) {
      // One of the overloads takes either; the compiler tries them one by one.
      const { queue, status } = await jobs.enqueue(job as string, { id, type, key, payload, createdAt }, { id, correlationId: id, signal })
      if (status === 'dropped') throw new QueueFullError(queue, 'reached', ' and dropped the event')
    }
  }
}
