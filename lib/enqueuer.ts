import type { Clock, EnqueueLimits, EnqueueResult } from '../types/backend.ts'
import type { EnvelopeOptions, JobEnvelope, ScheduledTick } from '../types/job.ts'
import type { DelegateHandler, EnqueuedJob, JobToEnqueue } from '../types/jobs.ts'
import type { DelegateOptions, EnqueueOptions } from '../types/options.ts'
import { InvalidOptionsError, NotSerializableError, NotSupportedError, stoppingError } from './errors.ts'
import type { Hooks } from './hooks.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { Queue } from './queue.ts'
import type { Definition } from './registry.ts'
import { uuid } from './uuid.ts'

/** The tick for which a schedule enqueues a job. */
export interface TickToEnqueue extends ScheduledTick {
  /** See `EnvelopeOptions.tickKey`. Absent: the backend need not remember the tick. */
  readonly key?: string
}

/** For whom an enqueue is: a request. */
export interface Origin {
  readonly correlationId: string
  /** `signal`: the caller's own. `waited`: milliseconds that the call has waited for room by now. */
  limits (queue: Queue, signal: AbortSignal | undefined, waited: number): EnqueueLimits
}

export interface EnqueuerContext {
  readonly clock: Clock
  readonly hooks: Hooks
  readonly lifecycle: Lifecycle
}

/** Makes the envelope of a job and hands it to its queue's backend. */
export class Enqueuer {
  readonly #context: EnqueuerContext

  constructor (context: EnqueuerContext) {
    this.#context = context
  }

  /** Throws what the caller did wrong at once; rejects with what the backend answers. */
  enqueue (definition: Definition, payload: unknown, options: EnqueueOptions | undefined, schedule?: TickToEnqueue, origin?: Origin): Promise<EnqueuedJob> {
    return this.#hand(definition, this.#envelope(definition, payload, options, schedule, origin), options?.signal, origin)
  }

  enqueueDelegate (delegate: DelegateHandler, queue: Queue, options: DelegateOptions, schedule?: TickToEnqueue, origin?: Origin): Promise<EnqueuedJob> {
    const { name } = options
    assertTakesDelegates(queue, name)
    assertSupports(queue, options)
    this.#assertAccepts(queue.delegates, name)
    const rare = {
      attempts: queue.delegates.attempts,
      ...envelopeOptions(name, options, this.#context.clock.now(), schedule),
      delegate: delegate as (...args: never[]) => unknown
    }
    return this.#hand(queue.delegates, this.#newEnvelope(name, undefined, options, rare, origin), options.signal, origin)
  }

  /** One round trip a queue. */
  async enqueueMany (definitions: readonly Definition[], jobs: readonly JobToEnqueue[], signal: AbortSignal | undefined, origin?: Origin): Promise<EnqueuedJob[]> {
    const envelopes = jobs.map(({ job, payload, ...options }, index) => this.#envelope(definitions[index]!, payload, options, undefined, origin))
    const enqueued: EnqueuedJob[] = new Array(jobs.length)
    const { clock } = this.#context
    const startedAt = clock.monotonic()
    for (const queue of new Set(definitions.map(({ lane }) => lane))) {
      const indices = [...envelopes.keys()].filter((index) => definitions[index]!.lane === queue)
      try {
        signal?.throwIfAborted()
        // The app may have begun to stop while an earlier queue's jobs waited.
        if (!this.#accepts(queue)) throw this.#context.lifecycle.stopping.reason
        const results = await queue.backend.enqueue(queue.name, indices.map((index) => envelopes[index]!), origin?.limits(queue, signal, clock.monotonic() - startedAt) ?? { signal })
        indices.forEach((index, at) => { enqueued[index] = this.#recordEnqueue(definitions[index]!, envelopes[index]!, jobs[index]!.payload, results[at]!) })
      } catch (error) {
        for (const [index, { counters }] of definitions.entries()) {
          if (enqueued[index] === undefined) counters.rejected++
        }
        throw this.#withName(error, definitions[indices[0]!]!)
      }
    }
    return enqueued
  }

  #envelope (definition: Definition, payload: unknown, options: EnqueueOptions | undefined, schedule: TickToEnqueue | undefined, origin: Origin | undefined): JobEnvelope {
    this.#assertAccepts(definition)
    if (options !== undefined) assertSupports(definition.lane, options)
    definition.checkPayload(payload)
    const rare = options && envelopeOptions(definition.name, options, this.#context.clock.now(), schedule)
    return this.#newEnvelope(definition.name, payload, options, definition.stamp === undefined ? rare : { ...definition.stamp, ...rare }, origin)
  }

  #newEnvelope (name: string, payload: unknown, options: EnqueueOptions | undefined, rare: EnvelopeOptions | undefined, origin: Origin | undefined): JobEnvelope {
    return {
      id: options?.id ?? uuid(),
      name,
      payload,
      attempt: 1,
      enqueuedAt: this.#context.clock.now(),
      correlationId: options?.correlationId ?? origin?.correlationId,
      options: rare
    }
  }

  #hand (definition: Definition, envelope: JobEnvelope, signal: AbortSignal | undefined, origin: Origin | undefined): Promise<EnqueuedJob> {
    const result = signal?.aborted ? undefined : definition.lane.backend.offer?.(definition.queue, envelope)
    if (result !== undefined) return Promise.resolve(this.#recordEnqueue(definition, envelope, envelope.payload, result))
    return this.#handOver(definition, envelope, signal, origin)
  }

  async #handOver (definition: Definition, envelope: JobEnvelope, signal: AbortSignal | undefined, origin: Origin | undefined): Promise<EnqueuedJob> {
    const { payload } = envelope
    try {
      signal?.throwIfAborted()
      const [result] = await definition.lane.backend.enqueue(definition.queue, [envelope], origin?.limits(definition.lane, signal, 0) ?? { signal })
      return this.#recordEnqueue(definition, envelope, payload, result!)
    } catch (error) {
      definition.counters.rejected++
      throw this.#withName(error, definition)
    }
  }

  // Backends fail every waiting enqueue with one and the same reason.
  #withName (error: unknown, { name }: Definition): unknown {
    return error === this.#context.lifecycle.stopping.reason ? stoppingError(name) : error
  }

  // The payload apart: the job may have run or been dropped by now, and the backend let go of it.
  #recordEnqueue (definition: Definition, envelope: JobEnvelope, payload: unknown, { id, status }: EnqueueResult): EnqueuedJob {
    if (status === 'enqueued') {
      definition.counters.queued++
      this.#context.hooks.tell('onEnqueue', definition, envelope.payload === payload ? envelope : { ...envelope, payload })
    }
    return { id, name: envelope.name, queue: definition.queue, status }
  }

  // A durable queue goes on taking jobs while the app drains: they are kept for the next process.
  #accepts ({ backend }: Queue): boolean {
    const { lifecycle } = this.#context
    return lifecycle.accepts || (backend.capabilities.durable && lifecycle.state !== 'stopped')
  }

