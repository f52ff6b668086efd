import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../types/backend.ts'
import type { OutboxEvent, PublishContext } from '../../types/outbox.ts'
import { isCausedByPayload, OutboxTimeoutError } from '../errors.ts'
import { beginning, fullMessage, serializeError, toError } from '../serialize-error.ts'
import { logError } from '../log-error.ts'
import { outcomeOf } from '../retry-policy.ts'
import type { Destination } from './destination.ts'
import type { ResolvedOutboxOptions } from './options.ts'
import type { EventResult } from './store.ts'

/** Milliseconds that a failed event waits at the most: what both databases can add to a time. */
const MAX_DELAY = 365 * 86_400_000
/** Bytes that are kept of an error's message and those of its causes. */
const MAX_MESSAGE = 8 * 1024

/** What an attempt came to; `pressure` is the error by which the destination says that it takes nothing now. */
export type Attempt = EventResult | { readonly state: 'untouched', readonly pressure: unknown }

/** Publishes one event after the other, and decides what a failure means. */
export class Attempts {
  readonly #options: ResolvedOutboxOptions
  readonly #destination: Destination
  readonly #clock: Clock

  constructor (options: ResolvedOutboxOptions, destination: Destination, clock: Clock) {
    this.#options = options
    this.#destination = destination
    this.#clock = clock
  }

  /** Never rejects. `damage`: why the event's payload cannot be read. */
  async make (event: OutboxEvent, log: FastifyBaseLogger, damage?: Error): Promise<Attempt> {
    try {
      if (damage !== undefined) throw damage
      await this.#publish(event, log)
      return { event, state: 'published' }
    } catch (thrown) {
      if (this.#destination.backpressure.has(codeOf(thrown))) return { state: 'untouched', pressure: thrown }
      return this.#failed(event, thrown, log)
    }
  }

  async #publish (event: OutboxEvent, log: FastifyBaseLogger): Promise<void> {
    const { name, timeout } = this.#options
    const controller = new AbortController()
    let timer: unknown
    const late = new Promise<never>((_resolve, reject) => {
      timer = this.#clock.setTimeout(() => {
        const error = new OutboxTimeoutError(name, event.id, timeout)
        controller.abort(error)
        // Nobody waits for a publish that ignores its signal.
        reject(error)
      }, timeout)
    })
    try {
      await Promise.race([this.#destination.publish(event, new Context(controller.signal, log, name, event)), late])
    } finally {
      this.#clock.clearTimeout(timer)
    }
  }

  #failed (event: OutboxEvent, thrown: unknown, log: FastifyBaseLogger): EventResult {
    const { attempts, backoff, name } = this.#options
    const error = toError(thrown)
    const outcome = outcomeOf(thrown, error, {
      attempt: event.attempt,
      attempts,
      retryable: () => !isCausedByPayload(thrown),
      backoff,
      // The database has the clock: what comes out is a delay.
      now: 0,
      onPolicyError: (problem) => logError(log, 'error', problem, fieldsOf(name, event), "the outbox's backoff failed, the default applies")
    })
    const message = storable(fullMessage(serializeError(error)))
    if (outcome.type === 'retry') return { event, state: 'failed', error, message, delay: Math.min(outcome.runAt, MAX_DELAY) }
    return { event, state: 'parked', error, message }
  }
}

class Context implements PublishContext {
  readonly signal: AbortSignal
  readonly #parent: FastifyBaseLogger
  readonly #outbox: string
  readonly #event: OutboxEvent
  #log: FastifyBaseLogger | undefined

  constructor (signal: AbortSignal, parent: FastifyBaseLogger, outbox: string, event: OutboxEvent) {
    this.signal = signal
    this.#parent = parent
    this.#outbox = outbox
    this.#event = event
  }

  /** Made when it is first used: most publishes log nothing. */
  get log (): FastifyBaseLogger {
    return (this.#log ??= this.#parent.child(fieldsOf(this.#outbox, this.#event)))
  }
}

/** What every log line about an event says of it. Never the payload. */
export function fieldsOf (outbox: string, { id, type, attempt }: OutboxEvent) {
  return { outbox, eventId: id, eventType: type, attempt }
}

/** A NUL, which no text in PostgreSQL has, would make the results of a whole batch fail. */
function storable (message: string): string {
  const text = message.replaceAll('\0', '\uFFFD')
  return Buffer.byteLength(text) <= MAX_MESSAGE ? text : `${beginning(text, MAX_MESSAGE - Buffer.byteLength('…'))}…`
}

function codeOf (thrown: unknown): unknown {
  try {
    return (thrown as { code?: unknown } | null | undefined)?.code
  } catch {
    return undefined
  }
}
