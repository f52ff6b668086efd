import type { FastifyInstance } from 'fastify'
import type { EnvelopeOptions, JobEnvelope } from '../types/job.ts'
import type { JobDefinition, JobHandler } from '../types/jobs.ts'
import type { BackoffFunction, DeclareOptions, DefineOptions } from '../types/options.ts'
import { InvalidOptionsError, kindOf, UnknownJobError } from './errors.ts'
import type { PayloadCompiler } from './json-schema.ts'
import { JobCounters } from './observability/counters.ts'
import { checkDeclareOptions, checkDefineOptions } from './options.ts'
import { createPayloadSchema, type PayloadSchema } from './payload-schema.ts'
import { resolveRetryPolicy, type RetryPolicy } from './retry-policy.ts'
import { checkFunction } from './validation.ts'
import type { Queue } from './queue.ts'

/** A job as it was defined, with everything that enqueueing and running it needs. */
export class Definition implements JobDefinition {
  readonly name: string
  readonly queue: string
  readonly lane: Queue
  readonly attempts: number
  readonly backoff: BackoffFunction
  readonly maxStalls: number
  readonly timeout: number | undefined
  readonly retryable: ((error: any) => boolean) | undefined
  readonly handler: JobHandler | undefined
  readonly version: number
  /** What jobs carry to other processes; absent where they stay here. */
  readonly stamp: Pick<EnvelopeOptions, 'version' | 'attempts'> | undefined
  readonly upgrade: DefineOptions['upgrade']
  readonly instance: FastifyInstance
  readonly counters: JobCounters
  /** The handler gets what `checkPayload` returns, on every backend. */
  readonly transformsPayload: boolean
  readonly #schema: PayloadSchema | undefined

  constructor (
    name: string, lane: Queue, policy: RetryPolicy, options: DefineOptions, handler: JobHandler | undefined,
    instance: FastifyInstance, schema: PayloadSchema | undefined
  ) {
    this.name = name
    this.queue = lane.name
    this.lane = lane
    this.attempts = policy.attempts
    this.backoff = policy.backoff
    this.maxStalls = policy.maxStalls
    this.timeout = options.timeout
    this.retryable = options.retryable
    this.handler = handler
    this.version = options.version ?? 1
    this.stamp = lane.backend.capabilities.durable ? stampOf(options, handler) : undefined
    this.upgrade = options.upgrade
    this.instance = instance
    this.counters = new JobCounters(lane.buckets)
    this.#schema = schema
    this.transformsPayload = schema?.transforms ?? false
  }

  /** Its handler lives in another process. */
  get isDeclared (): boolean {
    return this.handler === undefined && this.name !== DELEGATE
  }

  /** Throws FST_JOBS_INVALID_OPTIONS when the schema refers to another one that is not there by now. */
  completeSchema (): void {
    this.#schema?.complete()
  }

  /** Returns what the handler gets. Throws FST_JOBS_INVALID_PAYLOAD with the schema's message. */
  checkPayload (payload: unknown): unknown {
    return this.#schema === undefined ? payload : this.#schema.check(payload)
  }
}

function stampOf ({ version = 1, attempts }: DefineOptions, handler: JobHandler | undefined): Definition['stamp'] {
  // Who runs a declared job does not know what was declared.
  const declared = handler === undefined && attempts !== undefined
  if (version === 1 && !declared) return undefined
  return { ...(version > 1 && { version }), ...(declared && { attempts }) }
}

/** What inline functions count as; no job has this name. */
export const DELEGATE = 'delegate'

/** The defined jobs, by name. */
export class Registry {
  readonly #definitions = new Map<string, Definition>()
  /** What jobs run as that were enqueued under a former name: a definition of that name, so that logs, metrics and history keep it. */
  readonly #aliases = new Map<string, { readonly alias: Definition, readonly of: string }>()
  readonly #retry: RetryPolicy
  readonly #compiler: PayloadCompiler
  readonly #queueOf: (name: string) => Queue
  #open = true

  constructor (retry: RetryPolicy, compiler: PayloadCompiler, queueOf: (name: string) => Queue) {
    this.#retry = retry
    this.#compiler = compiler
    this.#queueOf = queueOf
  }

