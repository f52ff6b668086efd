import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Registry } from 'prom-client'
import type { Backend, Clock, FullMode } from './backend.ts'

/** Milliseconds to wait before the attempt after `attempt` (from 1), which failed with `error`. */
export type BackoffFunction = (attempt: number, error: unknown) => number

/** How long a job waits after a failed attempt. */
export interface BackoffOptions {
  /**
   * 'exponential': delay, 2 × delay, 4 × delay …; 'fixed': always the delay.
   * @default 'exponential'
   */
  type?: 'exponential' | 'fixed'
  /**
   * Milliseconds before the second attempt.
   * @default 2000
   */
  delay?: number
  /**
   * Milliseconds at the most.
   * @default 60000
   */
  max?: number
  /**
   * Part of the delay, 0 to 1, that is taken away at random.
   * @default 0.2
   */
  jitter?: number
}

/** How often a job is tried. */
export interface RetryOptions {
  /**
   * Attempts at the most, the first one included.
   * @default 3
   */
  attempts?: number
  /**
   * Time before the next attempt.
   * @default { type: 'exponential', delay: 2000, max: 60000, jitter: 0.2 }
   */
  backoff?: BackoffOptions | BackoffFunction | null
  /**
   * How often a job may lose the process that runs it, killed or stopped for longer than the lease, before it becomes a dead
   * letter. That uses up no attempt: a deployment that kills is no fault of the job's, and a job that kills its process
   * every time has to end somewhere.
   * @default 10
   */
  maxStalls?: number
}

/** The options of one queue. */
export interface QueueOptions {
  /**
   * Jobs that may wait, delayed ones and retries included.
   * @default 1000
   */
  capacity?: number
  /**
   * Attempts that run at once.
   * @default 10
   */
  concurrency?: number
  /**
   * What an enqueue into a full queue does.
   * @default 'wait'
   */
  fullMode?: FullMode
  /**
   * Milliseconds that an enqueue may wait for room (`fullMode: 'wait'`). Undefined: no limit.
   * @default undefined
   */
  enqueueTimeout?: number
  /**
   * Finished jobs remembered for `get(id)`.
   * @default 1000
   */
  history?: number
  /**
   * Dead letters kept; beyond it the oldest one goes, with a log line.
   * @default 1000
   */
  deadLetters?: number
  /**
   * Bytes of a payload as JSON, where it is serialised.
   * @default 1048576
   */
  maxPayloadBytes?: number
  /**
   * Where this queue's jobs live.
   * @default the plugin's `backend`
   */
  backend?: Backend | null
}

/** What becomes of jobs when the app closes. */
export interface ShutdownOptions {
  /**
   * 'drain' finishes what runs, 'drainQueued' also what waits, 'stop' aborts at once.
   * @default 'drain'
   */
  mode?: 'drain' | 'drainQueued' | 'stop'
  /**
   * Milliseconds for the whole of it, counted from `preClose`.
   * @default 30000
   */
  timeout?: number
}

/** Where Prometheus metrics are, and what they are called. */
export interface MetricsOptions {
  /**
   * Where Prometheus scrapes. False registers no route.
   * @default '/metrics'
   */
  path?: string | false | null
  /**
   * What every metric's name begins with.
   * @default 'jobs_'
   */
  prefix?: string
  /**
   * Where the metrics are registered. Undefined: a Registry of the plugin's own.
   * @default undefined
   */
  registry?: Registry | null
  /**
   * Also collect prom-client's process metrics.
   * @default false
   */
  defaultMetrics?: boolean | null
  /**
   * Upper bounds of the buckets of `wait_seconds` and `duration_seconds`, in seconds: 1 to 50 positive numbers that rise. Each is a series
   * more per job and histogram.
   * @default [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
   */
  buckets?: readonly number[] | null
}

/** What makes `GET <path>/ready` answer 503, beside the lifecycle, failed services and stalled workers of this instance. */
export interface ReadyOptions {
  /**
   * Queues that are nearly full: 'memory' counts those in this process's own memory, true also those that instances share, false none.
   * A shared queue that is full would take every instance out at once.
   * @default 'memory'
   */
  capacity?: 'memory' | boolean | null
  /**
   * A backend that instances share is out of reach.
   * @default false
   */
  backend?: boolean | null
}

/** Where the health routes are, and what they count as unhealthy. */
export interface HealthOptions {
  /**
   * What the paths of the health routes begin with.
   * @default '/health'
   */
  path?: string
  /**
   * Part of a queue's capacity from which the app counts as degraded.
   * @default 0.75
   */
  degraded?: number
  /**
   * Part of a queue's capacity from which the app counts as unhealthy.
   * @default 0.95
   */
  unhealthy?: number
  /**
   * Milliseconds without a pick-up, while jobs wait, that count as stalled.
   * @default 60000
   */
  stalledAfter?: number
  /**
   * What else than this instance's own faults makes it unready.
   * @default { capacity: 'memory', backend: false }
   */
  ready?: ReadyOptions | null
}

