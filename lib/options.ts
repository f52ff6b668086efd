import type { Registry } from 'prom-client'
import type { Backend, Clock, QueueSettings } from '../types/backend.ts'
import type { AdminOptions, AjvOptions, BackgroundJobsOptions, DiOptions, HealthOptions, MetricsOptions, QueueOptions, ReadyOptions, ServicesOptions, ShutdownOptions, UnknownJobsOptions } from '../types/options.ts'
import { memory } from './backends/memory/index.ts'
import { systemClock } from './clock.ts'
import { InvalidOptionsError, NobodyWorksError, NotSupportedError, UnknownQueueError } from './errors.ts'
import { backoffSchema, resolveRetryPolicy, type RetryPolicy } from './retry-policy.ts'
import { object, optionsCheck } from './validation.ts'

const milliseconds = { type: 'number', minimum: 0 }
const fraction = { type: 'number', minimum: 0, maximum: 1 }
const attempts = { type: 'integer', minimum: 1 }
const version = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER }
const maxStalls = { type: 'integer', minimum: 0 }
const path = { type: 'string', pattern: '^/[^?#:*\\s]*$' }
const name = { type: 'string', minLength: 1, maxLength: 128 }
// What can be asked for at /jobs/:id: 100 is Fastify's default maxParamLength.
const id = { type: 'string', pattern: '^[\\x21-\\x7e]{1,100}$', not: { enum: ['.', '..', 'status'] } }
// Databases refuse NUL, and lone surrogates have no UTF-8.
const storable = '^[^\\u0000\\ud800-\\udfff]*$'
/** Characters. */
export const MAX_CORRELATION_ID = 512
// A type of arktype is a function.
const schema = { if: { kind: 'function' }, else: { type: 'object' } }
const MAX_CAPACITY = 10_000_000
/** Seconds. Close together where most attempts end: 10 to 50 and 100 to 500 ms are told apart. */
const DEFAULT_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
/** Milliseconds: a longer interval is a mistake, and leads past the last Date. */
const CENTURY = 36_525 * 86_400_000

function withMethods (names: string[], properties: object = {}) {
  const methods = Object.fromEntries(names.map((method) => [method, { kind: 'function' }]))
  return { type: 'object', required: [...Object.keys(properties), ...names], properties: { ...properties, ...methods } }
}

const orDeadLetter = (schema: object) => ({ if: { type: 'string' }, then: { enum: ['deadLetter'] }, else: schema })

// Configuration files and parsers of environment variables say null for 'none'.
function orNull (schema: object) {
  return { if: { type: 'null' }, then: {}, else: schema }
}

function orFalse (schema: object, title = 'an object') {
  return orNull({ if: { type: 'boolean' }, then: { title, const: false }, else: schema })
}

const boolean = orNull({ type: 'boolean' })

const backend = withMethods(['open', 'enqueue', 'consume', 'stats', 'abandon', 'close'], {
  name: { type: 'string' },
  capabilities: { type: 'object' }
})

const queue = orNull(object({
  capacity: { type: 'integer', minimum: 1, maximum: MAX_CAPACITY },
  concurrency: { type: 'integer', minimum: 1, maximum: 10_000 },
  fullMode: { type: 'string', enum: ['wait', 'dropOldest', 'dropNewest', 'dropWrite', 'reject'] },
  enqueueTimeout: milliseconds,
  history: { type: 'integer', minimum: 0 },
  deadLetters: { type: 'integer', minimum: 0 },
  maxPayloadBytes: { type: 'integer', minimum: 1 },
  backend: orNull(backend)
}))

const security = { type: 'array', items: { type: 'object', additionalProperties: { type: 'array', items: { type: 'string' } } } }

