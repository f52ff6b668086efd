import type { JobDefinition } from '../../types/jobs.ts'
import type { OutboxOptions, Publish } from '../../types/outbox.ts'
import type { BackoffFunction } from '../../types/options.ts'
import { InvalidOptionsError } from '../errors.ts'
import { backoffFunction, backoffSchema } from '../retry-policy.ts'
import { checkFunction, checkName, object, optionsCheck } from '../validation.ts'
import type { OutboxStore } from './store.ts'

const DAY = 86_400_000
/** Milliseconds that both databases can add to a time. */
const CENTURY = 36_525 * DAY

const checkOptions = optionsCheck(object({
  store: { type: 'object', required: ['open'], properties: { open: { kind: 'function' } } },
  publish: {},
  job: { if: { type: 'object' }, then: { required: ['name'] }, else: { type: 'string', minLength: 1 } },
  name: {},
  every: { type: 'number', minimum: 1, maximum: DAY },
  batchSize: { type: 'integer', minimum: 1, maximum: 10_000 },
  concurrency: { type: 'integer', minimum: 1, maximum: 1000 },
  attempts: { type: 'integer', minimum: 1 },
  backoff: backoffSchema,
  timeout: { type: 'number', exclusiveMinimum: 0, maximum: DAY },
  retention: { type: 'number', minimum: 0, maximum: CENTURY },
  maxPayloadBytes: { type: 'integer', minimum: 1 },
  onParked: {}
}, ['store']))

export interface ResolvedOutboxOptions {
  readonly store: OutboxStore
  readonly destination: { readonly publish: Publish } | { readonly job: string | JobDefinition<any> } // Any payload: see OutboxOptions.
  readonly name: string
  readonly every: number
  readonly batchSize: number
  readonly concurrency: number
  readonly attempts: number
  readonly backoff: BackoffFunction
  readonly timeout: number
  readonly retention: number
  readonly maxPayloadBytes: number
  readonly onParked: OutboxOptions['onParked']
}

/** Checks the plugin's options and completes them with the defaults; nothing reads the raw ones afterwards. */
export function resolveOptions (options: OutboxOptions): ResolvedOutboxOptions {
  const subject = 'fastify-background-jobs/outbox options'
  checkOptions(options, subject)
  const { name = 'outbox', backoff, publish, job, onParked } = options
  checkName(name, `${subject}: option 'name'`)
  if ((publish === undefined) === (job === undefined)) throw new InvalidOptionsError(`${subject}: give exactly one of 'publish' and 'job'`)
  if (publish !== undefined) checkFunction(publish, 2, `${subject}: option 'publish'`)
  if (onParked !== undefined) checkFunction(onParked, 2, `${subject}: option 'onParked'`)
  return Object.freeze({
    store: options.store,
    destination: publish === undefined ? { job: job! } : { publish },
    name,
    every: options.every ?? 1000,
    batchSize: options.batchSize ?? 100,
    concurrency: options.concurrency ?? 10,
    attempts: options.attempts ?? 10,
    backoff: backoffFunction(typeof backoff === 'function' ? backoff : { delay: 1000, ...backoff }),
    timeout: options.timeout ?? 30_000,
    retention: options.retention ?? 7 * DAY,
    maxPayloadBytes: options.maxPayloadBytes ?? 1024 * 1024,
    onParked
  })
}
