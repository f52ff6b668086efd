import type { FastifyBaseLogger } from 'fastify'
import type { Backend, Clock } from '../types/backend.ts'
import type { ShutdownOptions } from '../types/options.ts'
import { stoppingError } from './errors.ts'
import type { Idle } from './idle.ts'
import type { Queue } from './queue.ts'
import type { Registry } from './registry.ts'
import { ABORT_GRACE } from './attempt.ts'
import { MAX_TIMEOUT } from './timer-heap.ts'

export type LifecycleState = 'starting' | 'running' | 'stopping' | 'stopped'

/** Milliseconds past the budget after which close goes on without what is still running. */
const LAST_GRACE = ABORT_GRACE + 150

export interface LifecycleContext {
  readonly queues: readonly Queue[]
  readonly registry: Registry
  readonly backends: ReadonlySet<Backend>
  readonly shutdown: Required<ShutdownOptions>
  readonly clock: Clock
  readonly log: FastifyBaseLogger
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
    const { backends, clock, idle, log, queues } = this.#context
    const timers: unknown[] = []
    const after = (delay: number): Promise<'late'> => new Promise((resolve) => {
      const timer = clock.setTimeout(() => resolve('late'), Math.min(Math.max(delay, 1), MAX_TIMEOUT))
      // Nothing else may hold the process until the close has said what it abandoned.
      ;(timer as Partial<NodeJS.Timeout>).ref?.()
      timers.push(timer)
    })
    const remaining = this.#deadline - clock.monotonic()
    const inTime = after(remaining)
    if (this.#drainsQueued) await Promise.race([idle.wait(false).catch((err) => log.error({ err }, 'a backend cannot say what waits')), inTime])
    const stopped = Promise.all(queues.map(({ worker }) => worker.stop()))
    if (await Promise.race([stopped, inTime]) === 'late') {
      this.#interruptAll()
      if (await Promise.race([stopped, after(LAST_GRACE)]) === 'late') this.#logAbandoned()
    }
    for (const timer of timers) clock.clearTimeout(timer)
    this.#countDiscarded()
    await Promise.all([...backends].map((backend) => backend.close()))
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
  }

  #countDiscarded (): void {
    const { log, queues, registry } = this.#context
    for (const { name, backend, delegates } of queues) {
      const left = backend.abandon(name)
      if (left.size === 0) continue
      for (const [job, count] of left) (registry.find(job) ?? delegates).counters.discarded += count
      log.warn({ queue: name, jobs: Object.fromEntries(left) }, 'jobs that were never finished are discarded with this process')
    }
  }
}
