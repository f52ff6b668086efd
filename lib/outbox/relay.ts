import { setImmediate } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../types/backend.ts'
import type { OutboxEvent } from '../../types/outbox.ts'
import type { ServiceContext } from '../../types/services.ts'
import { logError } from '../log-error.ts'
import { Attempts, fieldsOf } from './attempt.ts'
import type { Destination } from './destination.ts'
import type { ResolvedOutboxOptions } from './options.ts'
import { groupByKey, type Batch, type EventResult, type OpenStore } from './store.ts'

/** Milliseconds after which a batch starts no further publish, so that its transaction or lease stays short. */
const BATCH_BUDGET = 5000
/** Milliseconds of a hold beyond the budget and the last publish, in which results are stored. */
const HOLD_MARGIN = 2000
/** Published events that are deleted in one step, which keeps a SQLite process busy. */
const PRUNE_STEP = 250
const PRUNE_INTERVAL = 60_000
/** Milliseconds that a pass prunes at the most when there is nothing to publish. */
const PRUNE_BUDGET = 100

type Log = FastifyBaseLogger

/** Takes events out of the store, has them published, and reports what became of them. */
export class Relay {
  /** `failed` counts attempts, the others events. */
  readonly counters = { published: 0, failed: 0, parked: 0 }
  readonly #options: ResolvedOutboxOptions
  readonly #store: OpenStore
  readonly #clock: Clock
  readonly #attempts: Attempts
  #isUnderPressure = false
  #prunedAt = -Infinity
  /** The last step has left something. */
  #isPruning = false

  constructor (options: ResolvedOutboxOptions, destination: Destination, store: OpenStore, clock: Clock) {
    this.#options = options
    this.#store = store
    this.#clock = clock
    this.#attempts = new Attempts(options, destination, clock)
  }

  /** Batch after batch, until there is nothing to do or the destination takes no more. */
  readonly pass = async ({ signal, log }: Pick<ServiceContext, 'signal' | 'log'>): Promise<void> => {
    let goesOn = true
    while (goesOn && !signal.aborted) {
      goesOn = await this.#batch(signal, log)
      await this.#prune(signal)
      // SQLite and an enqueue into memory do without: a long backlog must not keep the process from everything else.
      await setImmediate()
    }
    const end = this.#clock.monotonic() + PRUNE_BUDGET
    while (this.#isPruning && this.#clock.monotonic() < end && !signal.aborted) {
      await this.#prune(signal)
      await setImmediate()
    }
  }

  /** Whether another one should follow at once. */
  async #batch (signal: AbortSignal, log: Log): Promise<boolean> {
    const { batchSize, timeout } = this.#options
    const hold = timeout + BATCH_BUDGET + HOLD_MARGIN
    const stored = await this.#store.batch({ limit: batchSize, hold, signal }, (events, batch) => this.#work(events, batch, signal, log))
    for (const result of stored) this.#report(result, log)
    return stored.length > 0 && !this.#isUnderPressure
  }

  /** Key beside key, and in each one event after the other. Each key has one event published, then it is the next one's turn: a batch may end before its last event. */
  async #work (events: readonly OutboxEvent[], batch: Batch, signal: AbortSignal, log: Log): Promise<EventResult[]> {
    const end = this.#clock.monotonic() + BATCH_BUDGET
    const results: EventResult[] = []
    const streams = [...groupByKey(events).values()]
    let pressure: { readonly error: unknown } | undefined
    const publishStreams = async (): Promise<void> => {
      for (let stream = streams.shift(); stream !== undefined; stream = streams.shift()) {
        if (signal.aborted || batch.isLost || pressure !== undefined || this.#clock.monotonic() >= end) return
        const event = stream.shift()!
        const attempt = await this.#attempts.make(event, log, batch.damaged.get(event.id))
        if (attempt.state === 'untouched') {
          pressure = { error: attempt.pressure }
          return
        }
        results.push(attempt)
        // Later ones of its key wait until it is published or parked.
        if (attempt.state !== 'failed' && stream.length > 0) streams.push(stream)
      }
    }
    await Promise.all(Array.from({ length: this.#options.concurrency }, publishStreams))
    if (pressure !== undefined || results.length > 0) this.#recordPressure(pressure, signal, log)
    return results
  }

  /** Logged when it begins, not again at every pass. */
  #recordPressure (pressure: { readonly error: unknown } | undefined, signal: AbortSignal, log: Log): void {
    if (pressure !== undefined && !this.#isUnderPressure && !signal.aborted) {
      logError(log, 'warn', pressure.error, { outbox: this.#options.name }, 'the destination of the outbox takes no events now, they wait')
    }
    this.#isUnderPressure = pressure !== undefined
  }

  #report (result: EventResult, log: Log): void {
    const { counters } = this
    const { event } = result
    if (result.state === 'published') {
      counters.published++
      return
    }
    const fields = fieldsOf(this.#options.name, event)
    counters.failed++
    if (result.state === 'failed') {
      logError(log, 'warn', result.error, { ...fields, delay: result.delay }, 'publishing the event failed and will be retried')
    } else {
      counters.parked++
      logError(log, 'error', result.error, fields, 'publishing the event failed and the event is parked')
      this.#tellParked(event, result.error, log)
    }
  }

  async #tellParked (event: OutboxEvent, error: Error, log: Log): Promise<void> {
    try {
      await this.#options.onParked?.(event, error)
    } catch (thrown) {
      logError(log, 'error', thrown, fieldsOf(this.#options.name, event), "the outbox's onParked failed")
    }
  }

  /** One step, between batches: neither an outbox that cannot be pruned nor one with much to prune should keep events waiting. */
  async #prune (signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const now = this.#clock.monotonic()
    if (!this.#isPruning && now - this.#prunedAt < PRUNE_INTERVAL) return
    this.#prunedAt = now
    this.#isPruning = false
    this.#isPruning = await this.#store.prune(this.#options.retention, PRUNE_STEP, signal) === PRUNE_STEP
  }
}