const checkPluginOptions = optionsCheck(object({
  queues: orNull({ type: 'object', propertyNames: { pattern: '^[\\w.-]{1,128}$' }, additionalProperties: queue }),
  backend: orNull(backend),
  retry: orNull(object({ attempts, backoff: orNull(backoffSchema), maxStalls })),
  unknownJobs: orNull(orDeadLetter(object({ retryAfter: { type: 'number', minimum: 1 }, giveUpAfter: milliseconds }))),
  shutdown: orNull(object({ mode: { type: 'string', enum: ['drain', 'drainQueued', 'stop'] }, timeout: milliseconds })),
  metrics: orFalse(object({
    path: orFalse(path, 'a path'),
    prefix: { type: 'string', pattern: '^[a-zA-Z_:][a-zA-Z0-9_:]*$' },
    registry: orNull(withMethods(['getMetricsAsArray', 'getSingleMetric', 'metrics', 'registerMetric', 'removeSingleMetric'])),
    defaultMetrics: boolean,
    buckets: orNull({ type: 'array', minItems: 1, maxItems: 50, items: { type: 'number', exclusiveMinimum: 0 } })
  })),
  health: orFalse(object({ path, degraded: fraction, unhealthy: fraction, stalledAfter: milliseconds, ready: orNull(object({ capacity: orNull({ enum: ['memory', true, false] }), backend: boolean })) })),
  routes: orFalse(object({ prefix: orFalse(path, 'a path'), hide: boolean })),
  work: orNull({ if: { type: 'boolean' }, else: { type: 'array', title: 'true, false or an array of queue names', items: name } }),
  schedules: boolean,
  services: orNull(object({ exitCode: boolean })),
  admin: orNull(object({ authorize: { kind: 'function' }, readOnly: boolean, security: orNull(security) }, ['authorize'])),
  di: orNull(object({ requestScopes: boolean })),
  ajv: orNull(object({ customOptions: { type: 'object' }, plugins: { type: 'array', items: { if: { type: 'array' }, then: { items: [{ kind: 'function' }, {}], minItems: 2, maxItems: 2 }, else: { kind: 'function' } } } })),
  clock: orNull(withMethods(['now', 'monotonic', 'setTimeout', 'clearTimeout']))
}))

export const checkDefineOptions = optionsCheck(object({
  queue: name,
  schema,
  attempts,
  backoff: backoffSchema,
  maxStalls,
  timeout: { type: 'number', exclusiveMinimum: 0 },
  retryable: { kind: 'function' },
  version,
  aliases: { type: 'array', items: name },
  upgrade: { kind: 'function' }
}))

export const checkDeclareOptions = optionsCheck(object({ queue: name, schema, attempts, version }))

export const checkServiceOptions = optionsCheck(object({
  onFailure: { type: 'string', enum: ['ignore', 'restart', 'close'] },
  restart: object({ limit: { type: 'integer', minimum: 0 }, backoff: backoffSchema })
}))

const enqueueProperties = {
  id,
  delay: milliseconds,
  runAt: { if: { kind: 'number' }, then: { type: 'number' }, else: { kind: 'Date' } },
  priority: { type: 'integer', minimum: -1000, maximum: 1000 },
  uniqueKey: { type: 'string', minLength: 1, maxLength: 512, pattern: storable },
  uniqueFor: milliseconds,
  correlationId: { type: 'string', maxLength: MAX_CORRELATION_ID, pattern: storable },
  signal: { kind: 'AbortSignal' },
  attempts
}

export const checkScheduleRule = optionsCheck(object({
  every: { type: 'integer', minimum: 1, maximum: CENTURY }, cron: { type: 'string' }, timezone: { type: 'string', minLength: 1, maxLength: 64 }
}))
export const checkScheduleOptions = optionsCheck(object({
  payload: {},
  queue: name,
  priority: enqueueProperties.priority,
  overlap: { type: 'string', enum: ['skip', 'allow'] },
  missed: { type: 'string', enum: ['skip', 'runOnce'] },
  jitter: { ...milliseconds, maximum: CENTURY },
  startAt: enqueueProperties.runAt,
  endAt: enqueueProperties.runAt,
  immediate: { type: 'boolean' }
}))
export const checkEnqueueManyOptions = optionsCheck(object({ signal: { kind: 'AbortSignal' } }))
export const checkListOptions = optionsCheck(object({ queue: name, limit: { type: 'integer', minimum: 0, maximum: MAX_CAPACITY } }))
export const checkIdleOptions = optionsCheck(object({ delayed: { type: 'boolean' } }))
export const checkEnqueueOptions = optionsCheck(object(enqueueProperties))
export const checkDelegateOptions = optionsCheck(object({ ...enqueueProperties, name, queue: name }, ['name']))

