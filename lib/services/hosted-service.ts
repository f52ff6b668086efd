import { setMaxListeners } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import type { Clock } from '../../types/backend.ts'
import type { BackoffFunction } from '../../types/options.ts'
import type { Service, ServiceOptions, ServiceState } from '../../types/services.ts'
import { ServiceLateError, ServiceStoppedError } from '../errors.ts'
import { toError } from '../serialize-error.ts'
import { logError } from '../log-error.ts'
import { backoffDelay, backoffFunction } from '../retry-policy.ts'
import { RunContext, type ServiceHost } from './context.ts'
import { isStopReason } from './stop-reason.ts'

/** Milliseconds after which a run counts as a recovery: its failure is the first one again. */
const STABLE_AFTER = 60_000

export interface HostedServiceHost extends ServiceHost {
  readonly clock: Clock
  /** A service with `onFailure: 'close'` has failed. */
  closeApp (): void
}

/** How a run failed. A close may begin while its scope is disposed: that makes it no failure of the close. */
interface Failure {
  readonly error: Error
  readonly whileStopping: boolean
}

/** One service, from its start to its stop. */
export class HostedService {
  readonly name: string
  readonly #service: Service
  readonly #hasRun: boolean
  readonly #host: HostedServiceHost
  readonly #onFailure: NonNullable<ServiceOptions['onFailure']>
  readonly #limit: number
  readonly #backoff: BackoffFunction
  readonly #controller = new AbortController()
  /** For `stop`, which begins when the other signal has aborted. */
  readonly #stopController = new AbortController()
  readonly #context: RunContext
  #state: ServiceState = 'registered'
  #starting: Promise<void> | undefined
  /** Resolves, when its loop has ended, with what that threw although it was told to stop. */
  #running: Promise<Error | undefined> | undefined
  #stopping: Promise<readonly Error[]> | undefined
  #isStopped = false
  #restarts = 0
  #failures = 0
  #fatal: Error | undefined

  constructor (name: string, service: Service, { onFailure = 'ignore', restart = {} }: ServiceOptions, host: HostedServiceHost) {
    this.name = name
    this.#service = service
    this.#hasRun = service.run !== undefined
    this.#host = host
    this.#onFailure = onFailure
    this.#limit = restart.limit ?? 5
    this.#backoff = backoffFunction(typeof restart.backoff === 'function' ? restart.backoff : { delay: 1000, ...restart.backoff })
    this.#context = this.#newContext()
    // Node 20 takes more than ten sleeps at once for a leak.
    setMaxListeners(0, this.#controller.signal, this.#stopController.signal)
  }

  get state (): ServiceState {
    return this.#state
  }

  get restarts (): number {
    return this.#restarts
  }

  get failures (): number {
    return this.#failures
  }

  /** Why the app has to close. */
  get fatal (): Error | undefined {
    return this.#fatal
  }

  get isToldToStop (): boolean {
    return this.#controller.signal.aborted
  }

  /** Its loop runs, or will be restarted. */
  get isRunning (): boolean {
    return this.#hasRun && ['running', 'restarting'].includes(this.#state)
  }

  /** It was told to stop and has not ended. */
  get isPending (): boolean {
    return this.#stopping !== undefined && !this.#isStopped
  }

  /** Rejects with what the service's `start` threw. */
  start (): Promise<void> {
    this.#starting = this.#start()
    return this.#starting
  }

  /** Begins the service's loop, in a turn of its own. */
  run (): void {
    if (this.#hasRun && this.#state === 'running') this.#running = this.#runUntilItEnds()
  }

  /** Aborts its signal and does not wait. */
  abort (): void {
    if (!this.isToldToStop) this.#controller.abort(new ServiceStoppedError(this.name))
  }

  /** The time to stop is over: aborts the signal of `stop`. */
  cutShort (): void {
    this.#stopController.abort(new ServiceLateError(this.name))
  }

  /** Resolves, when everything of the service has ended, with what it threw on the way. Never rejects. */
  stop (): Promise<readonly Error[]> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #start (): Promise<void> {
    this.#state = 'starting'
    try {
      await this.#service.start?.(this.#context)
      this.#state = 'running'
    } catch (thrown) {
      const isStopped = isStopReason(thrown, this.#controller.signal)
      this.#state = isStopped ? 'stopped' : 'failed'
      if (!isStopped) this.#failures++
      this.abort()
      await this.#context.end()
      throw thrown
    }
  }

  async #stop (): Promise<Error[]> {
    const errors: Error[] = []
    this.abort()
    const started = await this.#starting?.then(() => true, () => false) ?? false
    if (started) {
      if (this.#state === 'running' || this.#state === 'restarting') this.#state = 'stopping'
      const thrown = await this.#running
      if (thrown !== undefined) errors.push(this.#stopError(thrown))
      try {
        await this.#service.stop?.(this.#context.forStop(this.#stopController.signal))
      } catch (thrown) {
        errors.push(this.#stopError(thrown))
      }
      await this.#context.end()
    }
    if (this.#state === 'stopping' || this.#state === 'registered') this.#state = 'stopped'
    this.#isStopped = true
    return errors
  }

  #stopError (thrown: unknown): Error {
    logError(this.#context.log, 'error', thrown, {}, 'the service failed while it was stopped')
    return toError(thrown)
  }

  async #runUntilItEnds (): Promise<Error | undefined> {
    const { signal } = this.#controller
    // Whoever waits for the app to be ready goes first.
    await setImmediate()
    for (let inARow = 0; !signal.aborted; inARow++) {
      const startedAt = this.#host.clock.monotonic()
      const failure = await this.#runOnce()
      if (failure === undefined || failure.whileStopping) return failure?.error
      const { error } = failure
      this.#failures++
      if (this.#host.clock.monotonic() - startedAt >= STABLE_AFTER) inARow = 0
      if (this.#onFailure !== 'restart' || inARow >= this.#limit || signal.aborted) return this.#fail(error)
      await this.#pause(error, inARow + 1)
    }
    return undefined
  }

  /** What the service threw, unless it did so because it was told to stop. */
  async #runOnce (): Promise<Failure | undefined> {
    const { signal } = this.#controller
    const context = this.#newContext()
    let failure: Failure | undefined
    try {
      await this.#service.run!(context)
      if (!signal.aborted) this.#complete()
    } catch (thrown) {
      if (!isStopReason(thrown, signal)) failure = { error: toError(thrown), whileStopping: signal.aborted }
    }
    await context.end()
    return failure
  }

  #complete (): void {
    this.#state = 'completed'
    this.#context.log.info('the service has completed')
  }

  async #pause (error: Error, inARow: number): Promise<void> {
    const { log } = this.#context
    this.#state = 'restarting'
    this.#restarts++
    const delay = backoffDelay(error, {
      attempt: inARow,
      backoff: this.#backoff,
      onPolicyError: (problem) => logError(log, 'error', problem, {}, "the service's backoff failed, the default applies")
    })
    logError(log, 'error', error, { restart: inARow, limit: this.#limit, delay }, 'the service failed and will be restarted')
    await this.#context.sleep(delay)
    if (!this.#controller.signal.aborted) this.#state = 'running'
  }

  #fail (error: Error): undefined {
    const closes = this.#onFailure === 'close'
    this.#state = 'failed'
    logError(this.#context.log, 'error', error, {}, closes ? 'the service failed, the app closes' : 'the service failed and is not restarted')
    if (!closes) return
    this.#fatal = error
    this.#host.closeApp()
  }

  #newContext (): RunContext {
    return new RunContext(this.name, this.#controller.signal, this.#host)
  }
}
