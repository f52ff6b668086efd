import type { AwilixContainer } from 'awilix'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock, Consumer, Deliver, Delivery, Outcome } from '../types/backend.ts'
import type { ScheduledTick } from '../types/job.ts'
import { Attempt, type AttemptHost, type Interruption, type Settle } from './attempt.ts'
import { logFields, versionOf } from './envelope.ts'
import { DeclaredJobError, NewerJobError, StalledError, UnknownJobError } from './errors.ts'
import { serializeError } from './serialize-error.ts'
import type { Hooks } from './hooks.ts'
import type { Lifecycle } from './lifecycle.ts'
import { LinkedList } from './linked-list.ts'
import { logError } from './log-error.ts'
import type { NeutralContext } from './neutral-context.ts'
import type { Queue } from './queue.ts'
import type { Definition, Registry } from './registry.ts'
import { TimerHeap } from './timer-heap.ts'
import type { UnknownJobs } from './unknown-jobs.ts'

export interface WorkerContext {
  readonly clock: Clock
  readonly context: NeutralContext
  readonly hooks: Hooks
  readonly log: FastifyBaseLogger
  readonly registry: Registry
  readonly unknownJobs: UnknownJobs
  readonly lifecycle: Pick<Lifecycle, 'releasedByStop'>
  createScope (): AwilixContainer
  /** A job of a schedule has succeeded. */
  onTickSuccess (tick: ScheduledTick): void
  /** Nothing of this queue runs at the moment. */
  onQuiet (): void
}

/** Takes the deliveries of one queue and runs each as an attempt. */
export class Worker implements AttemptHost {
  readonly clock: Clock
  readonly hooks: Hooks
  readonly log: FastifyBaseLogger
  readonly deadlines: TimerHeap<Attempt>
  readonly graces: TimerHeap<Attempt>
  readonly recheckPayloads: boolean
  readonly createScope: () => AwilixContainer
  readonly onTickSuccess: (tick: ScheduledTick) => void
  readonly #queue: Queue
  readonly #context: NeutralContext
  readonly #lifecycle: Pick<Lifecycle, 'releasedByStop'>
  readonly #registry: Registry
  readonly #unknownJobs: UnknownJobs
  readonly #onQuiet: () => void
  readonly #attempts = new LinkedList<Attempt>()
  /** Those that are listened to, once each: a backend may give many deliveries one signal. */
  readonly #leases = new WeakSet<AbortSignal>()
  #consumer: Consumer | undefined
  #stopped: Promise<void> | undefined
  #paused = false
  /** Monotonic milliseconds. */
  #lastPickUp: number
  /** While an ended attempt's slot is handed on: when that attempt ended, and the next one begins. */
  #handingOnAt: number | undefined

  constructor (queue: Queue, context: WorkerContext) {
    this.#queue = queue
    this.#context = context.context
    this.clock = context.clock
    this.hooks = context.hooks
    this.log = context.log
    this.createScope = context.createScope
    this.onTickSuccess = context.onTickSuccess
    this.deadlines = new TimerHeap(context.clock, (attempt) => attempt.interrupt('timeout'))
    this.graces = new TimerHeap(context.clock, (attempt) => attempt.abandon())
    this.recheckPayloads = queue.backend.capabilities.durable
    this.#lifecycle = context.lifecycle
    this.#registry = context.registry
    this.#unknownJobs = context.unknownJobs
    this.#onQuiet = context.onQuiet
    this.#lastPickUp = context.clock.monotonic()
  }

  get inFlight (): number {
    return this.#attempts.size
  }

  get paused (): boolean {
    return this.#paused
  }

  /** Milliseconds since a job was taken, or since the worker started. */
  get sinceLastPickUp (): number {
    return this.clock.monotonic() - this.#lastPickUp
  }

  get releasedByStop (): Outcome | undefined {
    return this.#lifecycle.releasedByStop
  }

  start (): void {
    this.#lastPickUp = this.clock.monotonic()
    this.#consumer = this.#queue.backend.consume(
      this.#queue.name, { concurrency: this.#queue.concurrency }, this.#deliver
    )
    if (this.#paused) this.#consumer.pause()
  }

  pause (): void {
    this.#paused = true
    this.#consumer?.pause()
  }