/** Every option is there, and none is null. */
type Resolved<Options> = { readonly [Name in keyof Options]-?: NonNullable<Options[Name]> }

export interface ResolvedOptions {
  readonly queues: readonly QueueSettings[]
  /** The backend of each queue, by the queue's name. */
  readonly backends: ReadonlyMap<string, Backend>
  readonly retry: RetryPolicy
  readonly unknownJobs: Required<UnknownJobsOptions>
  readonly shutdown: Required<ShutdownOptions>
  readonly metrics: Resolved<Omit<MetricsOptions, 'path' | 'registry' | 'buckets'>> & { readonly path: string | false, readonly registry: Registry | undefined, readonly buckets: readonly number[] } | false
  readonly health: Required<Omit<HealthOptions, 'ready'>> & { readonly ready: Resolved<ReadyOptions> } | false
  readonly routes: { readonly prefix: string } | false
  /** Keeps every route of the plugin out of documentation. */
  readonly hideRoutes: boolean
  readonly admin: Resolved<Omit<AdminOptions, 'security'>> & Pick<AdminOptions, 'security'> & { readonly prefix: string } | undefined
  readonly di: Resolved<DiOptions>
  readonly ajv: AjvOptions
  /** The queues that this process works on. */
  readonly works: ReadonlySet<string>
  /** Whether schedules tick in this process. */
  readonly schedules: boolean
  readonly services: Resolved<ServicesOptions>
  readonly clock: Clock
}

/** Checks the plugin's options and completes them with the defaults; nothing reads the raw ones afterwards. */
export function resolveOptions (options: BackgroundJobsOptions): ResolvedOptions {
  checkPluginOptions(options, 'fastify-background-jobs options')
  const [metrics, health, routes] = [orDefault(options.metrics, {}), orDefault(options.health, {}), orDefault(options.routes, {})]
  const statusPrefix = routes !== false && orDefault(routes.prefix, '/jobs')
  const prefix = statusPrefix === false ? '/jobs' : withoutTrailingSlash(statusPrefix)
  const queues = { default: {}, ...options.queues }
  const defaultBackend = options.backend ?? memory()
  const settings = Object.entries(queues).map(([queue, given]) => queueSettings(queue, given ?? {}))
  const backends = new Map(Object.entries<QueueOptions | null>(queues).map(([queue, given]) => [queue, given?.backend ?? defaultBackend]))

  const works = worksOn(orDefault(options.work, true), settings)

  if (health !== false && (health.degraded ?? 0.75) > (health.unhealthy ?? 0.95)) {
    throw new InvalidOptionsError("fastify-background-jobs options: option 'health.degraded' must not exceed 'health.unhealthy'")
  }
  for (const { name, fullMode } of settings) {
    const { name: backend, capabilities: { fullModes } } = backends.get(name)!
    if (fullModes?.includes(fullMode) === false) throw new NotSupportedError(backend, name, `fullMode '${fullMode}'; choose one of '${fullModes.join("', '")}'`)
  }
  for (const name of Object.keys(options.queues ?? {})) {
    if (!works.has(name) && !backends.get(name)!.capabilities.durable) throw new NobodyWorksError('fastify-background-jobs options', name)
  }
  if (options.admin && isAsyncWithDone(options.admin.authorize)) {
    throw new InvalidOptionsError("fastify-background-jobs options: option 'admin.authorize' must not be an async function that takes done; leave out the third parameter, or async")
  }
  return Object.freeze({
    queues: settings,
    backends,
    retry: resolveRetryPolicy(options.retry ?? {}),
    unknownJobs: resolveUnknownJobs(options.unknownJobs),
    shutdown: { mode: options.shutdown?.mode ?? 'drain', timeout: options.shutdown?.timeout ?? 30_000 },
    metrics: metrics !== false && {
      path: orDefault(metrics.path, '/metrics'),
      prefix: metrics.prefix ?? 'jobs_',
      registry: metrics.registry ?? undefined,
      defaultMetrics: metrics.defaultMetrics ?? false,
      buckets: resolveBuckets(metrics.buckets ?? undefined)
    },
    health: health !== false && {
      path: withoutTrailingSlash(health.path ?? '/health'),
      degraded: health.degraded ?? 0.75,
      unhealthy: health.unhealthy ?? 0.95,
      stalledAfter: health.stalledAfter ?? 60_000,
      ready: { capacity: orDefault(health.ready?.capacity, 'memory'), backend: health.ready?.backend ?? false }
    },
    routes: statusPrefix !== false && { prefix },
    hideRoutes: routes !== false && (routes.hide ?? false),
    admin: options.admin
      ? { prefix: `${prefix}/admin`, authorize: options.admin.authorize, readOnly: options.admin.readOnly ?? false, security: options.admin.security }
      : undefined,
    works,
    schedules: orDefault(options.schedules, true),
    services: { exitCode: orDefault(options.services?.exitCode, true) },
    di: { requestScopes: options.di?.requestScopes ?? false },
    ajv: options.ajv ?? {},
    clock: options.clock ?? systemClock
  })
}

