import { setMaxListeners } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { EnqueueLimits } from '../types/backend.ts'
import type { DelegateHandler, EnqueuedJob, JobDefinition, JobToEnqueue } from '../types/jobs.ts'
import type { EnqueueOptions } from '../types/options.ts'
import type { Origin } from './enqueuer.ts'
import { RequestAbortedError } from './errors.ts'
import type { JobsFacade } from './jobs.ts'
import { MAX_CORRELATION_ID } from './options.ts'
import type { Queue } from './queue.ts'

/** Milliseconds that a request waits for room in queues that have no `enqueueTimeout`. */
const REQUEST_TIMEOUT = 5000

/** `request.jobs`: made whenever it is touched, so it does nothing that an enqueue without a wait need not do. */
export class RequestFacade implements Origin {
  readonly #jobs: JobsFacade
  readonly #request: FastifyRequest

  constructor (jobs: JobsFacade, request: FastifyRequest) {
    this.#jobs = jobs
    this.#request = request
  }

  enqueue (job: string | JobDefinition | DelegateHandler, payloadOrOptions?: unknown, options?: EnqueueOptions): Promise<EnqueuedJob> {
    return this.#jobs.enqueueFor(this, job, payloadOrOptions, options)
  }

  enqueueMany (jobs: readonly JobToEnqueue[], options?: { signal?: AbortSignal }): Promise<EnqueuedJob[]> {
    return this.#jobs.enqueueManyFor(this, jobs, options)
  }

  /** A request's id may come from a header of the client's: it is made one that every backend takes. */
  get correlationId (): string {
    const { id } = this.#request
    if (typeof id === 'string' && PLAIN_ID.test(id)) return id
    return String(id).slice(0, MAX_CORRELATION_ID).replace(/[\0\ud800-\udfff]/gu, '\ufffd')
  }

  limits ({ settings: { enqueueTimeout } }: Queue, signal: AbortSignal | undefined, waited: number): EnqueueLimits {
    const { raw } = this.#request
    // The request's own 'close' comes when its body has been read.
    const connection = (raw as { stream?: Connection }).stream ?? raw.socket
    // After the response, or when the client has gone: where there is room the job is still taken.
    if (connection.destroyed) return { signal, timeout: 0 }
    const closing = closingOf(connection)
    return {
      signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
      timeout: enqueueTimeout ?? Math.max(0, REQUEST_TIMEOUT - waited)
    }
  }
}

/** What nearly every id is: nothing in it has to be replaced. */
const PLAIN_ID = new RegExp(`^[ -~]{1,${MAX_CORRELATION_ID}}$`)

/** What ends when the client goes away: the socket, or the stream of HTTP/2. */
type Connection = Pick<Socket, 'destroyed' | 'once'>

const closings = new WeakMap<Connection, AbortSignal>()

/** Aborts when the connection ends: one listener for all its requests. */
function closingOf (connection: Connection): AbortSignal {
  let signal = closings.get(connection)
  if (signal === undefined) {
    const controller = new AbortController()
    signal = controller.signal
    setMaxListeners(0, signal)
    connection.once('close', () => controller.abort(new RequestAbortedError()))
    closings.set(connection, signal)
  }
  return signal
}
