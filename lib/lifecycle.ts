import type { FastifyBaseLogger } from 'fastify'
import type { Backend, Clock, Outcome } from '../types/backend.ts'
import type { ShutdownOptions } from '../types/options.ts'
import { ABORT_GRACE } from './attempt.ts'
import { Budget } from './budget.ts'
import { ClosedError, stoppingError } from './errors.ts'
import type { Hooks } from './hooks.ts'
import type { Idle } from './idle.ts'
import { logError } from './log-error.ts'
import type { Queue } from './queue.ts'
import type { Registry } from './registry.ts'
import { runnerGrace } from './runner-grace.ts'
import type { Scheduler } from './schedules/scheduler.ts'
import type { Services } from './services/services.ts'
import { WorkHold } from './work-hold.ts'

export type LifecycleState = 'starting' | 'running' | 'stopping' | 'stopped'

/** Milliseconds past the budget after which close goes on without what is still running, and without backends that hang. */
const ATTEMPTS_GRACE = ABORT_GRACE + 150
const BACKENDS_GRACE = 1000

export interface LifecycleContext {
  readonly queues: readonly Queue[]
  readonly registry: Registry
  readonly services: Services
  readonly scheduler: Scheduler
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
  readonly #hold = new WorkHold(() => this.#isWorking)
  #state: LifecycleState = 'starting'
  /** `close` was called, and Fastify waits for the app to be ready. */
  #isClosing = false
  #budget: Budget | undefined
  #drainsQueued = false
  #servicesStopped: Promise<void> | undefined
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

