import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import type { Backend, Clock, FullMode } from './backend.ts'

/** Milliseconds to wait before the attempt after `attempt` (from 1), which failed with `error`. */
export type BackoffFunction = (attempt: number, error: unknown) => number

export interface BackoffOptions {
  /** Default 'exponential': delay, 2 × delay, 4 × delay … */
  type?: 'exponential' | 'fixed'
  /** Milliseconds. Default 2000. */
  delay?: number
  /** Milliseconds at the most. Default 60000. */
  max?: number
  /** Part of the delay, 0 to 1, that is taken away at random. Default 0.2. */
  jitter?: number
}

export interface RetryOptions {
  /** Attempts at the most, the first one included. Default 3. */
  attempts?: number
  backoff?: BackoffOptions | BackoffFunction
  /**
   * How often a job may lose the process that runs it, killed or stopped for longer than the lease, before it becomes a dead
   * letter. That uses up no attempt: a deployment that kills is no fault of the job's, and a job that kills its process
   * every time has to end somewhere. Default 10.
   */
  maxStalls?: number
}

export interface QueueOptions {
  /** Jobs that may wait, delayed ones and retries included. Default 1000. */
  capacity?: number
  /** Attempts that run at once. Default 10. */
  concurrency?: number
  /** What an enqueue into a full queue does. Default 'wait'. */
  fullMode?: FullMode
  /** Milliseconds that an enqueue may wait for room (`fullMode: 'wait'`). Default: no limit. */
  enqueueTimeout?: number
  /** Finished jobs remembered for `get(id)`. Default 1000. */
  history?: number
  /** Dead letters kept; beyond it the oldest one goes, with a log line. Default 1000. */
  deadLetters?: number
  /** Bytes of a payload, where it is serialised. Default 1 MiB. */
  maxPayloadBytes?: number
  backend?: Backend
}

export interface ShutdownOptions {
  /** 'drain' finishes what runs, 'drainQueued' also what waits, 'stop' aborts at once. Default 'drain'. */
  mode?: 'drain' | 'drainQueued' | 'stop'
  /** Milliseconds for the whole of it, counted from `preClose`. Default 30000. */
  timeout?: number
}

export interface MetricsOptions {
  /** Default '/metrics'; false registers no route. */
  path?: string | false
  /** Default 'jobs_'. */
  prefix?: string
  /** Default: a Registry of the plugin's own. */
  registry?: Registry
  /** Also collect prom-client's process metrics. Default false. */
  defaultMetrics?: boolean
  /**
   * Upper bounds of the buckets of `wait_seconds` and `duration_seconds`, in seconds: 1 to 50 positive numbers that rise. Each is a series
   * more per job and histogram. Default 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300.
   */
  buckets?: readonly number[]
}

/** What makes `GET <path>/ready` answer 503, beside the lifecycle, failed services and stalled workers of this instance. */
export interface ReadyOptions {
  /**
   * Queues that are nearly full: 'memory' counts those in this process's own memory, true also those that instances share, false none.
   * Default 'memory': a shared queue that is full would take every instance out at once.
   */
  capacity?: 'memory' | boolean
  /** A backend that instances share is out of reach. Default false. */
  backend?: boolean
}

export interface HealthOptions {
  /** Default '/health'. */
  path?: string
  /** Part of a queue's capacity from which the app counts as degraded. Default 0.75. */
  degraded?: number
  /** Part of a queue's capacity from which the app counts as unhealthy. Default 0.95. */
  unhealthy?: number
  /** Milliseconds without a pick-up, while jobs wait, that count as stalled. Default 60000. */
  stalledAfter?: number
  ready?: ReadyOptions
}

export interface RouteOptions {
  /** Default '/jobs'. */
  prefix?: string
}

/** Routes under `<routes.prefix>/admin` to look at dead letters, run them again, cancel jobs, pause and resume queues. */
export interface AdminOptions {
  /**
   * Runs before every admin route, as an `onRequest` hook. A function with three parameters lets a request in by calling
   * `done()`, and refuses it by `done(error)` or `done(null, false)`. A function with fewer parameters lets it in by
   * returning true, or a promise of true or undefined. Whatever else happens is a refusal: an error that it throws or
   * rejects with, a reply that it sends, and any other result (403).
   */
  authorize: (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply, done: (error?: unknown, allowed?: boolean) => void) => unknown
  /** Only the routes that change nothing. Default false. */
  readOnly?: boolean
}

/** How long a job waits for an instance that can run it: its name is unknown here, or its version is newer than the one defined here. */
export interface UnknownJobsOptions {
  /** Milliseconds after which the job may be taken again, by this or another instance. Default 30000. */
  retryAfter?: number
  /** Milliseconds after the job fell due until it becomes a dead letter. Default 86400000: a day. */
  giveUpAfter?: number
}

