import { asFunction, type AwilixContainer } from 'awilix'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock, Delivery, Outcome } from '../types/backend.ts'
import type { DelegateHandler, JobContext } from '../types/jobs.ts'
import type { JobInfo, ScheduledTick } from '../types/job.ts'
import { logFields, maxAttempts, versionOf } from './envelope.ts'
import { AttemptOverError, CancelledError, InvalidOptionsError, LeaseLostError, StoppedError, TimeoutError, describe, isCausedByStopping, nonRetryable, NonRetryableError } from './errors.ts'
import { toError } from './serialize-error.ts'
import { jobInfo, type Hooks } from './hooks.ts'
import type { Linked } from './linked-list.ts'
import { logError } from './log-error.ts'
import type { Definition } from './registry.ts'
import { outcomeOf } from './retry-policy.ts'
import type { Timer, TimerHeap } from './timer-heap.ts'

/** Milliseconds that a handler has to settle after its signal aborted, before it is left to itself. */
export const ABORT_GRACE = 750

/** Milliseconds that the disposers of a scope have, before their attempt's slot or their service goes on without them. */
export const DISPOSAL_GRACE = 10_000

export type Interruption = 'timeout' | 'cancelled' | 'stopping' | 'leaseLost'

export type Settle = (delivery: Delivery, outcome: Outcome) => void

/** What an attempt needs of the worker that runs it. */
export interface AttemptHost {
  readonly clock: Clock
  readonly hooks: Hooks
  readonly log: FastifyBaseLogger
  /** Attempts with a deadline, one timeout for all. */
  readonly deadlines: TimerHeap<Attempt>
  /** Interrupted attempts whose handlers have not settled. */
  readonly graces: TimerHeap<Attempt>
  /** Payloads come from outside this process: they are checked again. */
  readonly recheckPayloads: boolean
  /** What becomes of an attempt that failed only because the app stops; undefined while it does not stop. */
  readonly releasedByStop: Outcome | undefined
  createScope (): AwilixContainer
  /** A job of a schedule has succeeded. */
  onTickSuccess (tick: ScheduledTick): void
  /** The attempt's outcome can be settled. `now`: monotonic milliseconds. */
  finished (attempt: Attempt, now: number): void
}

/** How a handler ended. */
type Ending = { readonly type: 'returned' } | { readonly type: 'threw', readonly thrown: unknown } | { readonly type: 'abandoned' }

const RETURNED: Ending = { type: 'returned' }
const ABANDONED: Ending = { type: 'abandoned' }
const SUCCEEDED: Outcome = { type: 'succeeded' }
const CANCELLED: Outcome = { type: 'cancelled' }
const RELEASED: Outcome = { type: 'released' }

/** One attempt at a job, and what its handler sees of it: made lazily, since most handlers touch little. */
export class Attempt implements JobContext, Linked<Attempt> {
  prev: Attempt | undefined = undefined
  next: Attempt | undefined = undefined
  readonly definition: Definition
  readonly #host: AttemptHost
  readonly #delivery: Delivery
  readonly #settle: Settle
  /** Monotonic milliseconds. */
  readonly #startedAt: number
  #over = false
  #outcome: Outcome | undefined
  /** Why it failed. */
  #error: Error | undefined
  #interruption: Interruption | undefined
  #deadline: Timer<Attempt> | undefined
  #grace: Timer<Attempt> | undefined
  #controller: AbortController | undefined
  #job: JobInfo | undefined
  #log: FastifyBaseLogger | undefined
  #scope: JobContext['diScope'] | undefined
  #progress: ((value: number) => void) | undefined

  constructor (host: AttemptHost, definition: Definition, delivery: Delivery, settle: Settle, startedAt: number) {
    this.#host = host
    this.definition = definition
    this.#delivery = delivery
    this.#settle = settle
    this.#startedAt = startedAt
  }

  get id (): string {
    return this.#delivery.envelope.id
  }

  /** Aborted when the lease is lost; the host listens. */
  get lease (): AbortSignal | undefined {
    return this.#delivery.signal
  }