  resume (): void {
    this.#paused = false
    this.#lastPickUp = this.clock.monotonic()
    // One that takes nothing more must not begin anew.
    if (this.#stopped === undefined) this.#consumer?.resume()
  }

  /** Takes nothing more; resolves when everything in flight is over, the same promise whenever it is called. Never rejects. */
  stop (): Promise<void> {
    return (this.#stopped ??= this.#stop())
  }

  async #stop (): Promise<void> {
    try {
      await this.#consumer?.stop()
    } catch (err) {
      logError(this.log, 'error', err, { queue: this.#queue.name }, 'the backend failed to stop its consumer')
    }
  }

  interruptAll (interruption: Interruption): void {
    for (const attempt of this.#attempts) attempt.interrupt(interruption)
  }

  cancel (id: string): boolean {
    for (const attempt of this.#attempts) {
      // One that lost its lease may still be here while the job runs anew.
      if (attempt.id === id && this.#context.run(attempt.interrupt, attempt, 'cancelled')) return true
    }
    return false
  }

  /** What runs, by id and name. */
  running (): { jobId: string, jobName: string }[] {
    return Array.from(this.#attempts, ({ id, definition }) => ({ jobId: id, jobName: definition.name }))
  }

  finished (attempt: Attempt, now: number): void {
    this.#attempts.remove(attempt)
    if (this.#attempts.size === 0) this.#onQuiet()
    this.#handingOnAt = now
    attempt.settle()
    this.#handingOnAt = undefined
  }

  readonly #deliver = ((delivery: Delivery, settle?: Settle): Promise<Outcome> | void => {
    if (settle !== undefined) return this.#context.run(this.#attempt, this, delivery, settle)
    return new Promise((resolve) => this.#context.run(this.#attempt, this, delivery, (_delivery, outcome) => resolve(outcome)))
  }) as Deliver

  #attempt (delivery: Delivery, settle: Settle): void {
    const definition = this.#registry.definitionOf(delivery.envelope, this.#queue)
    // A job that this app cannot name is not counted: inline functions, which such jobs are counted with elsewhere, never stall.
    if (delivery.stalled === true && definition !== undefined) definition.counters.stalled++
    const refusal = refusalOf(delivery, definition)
    const now = this.#lastPickUp = this.#handingOnAt ?? this.clock.monotonic()
    if (refusal !== undefined) {
      settle(delivery, this.#refuse(delivery, definition, refusal))
      if (this.#attempts.size === 0) this.#onQuiet()
      return
    }
    const attempt = new Attempt(this, definition!, delivery, settle, now)
    this.#attempts.push(attempt)
    if (delivery.signal !== undefined) this.#watchLease(delivery.signal)
    attempt.run()
  }

  #watchLease (lease: AbortSignal): void {
    if (this.#leases.has(lease)) return
    this.#leases.add(lease)
    lease.addEventListener('abort', () => this.#context.run(this.#loseLease, this, lease), { once: true })
  }

  #loseLease (lease: AbortSignal): void {
    for (const attempt of this.#attempts) {
      if (attempt.lease === lease) attempt.interrupt('leaseLost')
    }
  }

  #refuse (delivery: Delivery, definition: Definition | undefined, error: Error): Outcome {
    const { envelope } = delivery
    if (isUnknown(error) && this.#queue.backend.capabilities.durable) {
      const handedBack = this.#unknownJobs.handBack(delivery, this.#queue.name, error)
      if (handedBack !== undefined) return handedBack
    }
    logError(this.log, 'error', error, logFields(envelope, this.#queue.name), 'the job is a dead letter now')
    if (definition !== undefined) {
      definition.counters.deadLettered++
      this.hooks.tell('onDeadLetter', definition, envelope, [error])
    }
    return { type: 'dead', error: serializeError(error) }
  }
}

/** Why a delivery cannot be run here. */
function refusalOf ({ envelope, problem, stalls = 0 }: Delivery, definition: Definition | undefined): Error | undefined {
  if (problem !== undefined) return problem
  if (definition === undefined) return new UnknownJobError(envelope.name)
  if (definition.isDeclared) return new DeclaredJobError(envelope.name)
  const version = versionOf(envelope)
  if (version > definition.version) return new NewerJobError(envelope.name, version, definition.version)
  if (stalls > definition.maxStalls) return new StalledError(envelope.name, envelope.id, stalls === 1 ? 'once' : `${stalls} times`)
  return undefined
}

/** Another instance may know the job. */
function isUnknown (refusal: Error): boolean {
  return refusal instanceof UnknownJobError || refusal instanceof DeclaredJobError || refusal instanceof NewerJobError
}