/** Where the status routes are. */
export interface RouteOptions {
  /**
   * What the paths of the status routes, and of the admin routes, begin with. False: no status routes, and the admin routes under '/jobs'.
   * @default '/jobs'
   */
  prefix?: string | false | null
  /**
   * Keeps all routes of the plugin, the admin, health and metrics routes too, out of the document that @fastify/swagger makes.
   * @default false
   */
  hide?: boolean | null
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
  /**
   * Only the routes that change nothing.
   * @default false
   */
  readOnly?: boolean | null
  /**
   * What OpenAPI documents say about these routes: names of the document's `securitySchemes`, with their scopes. It checks nothing.
   * Undefined: the document's own `security` applies.
   * @default undefined
   */
  security?: readonly Readonly<Record<string, readonly string[]>>[] | null
}

/** How long a job waits for an instance that can run it: its name is unknown here, or its version is newer than the one defined here. */
export interface UnknownJobsOptions {
  /**
   * Milliseconds after which the job may be taken again, by this or another instance.
   * @default 30000
   */
  retryAfter?: number
  /**
   * Milliseconds after the job fell due until it becomes a dead letter: a day.
   * @default 86400000
   */
  giveUpAfter?: number
}

/** A function that adds to an Ajv: ajv-keywords, say. */
export type AjvPlugin = (ajv: never, options?: any) => unknown

/** How payload schemas are compiled; the same shape as Fastify's own `ajv` option. */
export interface AjvOptions {
  /**
   * Options of Ajv's constructor.
   * @default { strict: false }
   */
  customOptions?: Record<string, unknown>
  /**
   * Functions that get the Ajv, alone or with options of their own.
   * @default []
   */
  plugins?: readonly (AjvPlugin | readonly [plugin: AjvPlugin, options: any])[]
}

/** What services do to the process. */
export interface ServicesOptions {
  /**
   * A process whose app was closed because a service failed (`onFailure: 'close'`) exits with code 1, unless it has set another one, so that
   * its supervisor sees the failure. False leaves the code alone.
   * @default true
   */
  exitCode?: boolean | null
}

/** What the plugin does with dependency injection. */
export interface DiOptions {
  /**
   * Also give each request a scope of the container, as `request.diScope`, which costs every route about a third of its throughput.
   * Needs @fastify/awilix to be installed. An app that registers @fastify/awilix itself has them anyway.
   * @default false
   */
  requestScopes?: boolean | null
}

/** The options of the plugin. */
export interface BackgroundJobsOptions {
  /**
   * By name. A queue named 'default' always exists.
   * @default { default: {} }
   */
  queues?: Record<string, QueueOptions | null> | null
  /**
   * Where the jobs of every queue live that names no backend.
   * @default memory()
   */
  backend?: Backend | null
  /**
   * How often a failed job is tried again, and when.
   * @default { attempts: 3, backoff: { type: 'exponential', delay: 2000, max: 60000, jitter: 0.2 }, maxStalls: 10 }
   */
  retry?: RetryOptions | null
  /**
   * What becomes of jobs in durable queues that this instance cannot run, as during a rolling deployment: they are handed back with a delay,
   * use up no attempt and no stall, and become dead letters in the end. 'deadLetter': at once.
   * @default { retryAfter: 30000, giveUpAfter: 86400000 }
   */
  unknownJobs?: UnknownJobsOptions | 'deadLetter' | null
  /**
   * What becomes of jobs when the app closes.
   * @default { mode: 'drain', timeout: 30000 }
   */
  shutdown?: ShutdownOptions | null
  /**
   * Prometheus metrics. False: none.
   * @default { path: '/metrics', prefix: 'jobs_', defaultMetrics: false, buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300] }
   */
  metrics?: MetricsOptions | false | null
  /**
   * Health routes. False: none.
   * @default { path: '/health', degraded: 0.75, unhealthy: 0.95, stalledAfter: 60000, ready: { capacity: 'memory', backend: false } }
   */
  health?: HealthOptions | false | null
  /**
   * Status routes. False: none.
   * @default { prefix: '/jobs' }
   */
  routes?: RouteOptions | false | null
  /**
   * Admin routes. Undefined: there are none.
   * @default undefined
   */
  admin?: AdminOptions | null
  /**
   * The queues that this process works on: all of them, none (a process that only enqueues), or those of these names. A queue in memory that
   * nobody would work on is refused.
   * @default true
   */
  work?: boolean | readonly string[] | null
  /**
   * False: no schedule ticks in this process; `schedules.run(name)` goes on working.
   * @default true
   */
  schedules?: boolean | null
  /**
   * What becomes of a process whose service has failed.
   * @default { exitCode: true }
   */
  services?: ServicesOptions | null
  /**
   * Dependency injection.
   * @default { requestScopes: false }
   */
  di?: DiOptions | null
  /**
   * How payload schemas that are JSON Schemas are compiled.
   * @default { customOptions: { strict: false }, plugins: [] }
   */
  ajv?: AjvOptions | null
  /**
   * Where time comes from. `ManualClock` is for tests.
   * @default systemClock
   */
  clock?: Clock | null
}