  /**
   * What becomes of an attempt that failed only because the app stops; undefined while it does not stop. Where waiting jobs are still run, they
   * would be run again and again: they are released when the shutdown's budget ends.
   */
  get releasedByStop (): Outcome | undefined {
    if (this.#budget === undefined) return undefined
    return this.#drainsQueued ? { type: 'released', runAt: this.#context.clock.now() + this.#budget.left } : { type: 'released' }
  }

  /** Throws FST_JOBS_CLOSED, which names the call, once there is nothing left that it could be about. */
  assertNotStopped (call: string): void {
    if (this.#state === 'stopped') throw new ClosedError(call)
  }

  get #isWorking (): boolean {
    const { queues, scheduler, services } = this.#context
    // A program that has failed, to listen for instance, and says so by its exit code means to end.
    if (this.#state === 'running' && process.exitCode) return false
    return scheduler.ticks || services.isRunning || queues.some(({ isBusy }) => isBusy)
  }

  get stopping (): AbortSignal {
    return this.#stopping.signal
  }

  /** Services first, since they may have to be there when jobs run. Rejects with what a service's `start` threw. */
  async start (): Promise<void> {
    const { clock, queues, registry, scheduler, services, shutdown } = this.#context
    if (!this.#isStarting()) return
    registry.close()
    await services.start(() => new Budget(clock, shutdown.timeout))
    if (!this.#isStarting()) return
    for (const { works, worker } of queues) if (works) worker.start()
    this.#state = 'running'
    scheduler.start()
    this.#logStart()
    this.#warnOfShortGrace()
  }

  /** The app is ready: services run, and the process lives as long as something is to be done. */
  run (): void {
    this.#context.services.run()
    if (this.#state === 'running') this.#hold.begin()
  }

  /** Nothing is started from now on, and a service that is starting is told to stop. What runs goes on until `stop`. */
  closeCalled (): void {
    if (this.#state !== 'starting') return
    this.#isClosing = true
    this.#context.services.abort()
  }

  /** The budget begins: no enqueue is taken, no delivery either unless waiting jobs are to be run. */
  stop (): void {
    if (!this.accepts) return
    const { clock, queues, scheduler, services, shutdown } = this.#context
    // Workers that never started would never empty their queues.
    this.#drainsQueued = shutdown.mode === 'drainQueued' && this.#state === 'running'
    this.#state = 'stopping'
    this.#budget = new Budget(clock, shutdown.timeout)
    scheduler.stop()
    this.#stopping.abort(stoppingError('*'))
    if (shutdown.mode === 'stop') services.abort()
    this.#servicesStopped = services.stop(this.#budget)
    if (this.#drainsQueued) return
    for (const { worker } of queues) worker.stop()
    if (shutdown.mode === 'stop') this.#interruptAll()
  }

  /** Waits for what is in flight, within the budget; closes the backends. The same promise whenever it is called. Rejects with what services failed with. */
  drain (): Promise<void> {
    this.stop()
    this.#drained ??= this.#drain(this.#budget!)
    return this.#drained
  }

  async #drain (budget: Budget): Promise<void> {
    const { backends, hooks, idle, log, queues, services } = this.#context
    const inTime = budget.past(0)
    if (this.#drainsQueued) await Promise.race([this.#nothingWaits(), inTime])
    const workersStopped = Promise.all(queues.map(({ worker }) => worker.stop())).then(() => hooks.settled())
    const stopped = Promise.all([this.#servicesStopped, workersStopped])
    if (await Promise.race([stopped, inTime]) === 'late') {
      this.#interruptAll()
      if (await Promise.race([stopped, budget.past(ATTEMPTS_GRACE)]) === 'late') this.#logAbandoned()
    }
    for (const queue of queues) this.#countDiscarded(queue)
    this.#state = 'stopped'
    const closed = closeBackends(backends, log)
    if (await Promise.race([closed, budget.past(BACKENDS_GRACE)]) === 'late') log.error('a backend was still closing when the shutdown budget ended')
    budget.end()
    idle.release()
    this.#hold.end()
    if (services.error !== undefined) throw services.error
  }

  #logStart (): void {
    const { log, queues, registry } = this.#context
    const described = queues.map(({ name, backend, concurrency }) => [name, { backend: backend.name, location: backend.location, concurrency }])
    log.info({ queues: Object.fromEntries(described) }, 'background jobs have started')
    const declared = [...registry.all()].filter(({ isDeclared, lane }) => isDeclared && lane.works).map(({ name }) => name)
    if (declared.length > 0) log.warn({ jobs: declared }, "jobs are only declared here, and this process works on their queues: it hands them back when it takes them; set option 'work', or define them")
  }

  // Not by the logger: `fastify start` shows its fatal lines only.
  #warnOfShortGrace (): void {
    const { timeout } = this.#context.shutdown
    const grace = runnerGrace()
    if (grace === undefined || grace >= timeout) return
    process.emitWarning(`'fastify start' ends the process ${grace} ms after it was told to stop, unless --close-grace-delay says otherwise; background jobs have ${timeout} ms for it (shutdown.timeout), and those that run longer than the process are lost or run again. Set FASTIFY_CLOSE_GRACE_DELAY=${timeout + 1000} in the environment: it also ends this warning`, { code: 'FST_JOBS_SHORT_GRACE' })
  }

  // A method, since the compiler does not see that the state may change while something is awaited.
  #isStarting (): boolean {
    return this.#state === 'starting' && !this.#isClosing
  }

  #interruptAll (): void {
    for (const { worker } of this.#context.queues) worker.interruptAll('stopping')
  }

  #logAbandoned (): void {
    for (const { name, worker } of this.#context.queues) {
      if (worker.inFlight > 0) this.#context.log.error({ queue: name, jobs: worker.running() }, 'jobs were still running when the shutdown budget ended')
    }
    const services = this.#context.services.pending()
    if (services.length > 0) this.#context.log.error({ services }, 'services were still running when the shutdown budget ended')
    if (this.#context.hooks.running > 0) this.#context.log.error('job hooks were still running when the shutdown budget ended')
  }

  // Each queue by itself: a backend that is out of reach does not keep the jobs of the others from being run.
  async #nothingWaits (): Promise<void> {
    const { idle, log, queues } = this.#context
    await Promise.all(queues.filter(({ works }) => works).map(async (queue) => {
      try {
        await idle.waitToDrain(queue)
      } catch (err) {
        logError(log, 'error', err, { queue: queue.name }, 'a backend cannot say what waits')
      }
    }))
  }

  #countDiscarded (queue: Queue): void {
    const { log, registry } = this.#context
    const left = new Map<string, number>()
    try {
      for (const envelope of queue.backend.abandon(queue.name)) {
        (registry.definitionOf(envelope, queue) ?? queue.delegates).counters.discarded++
        left.set(envelope.name, (left.get(envelope.name) ?? 0) + 1)
      }
    } catch (err) {
      logError(log, 'error', err, { queue: queue.name }, 'the backend cannot say which jobs end with this process')
    }
    if (left.size > 0) log.warn({ queue: queue.name, jobs: Object.fromEntries(left) }, 'jobs that were never finished are discarded with this process')
  }
}

/** Never rejects. */
export async function closeBackends (backends: Iterable<Backend>, log: FastifyBaseLogger): Promise<void> {
  await Promise.all(Array.from(backends, (backend) => closeBackend(backend, log)))
}

async function closeBackend (backend: Backend, log: FastifyBaseLogger): Promise<void> {
  try {
    await backend.close()
  } catch (err) {
    logError(log, 'error', err, { backend: backend.name }, 'the backend failed to close')
  }
}
