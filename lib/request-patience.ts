import type { FastifyRequest } from 'fastify'
import type { Clock } from '../types/backend.ts'
import type { Patience, Wait } from './enqueuer.ts'
import { QueueFullError, RequestAbortedError, retryLater } from './errors.ts'
import type { Queue } from './queue.ts'

/** Milliseconds that a request waits for room in a queue that has no `enqueueTimeout`. */
const REQUEST_TIMEOUT = 5000

/** How long the enqueue of a request waits: until the request ends, and not for ever. */
export class RequestPatience implements Patience {
  readonly #request: FastifyRequest
  readonly #clock: Clock

  constructor (request: FastifyRequest, clock: Clock) {
    this.#request = request
    this.#clock = clock
  }

  begin ({ name, settings: { capacity, enqueueTimeout } }: Queue, job: string, signal: AbortSignal | undefined): Wait {
    const { raw } = this.#request
    const controller = new AbortController()
    const onClose = (): void => controller.abort(new RequestAbortedError(name, job))
    const onAbort = (): void => controller.abort(signal!.reason)
    // The queue's own timeout says more than ours could.
    const timer = enqueueTimeout === undefined
      ? this.#clock.setTimeout(() => controller.abort(retryLater(new QueueFullError(name, capacity, ` and no room came within the ${REQUEST_TIMEOUT} ms that a request waits`))), REQUEST_TIMEOUT)
      : undefined
    raw.once('close', onClose)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    return {
      signal: controller.signal,
      end: () => {
        this.#clock.clearTimeout(timer)
        raw.off('close', onClose)
        signal?.removeEventListener('abort', onAbort)
      }
    }
  }
}
