import type { Jobs } from '../../types/jobs.ts'
import type { Publish } from '../../types/outbox.ts'
import { PayloadTooLargeError, QueueFullError } from '../errors.ts'
import { JobsFacade } from '../jobs.ts'
import type { ResolvedOutboxOptions } from './options.ts'
import type { NewEvent } from './store.ts'

/** Where events go. */
export interface Destination {
  readonly publish: Publish
  /** Codes of errors that tell of no fault of the event's: it stays as it is, and the relay comes back later. */
  readonly backpressure: ReadonlySet<unknown>
  /** Throws what is known to become of the event when it is published. */
  check (event: NewEvent): void
}

const BACKPRESSURE = ['FST_JOBS_STOPPING', 'FST_JOBS_QUEUE_FULL', 'FST_JOBS_BACKEND_UNAVAILABLE']

export function destinationOf (destination: ResolvedOutboxOptions['destination'], jobs: Jobs): Destination {
  if ('publish' in destination) return { publish: destination.publish, backpressure: new Set(BACKPRESSURE), check () {} }
  const { job } = destination
  const jobName = typeof job === 'string' ? job : job.name
  return {
    // An enqueue that takes too long waits for room in its queue.
    backpressure: new Set([...BACKPRESSURE, 'FST_JOBS_TIMEOUT']),
    check (event) {
      // A job that is not defined, or not yet, may be by the time of the publish.
      const queue = JobsFacade.queueOf(jobs, jobName)
      if (queue === undefined) return
      const bytes = bytesAsJob(event)
      if (bytes > queue.maxPayloadBytes) throw new PayloadTooLargeError(`event '${event.type}', as job '${jobName}' of queue '${queue.name}',`, bytes, queue.maxPayloadBytes)
    },
    async publish ({ id, type, key, payload, createdAt }, { signal }) {
      // One of the overloads takes either; the compiler tries them one by one.
      const { queue, status } = await jobs.enqueue(job as string, { id, type, key, payload, createdAt }, { id, correlationId: id, signal })
      if (status === 'dropped') throw new QueueFullError(queue, 'reached', ' and dropped the event')
    }
  }
}

/** Bytes of the job's payload: what surrounds the event's has some, too. */
function bytesAsJob ({ id, type, key, payload }: NewEvent): number {
  // The database, which says when it was created, says it in as many digits.
  const around = JSON.stringify({ id, type, key, payload: 0, createdAt: Date.now() })
  return Buffer.byteLength(around) - 1 + Buffer.byteLength(payload)
}