  define (instance: FastifyInstance, name: unknown, options: DefineOptions = {}, handler: unknown): Definition {
    checkJobName(name, 'job name')
    this.#assertOpen(`definition of job '${name}'`)
    this.#assertFree(name, `definition of job '${name}'`)
    checkFunction(handler, 2, `definition of job '${name}': the handler`)
    checkDefineOptions(options, `definition of job '${name}'`)
    const { aliases = [], upgrade, version = 1 } = options
    if (upgrade !== undefined && version === 1) throw new InvalidOptionsError(`definition of job '${name}': option 'upgrade' needs a 'version' of 2 or more; there is nothing older than version 1`)
    this.#checkAliases(name, aliases)
    const policy = resolveRetryPolicy(options, this.#retry)
    const queue = this.#queueOf(options.queue ?? 'default')
    queue.assertIsWorkedOn(`definition of job '${name}'`)
    const schema = this.#schemaOf(name, options, instance)
    const define = (name: string): Definition => new Definition(name, queue, policy, options, handler as JobHandler, instance, schema)
    const definition = define(name)
    this.#definitions.set(name, definition)
    for (const alias of aliases) this.#aliases.set(alias, { alias: define(alias), of: name })
    return definition
  }

  declare (instance: FastifyInstance, name: unknown, options: DeclareOptions = {}): Definition {
    checkJobName(name, 'job name')
    const subject = `declaration of job '${name}'`
    this.#assertOpen(subject)
    this.#assertFree(name, subject)
    checkDeclareOptions(options, subject)
    const queue = this.#queueOf(options.queue ?? 'default')
    if (!queue.backend.capabilities.durable) throw new InvalidOptionsError(`${subject}: queue '${queue.name}' lives in the memory of this process, where no other process finds its jobs; give the queue a durable backend, or define the job here`)
    const definition = new Definition(name, queue, resolveRetryPolicy(options, this.#retry), options, undefined, instance, this.#schemaOf(name, options, instance))
    this.#definitions.set(name, definition)
    return definition
  }

  /** No definition is taken from now on. Throws FST_JOBS_INVALID_OPTIONS when one refers to a shared schema that nobody added. */
  close (): void {
    this.#open = false
    for (const definition of this.all()) definition.completeSchema()
  }

  /** What a job is enqueued as. Throws FST_JOBS_UNKNOWN_JOB, or FST_JOBS_INVALID_OPTIONS for an alias. */
  get (name: string): Definition {
    const definition = this.#definitions.get(name)
    if (definition !== undefined) return definition
    const former = this.#aliases.get(name)
    if (former === undefined) throw new UnknownJobError(name)
    throw new InvalidOptionsError(`enqueue of job '${name}': it is an alias of job '${former.of}'; enqueue it by that name`)
  }

  /** Not by an alias. */
  find (name: string): Definition | undefined {
    return this.#definitions.get(name)
  }

  /** What a job of that name runs as, also by an alias. */
  running (name: string): Definition | undefined {
    return this.#definitions.get(name) ?? this.#aliases.get(name)?.alias
  }

  /** What a job of that queue counts as and runs as; undefined when only another version of the app defines it. */
  definitionOf ({ name, options }: JobEnvelope, { delegates }: Queue): Definition | undefined {
    return options?.delegate === undefined ? this.running(name) : delegates
  }

  * all (): Generator<Definition> {
    yield * this.#definitions.values()
    for (const { alias } of this.#aliases.values()) yield alias
  }

  #schemaOf (name: string, { schema }: DeclareOptions, instance: FastifyInstance): PayloadSchema | undefined {
    return schema === undefined ? undefined : createPayloadSchema(name, schema, instance, this.#compiler)
  }

  #assertOpen (subject: string): void {
    if (!this.#open) throw new InvalidOptionsError(`${subject}: it came after 'ready'; define jobs while plugins are registered`)
  }

  #assertFree (name: string, subject: string): void {
    if (name === DELEGATE) throw new InvalidOptionsError(`${subject}: the metrics call inline functions '${DELEGATE}'; choose another name`)
    if (this.#definitions.has(name)) throw new InvalidOptionsError(`${subject}: job '${name}' is declared or defined already`)
    const former = this.#aliases.get(name)
    if (former !== undefined) throw new InvalidOptionsError(`${subject}: '${name}' is an alias of job '${former.of}' already`)
  }

  #checkAliases (name: string, aliases: readonly string[]): void {
    const subject = `definition of job '${name}': option 'aliases'`
    for (const alias of aliases) {
      checkJobName(alias, subject)
      this.#assertFree(alias, subject)
    }
    if (new Set([name, ...aliases]).size <= aliases.length) throw new InvalidOptionsError(`${subject}: no name may be there twice, nor the job's own`)
  }
}

// Databases refuse NUL, and lone surrogates have no UTF-8.
const JOB_NAME = /^[^\0\ud800-\udfff]{1,128}$/u

function checkJobName (name: unknown, subject: string): asserts name is string {
  if (typeof name === 'string' && name.length <= 128 && JOB_NAME.test(name)) return
  throw new InvalidOptionsError(`${subject}: it must be a well-formed string of 1 to 128 characters without NUL, got ${kindOf(name)}`)
}