  #assertAccepts ({ lane, counters, name }: Definition, label = name): void {
    if (this.#accepts(lane)) return
    counters.rejected++
    throw stoppingError(label)
  }
}

/** Throws FST_JOBS_NOT_SERIALIZABLE, or FST_JOBS_INVALID_OPTIONS where they would not be run. */
export function assertTakesDelegates (queue: Queue, name: string): void {
  const { backend } = queue
  if (!backend.capabilities.delegates) throw new NotSerializableError(name, backend.name, queue.name)
  queue.assertIsWorkedOn(`enqueue of the inline function '${name}'`)
}

/** Throws FST_JOBS_NOT_SUPPORTED. */
function assertSupports ({ backend, name }: Queue, { delay, runAt, priority, uniqueKey }: EnqueueOptions): void {
  const { capabilities } = backend
  if (!capabilities.delay && (delay ?? runAt) !== undefined) throw new NotSupportedError(backend.name, name, "'delay' and 'runAt'")
  if (!capabilities.priority && priority !== undefined) throw new NotSupportedError(backend.name, name, "'priority'")
  if (!capabilities.unique && uniqueKey !== undefined) throw new NotSupportedError(backend.name, name, "'uniqueKey'")
}

function envelopeOptions (name: string, options: EnqueueOptions, now: number, schedule: TickToEnqueue | undefined): EnvelopeOptions | undefined {
  const { id, delay, runAt, priority, uniqueKey, uniqueFor, attempts } = options
  if (delay !== undefined && runAt !== undefined) throw new InvalidOptionsError(`enqueue of job '${name}': give 'delay' or 'runAt', not both`)
  if (uniqueFor !== undefined && uniqueKey === undefined) throw new InvalidOptionsError(`enqueue of job '${name}': 'uniqueFor' needs a 'uniqueKey'`)
  const time = runAt === undefined ? now + (delay ?? 0) : Number(runAt)
  // What was due before it was enqueued is due now.
  const at = time <= now ? undefined : time
  if (id === undefined && at === undefined && priority === undefined && uniqueKey === undefined && attempts === undefined && schedule === undefined) return undefined
  if (Number.isNaN(at)) throw new InvalidOptionsError(`enqueue of job '${name}': option 'runAt' is an invalid Date`)
  return {
    ...(id !== undefined && { givenId: true }),
    ...(at !== undefined && { runAt: at }),
    ...(priority !== undefined && { priority }),
    // With the name's length, two jobs' keys never meet, whatever queue they share.
    ...(uniqueKey !== undefined && { uniqueKey: `${name.length}:${name}:${uniqueKey}` }),
    ...(uniqueFor !== undefined && { uniqueFor }),
    ...(attempts !== undefined && { attempts }),
    ...(schedule !== undefined && { schedule: { name: schedule.name, at: schedule.at } }),
    ...(schedule?.key !== undefined && { tickKey: schedule.key })
  }
}