export type AjvPlugin = (ajv: never, options?: any) => unknown

/** How payload schemas are compiled; the same shape as Fastify's own `ajv` option. */
export interface AjvOptions {
  customOptions?: Record<string, unknown>
  plugins?: readonly (AjvPlugin | readonly [plugin: AjvPlugin, options: any])[]
}

export interface ServicesOptions {
  /**
   * A process whose app was closed since a service failed (`onFailure: 'close'`) exits with code 1, unless it has set another one, so that
   * its supervisor sees the failure. False leaves the code alone. Default true.
   */
  exitCode?: boolean
}

export interface DiOptions {
  /**
   * Also give each request a scope of the container, as `request.diScope`, which costs every route about a third of its throughput.
   * Needs @fastify/awilix to be installed. An app that registers @fastify/awilix itself has them anyway. Default false.
   */
  requestScopes?: boolean
}

export interface BackgroundJobsOptions {
  /** Default: one queue, named 'default'. A queue of that name always exists. */
  queues?: Record<string, QueueOptions>
  /** The backend of every queue that names none. Default `memory()`. */
  backend?: Backend
  retry?: RetryOptions
  /**
   * What becomes of jobs in durable queues that this instance cannot run, as during a rolling deployment: they are handed back with a delay,
   * use up no attempt and no stall, and become dead letters in the end. 'deadLetter': at once.
   */
  unknownJobs?: UnknownJobsOptions | 'deadLetter'
  shutdown?: ShutdownOptions
  metrics?: MetricsOptions | false
  health?: HealthOptions | false
  routes?: RouteOptions | false
  /** Default: no admin route exists. */
  admin?: AdminOptions
  /**
   * The queues that this process works on: all of them, none (a process that only enqueues), or those of these names. A queue in memory that
   * nobody would work on is refused. Default true.
   */
  work?: boolean | readonly string[]
  /** False: no schedule ticks in this process; `schedules.run(name)` goes on working. Default true. */
  schedules?: boolean
  services?: ServicesOptions
  di?: DiOptions
  ajv?: AjvOptions
  /** Where time comes from. Default `systemClock`; `ManualClock` for tests. */
  clock?: Clock
}

export interface DefineOptions<Schema = unknown> {
  /** Default 'default'. */
  queue?: string
  /** JSON Schema (or TypeBox) of the payload, compiled once by Ajv. */
  schema?: Schema
  /** Attempts at the most, the first one included. Default: the plugin's `retry.attempts`. */
  attempts?: number
  /** Default: the plugin's `retry.backoff`. */
  backoff?: BackoffOptions | BackoffFunction
  /** Processes that a job may lose. Default: the plugin's `retry.maxStalls`. */
  maxStalls?: number
  /** Milliseconds that an attempt may take. Default: no limit. */
  timeout?: number
  /** Says whether an error is worth another attempt. Default: every error is. */
  retryable?: (error: any) => boolean
  /**
   * Version of the payload's format, kept with every job. Raise it when old handlers could not work on new payloads: instances that define an
   * older version leave the job to others. Default 1.
   */
  version?: number
  /** Former names: jobs that were enqueued under them run as this one. Nothing can be enqueued under them any more. */
  aliases?: readonly string[]
  /**
   * Makes a payload of an older version one of this version, before the schema check; it may be async. The stored payload stays as it is. What
   * it throws makes a dead letter.
   */
  upgrade?: (payload: any, fromVersion: number) => unknown
}

/** Of a job whose handler lives in another process. */
export interface DeclareOptions<Schema = unknown> {
  /** Default 'default'. It must live in a durable backend, which the process with the handler shares. */
  queue?: string
  /** JSON Schema (or TypeBox) of the payload, compiled once by Ajv. */
  schema?: Schema
  /** Attempts at the most, stored with every job. Default: what the process with the handler says. */
  attempts?: number
  /** Version of the payload's format, see `DefineOptions.version`. Default 1. */
  version?: number
}

export interface EnqueueOptions {
  /** Default: a random UUID. A job with an id that the backend knows is a duplicate. */
  id?: string
  /** Milliseconds until the job may run. */
  delay?: number
  /** When the job may run: a Date or milliseconds since the epoch. */
  runAt?: Date | number
  /** From -1000 to 1000, higher first. Default 0. */
  priority?: number
  /** Taken, for this job name, while the job waits or runs. */
  uniqueKey?: string
  /** Milliseconds for which `uniqueKey` stays taken after the job has ended. Default 0. */
  uniqueFor?: number
  correlationId?: string
  /** Gives up waiting for room; does not cancel the job. */
  signal?: AbortSignal
  attempts?: number
}

export interface DelegateOptions extends EnqueueOptions {
  name: string
  /** Default 'default'. */
  queue?: string
}
