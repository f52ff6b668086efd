import type { AwilixContainer } from 'awilix'
import type { FastifyBaseLogger } from 'fastify'
import type { AppCradle } from './cradle.ts'
import type { BackoffFunction, BackoffOptions } from './options.ts'

/** What a service's scope has beside the app's registrations. */
export interface ServiceCradle {
  /** Aborts when the service is told to stop. */
  readonly signal: AbortSignal
  /** A child logger with `service`. */
  readonly log: FastifyBaseLogger
}

/** What a service gets. Scope and logger are made when they are first touched. */
export interface ServiceContext {
  /** Of `start` and `run`: aborts when the service is told to stop. Of `stop`: aborts when the shutdown's budget ends. */
  readonly signal: AbortSignal
  /** A child logger with `service`. */
  readonly log: FastifyBaseLogger
  /** An awilix scope of its own, disposed when it has ended; `signal` and `log` can be resolved from it. */
  readonly diScope: AwilixContainer<AppCradle & ServiceCradle>
  /** Resolves after `delay` milliseconds, and at once when the signal aborts. */
  readonly sleep: (delay: number) => Promise<void>
}

/** Long-running background work. It has `run` or `start`, or both. */
export interface Service {
  /** Awaited before the app is ready; one that throws fails the start of the app. */
  start? (context: ServiceContext): unknown
  /** The loop: begun once the app is ready, to end soon after its signal aborted. To return earlier is no failure. */
  run? (context: ServiceContext): unknown
  /** Awaited while the app closes, after `run` has ended. Called when `start` succeeded. Its context has a signal of its own. */
  stop? (context: ServiceContext): unknown
}

/** How often a service is restarted. */
export interface RestartOptions {
  /**
   * Restarts in a row; a run of a minute or more starts the count again.
   * @default 5
   */
  limit?: number
  /**
   * Time before the next restart.
   * @default { type: 'exponential', delay: 1000, max: 60000, jitter: 0.2 }
   */
  backoff?: BackoffOptions | BackoffFunction
}

/** The options of a service. */
export interface ServiceOptions {
  /**
   * What to do when `run` throws: 'ignore' logs it and readiness says so, 'restart' runs it again until the limit,
   * 'close' closes the app, whose `close()` then rejects with that error.
   * @default 'ignore'
   */
  onFailure?: 'ignore' | 'restart' | 'close'
  /**
   * For `onFailure: 'restart'`.
   * @default { limit: 5, backoff: { type: 'exponential', delay: 1000, max: 60000, jitter: 0.2 } }
   */
  restart?: RestartOptions
}

/** `completed`: its `run` returned by itself. */
export type ServiceState = 'registered' | 'starting' | 'running' | 'restarting' | 'completed' | 'failed' | 'stopping' | 'stopped'

/** How a service stands. */
export interface ServiceStatus {
  /** How it stands. */
  readonly state: ServiceState
  /** Restarts after failures so far. */
  readonly restarts: number
}

/** One pass of a polling service, with a scope of its own. */
export type PollPass = (context: Omit<ServiceContext, 'sleep'>) => unknown