  get job (): JobInfo {
    return (this.#job ??= jobInfo(this.#delivery.envelope, this.definition))
  }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#interruption !== undefined) this.#controller.abort(this.#reason(this.#interruption))
    }
    return this.#controller.signal
  }

  get log (): FastifyBaseLogger {
    return (this.#log ??= this.#host.log.child(logFields(this.job, this.definition.queue)))
  }

  get diScope (): JobContext['diScope'] {
    if (this.#over && this.#scope === undefined) throw new AttemptOverError(this.definition.name, this.id)
    return (this.#scope ??= this.#host.createScope().register({
      job: asFunction(() => this.job).scoped(),
      signal: asFunction(() => this.signal).scoped(),
      log: asFunction(() => this.log).scoped()
    }) as JobContext['diScope'])
  }

  get progress (): (value: number) => void {
    return (this.#progress ??= (value) => {
      if (!Number.isFinite(value)) throw new InvalidOptionsError(`progress of job '${this.definition.name}': it must be a finite number, got ${describe(value)}`)
      if (!this.#over) this.#delivery.progress?.(value)
    })
  }

  /** Runs the handler to an outcome, which the host is told once. Never throws. */
  run (): void {
    this.#recordStart()
    this.#startDeadline()
    this.#invokeHandler()
  }

  /** Aborts the handler's signal, the first time; false when the attempt was over or interrupted before. Whatever the handler does then is not a failure of its own. */
  interrupt (interruption: Interruption): boolean {
    if (this.#over || this.#interruption !== undefined) return false
    this.#interruption = interruption
    this.#grace = this.#host.graces.add(ABORT_GRACE, this)
    this.#controller?.abort(this.#reason(interruption))
    return true
  }

  /** Its grace is over: the handler, or a disposer of its scope, goes on without anyone listening. */
  abandon (): void {
    if (this.#over) {
      this.log.error(`disposing the attempt's scope took longer than ${DISPOSAL_GRACE} ms and is left to itself`)
      this.#report()
    } else {
      this.log.warn({ interruption: this.#interruption }, 'the handler ignored its abort signal and is left to itself')
      this.#finish(ABANDONED)
    }
  }

  #recordStart (): void {
    const { definition, definition: { counters } } = this
    const { envelope, startedAt = this.#host.clock.now(), dueAt = envelope.options?.runAt ?? envelope.enqueuedAt } = this.#delivery
    counters.started++
    counters.wait.observe(Math.max(0, startedAt - dueAt))
    this.#host.hooks.tell('onStart', definition, envelope)
  }

  #startDeadline (): void {
    const { timeout } = this.definition
    if (timeout !== undefined) this.#deadline = this.#host.deadlines.add(timeout, this)
    if (this.lease?.aborted) this.interrupt('leaseLost')
  }

  async #invokeHandler (): Promise<void> {
    let ending = RETURNED
    try {
      await this.#callHandler()
    } catch (thrown) {
      ending = { type: 'threw', thrown }
      // It may have thrown at once, and the next delivery must not begin inside this one.
      await undefined
    }
    this.#finish(ending)
  }

  #callHandler (): unknown {
    const { definition } = this
    const { envelope } = this.#delivery
    if (definition.handler === undefined) return (envelope.options!.delegate as DelegateHandler).call(definition.instance, this)
    const { recheckPayloads } = this.#host
    if (!recheckPayloads && !definition.transformsPayload) return definition.handler.call(definition.instance, envelope.payload, this)
    if (recheckPayloads && definition.upgrade !== undefined && versionOf(envelope) < definition.version) return this.#upgradeAndCall(definition.upgrade)
    return definition.handler.call(definition.instance, this.#checked(envelope.payload), this)
  }

  async #upgradeAndCall (upgrade: NonNullable<Definition['upgrade']>): Promise<unknown> {
    const { definition } = this
    const { envelope } = this.#delivery
    const from = versionOf(envelope)
    try {
      envelope.payload = await upgrade(envelope.payload, from)
    } catch (thrown) {
      throw new NonRetryableError(`the upgrade of the payload from version ${from} to ${definition.version} failed: ${toError(thrown).message}`, { cause: thrown })
    }
    // A job that was cancelled, say, must not begin now. An interrupted attempt is not a failure of its own.
    if (this.#interruption !== undefined) throw this.#reason(this.#interruption)
    return definition.handler!.call(definition.instance, this.#checked(envelope.payload), this)
  }

  /** What the handler gets. */
  #checked (payload: unknown): unknown {
    try {
      return this.definition.checkPayload(payload)
    } catch (error) {
      throw nonRetryable(error)
    }
  }

  #finish (ending: Ending): void {
    if (this.#over) return
    this.#over = true
    if (this.#deadline !== undefined) this.#host.deadlines.remove(this.#deadline)
    if (this.#grace !== undefined) this.#host.graces.remove(this.#grace)
    this.#outcome = this.#decide(ending)
    const endedAt = this.#host.clock.monotonic()
    const duration = endedAt - this.#startedAt
    this.definition.counters.duration.observe(duration)
    if (this.#outcome === SUCCEEDED) this.#logSuccess(duration)
    if (this.#scope === undefined) this.#report(endedAt)
    else this.#disposeScope(this.#scope)
  }

  #logSuccess (duration: number): void {
    if (!logsDebug(this.#host.log)) return
    try {
      this.log.debug({ duration }, 'the job succeeded')
    } catch {
      // A logger that fails is no failure of the job.
    }
  }

  #report (now = this.#host.clock.monotonic()): void {
    this.#tellHooks(this.#outcome!)
    this.#host.finished(this, now)
  }

  /** Tells the backend. */
  settle (): void {
    this.#settle(this.#delivery, this.#outcome!)
  }

  #decide (ending: Ending): Outcome {
    switch (this.#interruption) {
      case 'timeout': return this.#failed(this.#reason('timeout'))
      case 'cancelled': return CANCELLED
      case 'leaseLost': return RELEASED
      case 'stopping': return ending.type === 'returned' ? this.#succeeded() : RELEASED
      default: return ending.type === 'threw' ? this.#threw(ending.thrown) : this.#succeeded()
    }
  }

  // A handler that enqueues while the app stops, and is refused, can do nothing about it.
  #threw (thrown: unknown): Outcome {
    const { releasedByStop } = this.#host
    return releasedByStop !== undefined && isCausedByStopping(thrown) ? releasedByStop : this.#failed(thrown)
  }

  #succeeded (): Outcome {
    const tick = this.#delivery.envelope.options?.schedule
    if (tick !== undefined) this.#host.onTickSuccess(tick)
    this.definition.counters.succeeded++
    return SUCCEEDED
  }

  #failed (thrown: unknown): Outcome {
    const { definition, definition: { counters } } = this
    const { envelope } = this.#delivery
    const error = this.#error = toError(thrown)
    const outcome = outcomeOf(thrown, error, {
      attempt: envelope.attempt,
      attempts: maxAttempts(envelope, definition),
      retryable: definition.retryable,
      backoff: definition.backoff,
      now: this.#host.clock.now(),
      onPolicyError: (problem) => logError(this.log, 'error', problem, {}, "the job's retry policy failed, the default applies")
    })
    counters.failed++
    if (outcome.type === 'retry') {
      counters.retried++
      logError(this.log, 'warn', error, { runAt: outcome.runAt }, 'the attempt failed and will be retried')
    } else {
      counters.deadLettered++
      logError(this.log, 'error', error, {}, 'the job failed and is a dead letter now')
    }
    return outcome
  }

  async #disposeScope (scope: JobContext['diScope']): Promise<void> {
    const grace = this.#host.graces.add(DISPOSAL_GRACE, this)
    try {
      await scope.dispose()
    } catch (thrown) {
      logError(this.log, 'error', thrown, {}, "disposing the attempt's scope failed")
    }
    if (this.#host.graces.remove(grace)) this.#report()
  }

  #tellHooks (outcome: Outcome): void {
    const { hooks } = this.#host
    const { envelope } = this.#delivery
    switch (outcome.type) {
      case 'succeeded': return hooks.tell('onSuccess', this.definition, envelope)
      case 'retry': return hooks.tell('onRetry', this.definition, envelope, [this.#error!, outcome.runAt])
      case 'dead': return hooks.tell('onDeadLetter', this.definition, envelope, [this.#error!])
    }
  }

  #reason (interruption: Interruption): Error {
    const { name, timeout } = this.definition
    switch (interruption) {
      case 'timeout': return new TimeoutError(name, this.id, timeout)
      case 'cancelled': return new CancelledError(name, this.id)
      case 'stopping': return new StoppedError(name, this.id)
      case 'leaseLost': return new LeaseLostError(name, this.id)
    }
  }
}

/** Whether lines of that level are written; a disabled logger of Fastify's has no level. */
function logsDebug (log: FastifyBaseLogger & { isLevelEnabled? (level: string): boolean }): boolean {
  return log.isLevelEnabled?.('debug') ?? (log.level === 'debug' || log.level === 'trace')
}