/** Throws FST_JOBS_UNKNOWN_QUEUE. */
function worksOn (work: NonNullable<BackgroundJobsOptions['work']>, queues: readonly QueueSettings[]): Set<string> {
  const names = queues.map(({ name }) => name)
  const unknown = typeof work === 'object' ? work.find((name) => !names.includes(name)) : undefined
  if (unknown !== undefined) throw new UnknownQueueError(unknown, names.join(', '))
  return new Set(typeof work === 'object' ? work : work ? names : [])
}

/** An option that may be false: null is false. */
function orDefault<Given> (given: Given | null | undefined, byDefault: Given): Given | false {
  return given === null ? false : given ?? byDefault
}

function resolveUnknownJobs (unknownJobs: BackgroundJobsOptions['unknownJobs']): Required<UnknownJobsOptions> {
  const { retryAfter = 30_000, giveUpAfter = 24 * 60 * 60 * 1000 } = unknownJobs === 'deadLetter' ? { giveUpAfter: 0 } : unknownJobs ?? {}
  return { retryAfter, giveUpAfter }
}

function resolveBuckets (buckets: readonly number[] = DEFAULT_BUCKETS): readonly number[] {
  const wrong = buckets.findIndex((bound, index) => index > 0 && bound <= buckets[index - 1]!)
  if (wrong !== -1) {
    throw new InvalidOptionsError(`fastify-background-jobs options: option 'metrics.buckets' must rise, but ${buckets[wrong - 1]} is followed by ${buckets[wrong]}; sort the bounds and leave out what is there twice`)
  }
  return Object.freeze([...buckets])
}

function withoutTrailingSlash (path: string): string {
  return path.replace(/\/$/, '')
}

// Its promise and `done` could say different things. Fastify refuses such hooks, too.
function isAsyncWithDone (authorize: AdminOptions['authorize']): boolean {
  return authorize.length >= 3 && Object.prototype.toString.call(authorize) === '[object AsyncFunction]'
}

function queueSettings (queue: string, given: QueueOptions): QueueSettings {
  return Object.freeze({
    name: queue,
    capacity: given.capacity ?? 1000,
    concurrency: given.concurrency ?? 10,
    fullMode: given.fullMode ?? 'wait',
    enqueueTimeout: given.enqueueTimeout,
    history: given.history ?? 1000,
    deadLetters: given.deadLetters ?? 1000,
    maxPayloadBytes: given.maxPayloadBytes ?? 1024 * 1024
  })
}
