import { setMaxListeners } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Clock, EnqueueLimits } from '../types/backend.ts'
import { RequestAbortedError } from './errors.ts'
import type { Queue } from './queue.ts'

/** Milliseconds that a request waits for room in queues that have no `enqueueTimeout`. */
const REQUEST_TIMEOUT = 5000

/** What ends when the client goes away: the socket, or the stream of HTTP/2. */
type Connection = Pick<Socket, 'destroyed' | 'once'>

const closings = new WeakMap<Connection, AbortSignal>()

/** How long one call of `request.jobs` waits for room: until the client goes away, and not for ever. */
export class RequestWait {
  readonly #connection: Connection
  readonly #clock: Clock
  /** Monotonic milliseconds. */
  #startedAt: number | undefined

  constructor ({ raw }: FastifyRequest, clock: Clock) {
    // The request's own 'close' comes when its body has been read.
    this.#connection = (raw as { stream?: Connection }).stream ?? raw.socket
    this.#clock = clock
  }

  /** `signal`: the caller's own. */
  limits ({ settings: { enqueueTimeout } }: Queue, signal: AbortSignal | undefined): EnqueueLimits {
    // After the response, or when the client has gone: where there is room the job is still taken.
    if (this.#connection.destroyed) return { signal, timeout: 0 }
    const closing = closingOf(this.#connection)
    this.#startedAt ??= this.#clock.monotonic()
    return {
      signal: signal === undefined ? closing : AbortSignal.any([signal, closing]),
      timeout: enqueueTimeout ?? Math.max(0, this.#startedAt + REQUEST_TIMEOUT - this.#clock.monotonic())
    }
  }
}

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
