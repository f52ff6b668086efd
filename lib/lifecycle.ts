import type { FastifyBaseLogger } from 'fastify'
import type { Backend, Clock } from '../types/backend.ts'
import type { ShutdownOptions } from '../types/options.ts'
import { stoppingError } from './errors.ts'
import type { Hooks } from './hooks.ts'
import type { Idle } from './idle.ts'
import type { Queue } from './queue.ts'
import type { Registry } from './registry.ts'
import { ABORT_GRACE } from './attempt.ts'
import { MAX_TIMEOUT } from './timer-heap.ts'

export type LifecycleState = 'starting' | 'running' | 'stopping' | 'stopped'

/** Milliseconds past the budget after which close goes on without what is still running, and without backends that hang. */
const ATTEMPTS_GRACE = ABORT_GRACE + 150
const BACKENDS_GRACE = 1000

export interface LifecycleContext {
  readonly queues: readonly Queue[]
  readonly registry: Registry
  readonly backends: ReadonlySet<Backend>
  readonly shutdown: Required<ShutdownOptions>
  readonly clock: Clock
  readonly log: FastifyBaseLogger
  readonly hooks: Hooks
  readonly idle: Idle
}

/** starting -> running -> stopping -> stopped, and the budget that stopping has. */
export class Lifecycle {
  readonly #context: LifecycleContext
  readonly #stopping = new AbortController()
  #state: LifecycleState = 'starting'
  /** Monotonic milliseconds. */
  #deadline = Infinity
  #drainsQueued = false
  #drained: Promise<void> | undefined

  constructor (context: LifecycleContext) {
    this.#context = context
  }

  get state (): LifecycleState {
    return this.#state
  }

  /** False once the app has begun to stop. */
  get accepts (): boolean {
    return this.#state === 'starting' || this.#state === 'running'
  }

  get stopping (): AbortSignal {
    return this.#stopping.signal
  }

  start (): void {
    if (this.#state !== 'starting') return
    this.#context.registry.close()
    for (const { worker } of this.#context.queues) worker.start()
    this.#state = 'running'
  }

  /** The budget begins: no enqueue is taken, no delivery either unless waiting jobs are to be run. */
  stop (): void {
    if (!this.accepts) return
    const { clock, queues, shutdown } = this.#context
    // Workers that never started would never empty their queues.
    this.#drainsQueued = shutdown.mode === 'drainQueued' && this.#state === 'running'
    this.#state = 'stopping'
    this.#deadline = clock.monotonic() + shutdown.timeout
    this.#stopping.abort(stoppingError('*'))
    if (this.#drainsQueued) return
    for (const { worker } of queues) worker.stop()
    if (shutdown.mode === 'stop') this.#interruptAll()
  }

  /** Waits for what is in flight, within the budget; closes the backends. The same promise whenever it is called. */
  drain (): Promise<void> {
    this.stop()
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async #drain (): Promise<void> {
    const { backends, clock, hooks, idle, log, queues } = this.#context
    const timers: unknown[] = []
    const pastBudget = (grace: number): Promise<'late'> => new Promise((resolve) => {
      const delay = this.#deadline + grace - clock.monotonic()
      const timer = clock.setTimeout(() => resolve('late'), Math.min(Math.max(delay, 1), MAX_TIMEOUT))
      // Nothing else may hold the process until the close has said what it abandoned.
      ;(timer as Partial<NodeJS.Timeout>).ref?.()
      timers.push(timer)
    })
    const inTime = pastBudget(0)
    if (this.#drainsQueued) await Promise.race([this.#nothingWaits(), inTime])
    const stopped = Promise.all(queues.map(({ worker }) => worker.stop())).then(() => hooks.settled())
    if (await Promise.race([stopped, inTime]) === 'late') {
      this.#interruptAll()
      if (await Promise.race([stopped, pastBudget(ATTEMPTS_GRACE)]) === 'late') this.#logAbandoned()
    }
    for (const queue of queues) this.#countDiscarded(queue)
    const closed = Promise.all([...backends].map((backend) => this.#close(backend)))
    if (await Promise.race([closed, pastBudget(BACKENDS_GRACE)]) === 'late') log.error('a backend was still closing when the shutdown budget ended')
    for (const timer of timers) clock.clearTimeout(timer)
    this.#state = 'stopped'
    idle.release()
  }

  #interruptAll (): void {
    for (const { worker } of this.#context.queues) worker.interruptAll('stopping')
  }

  #logAbandoned (): void {
    for (const { name, worker } of this.#context.queues) {
      if (worker.inFlight > 0) this.#context.log.error({ queue: name, jobs: worker.running() }, 'jobs were still running when the shutdown budget ended')
    }
    if (this.#context.hooks.running > 0) this.#context.log.error('job hooks were still running when the shutdown budget ended')
  }

  // A paused queue's jobs do not run, so nobody waits for them.
  async #nothingWaits (): Promise<void> {
    const { idle, log } = this.#context
    try {
      await idle.wait({ delayed: false, paused: false })
    } catch (err) {
      log.error({ err }, 'a backend cannot say what waits')
    }
  }

  #countDiscarded (queue: Queue): void {
    const { log, registry } = this.#context
    const left = new Map<string, number>()
    for (const envelope of queue.backend.abandon(queue.name)) {
      (registry.definitionOf(envelope, queue) ?? queue.delegates).counters.discarded++
      left.set(envelope.name, (left.get(envelope.name) ?? 0) + 1)
    }
    if (left.size > 0) log.warn({ queue: queue.name, jobs: Object.fromEntries(left) }, 'jobs that were never finished are discarded with this process')
  }

  async #close (backend: Backend): Promise<void> {
    try {
      await backend.close()
    } catch (err) {
      this.#context.log.error({ err, backend: backend.name }, 'the backend failed to close')
    }
  }
}