/** The options of a job's definition. `Schema` is any unless given, so that a variable of this type fits every `define`. */
export interface DefineOptions<Schema = any> {
  /**
   * The queue that its jobs wait in.
   * @default 'default'
   */
  queue?: string
  /**
   * Of the payload: a JSON Schema (or TypeBox), compiled once by Ajv, which changes nothing; or a Standard Schema (zod, valibot, arktype),
   * whose output the handler gets.
   * @default undefined
   */
  schema?: Schema
  /**
   * Attempts at the most, the first one included.
   * @default the plugin's `retry.attempts`
   */
  attempts?: number
  /**
   * Time before the next attempt.
   * @default the plugin's `retry.backoff`
   */
  backoff?: BackoffOptions | BackoffFunction
  /**
   * Processes that a job may lose.
   * @default the plugin's `retry.maxStalls`
   */
  maxStalls?: number
  /**
   * Milliseconds that an attempt may take. Undefined: no limit.
   * @default undefined
   */
  timeout?: number
  /**
   * Says whether an error is worth another attempt. Undefined: every error is.
   * @default undefined
   */
  retryable?: (error: any) => boolean
  /**
   * Version of the payload's format, kept with every job. Raise it when old handlers could not work on new payloads: instances that define an
   * older version leave the job to others.
   * @default 1
   */
  version?: number
  /**
   * Former names: jobs that were enqueued under them run as this one. Nothing can be enqueued under them any more.
   * @default []
   */
  aliases?: readonly string[]
  /**
   * Makes a payload of an older version one of this version, before the schema check; it may be async. The stored payload stays as it is. What
   * it throws makes a dead letter.
   * @default undefined
   */
  upgrade?: (payload: any, fromVersion: number) => unknown
}

/** Of a job whose handler lives in another process. `Schema` as in `DefineOptions`. */
export interface DeclareOptions<Schema = any> {
  /**
   * The queue that its jobs wait in. It must live in a durable backend, which the process with the handler shares.
   * @default 'default'
   */
  queue?: string
  /**
   * Of the payload: a JSON Schema (or TypeBox) or a Standard Schema, as in `define`. It is checked at the enqueue.
   * @default undefined
   */
  schema?: Schema
  /**
   * Attempts at the most, stored with every job.
   * @default what the process with the handler says
   */
  attempts?: number
  /**
   * Version of the payload's format, see `DefineOptions.version`.
   * @default 1
   */
  version?: number
}

/** The options of one enqueue. */
export interface EnqueueOptions {
  /**
   * A job with an id that the backend knows is a duplicate.
   * @default a UUID
   */
  id?: string
  /**
   * Milliseconds until the job may run.
   * @default 0
   */
  delay?: number
  /**
   * When the job may run: a Date or milliseconds since the epoch.
   * @default now
   */
  runAt?: Date | number
  /**
   * From -1000 to 1000, higher first.
   * @default 0
   */
  priority?: number
  /**
   * Taken, for this job name, while the job waits or runs.
   * @default undefined
   */
  uniqueKey?: string
  /**
   * Milliseconds for which `uniqueKey` stays taken after the job has ended.
   * @default 0
   */
  uniqueFor?: number
  /**
   * Kept with the job and shown by logs, hooks and `get(id)`: the id of a request, say.
   * @default undefined
   */
  correlationId?: string
  /**
   * Gives up waiting for room; does not cancel the job.
   * @default undefined
   */
  signal?: AbortSignal
  /**
   * Attempts at the most, the first one included.
   * @default those of the job's definition
   */
  attempts?: number
}

/** The options of the enqueue of a function. */
export interface DelegateOptions extends EnqueueOptions {
  /** What logs and `get(id)` call the job. */
  name: string
  /**
   * The queue that the job waits in.
   * @default 'default'
   */
  queue?: string
}
