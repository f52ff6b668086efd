import type { FastifyInstance } from 'fastify'
import type { ValidateFunction } from 'ajv'
import type { JobEnvelope } from '../types/job.ts'
import type { JobDefinition, JobHandler } from '../types/jobs.ts'
import type { BackoffFunction, DefineOptions } from '../types/options.ts'
import { InvalidOptionsError, InvalidPayloadError, kindOf, UnknownJobError } from './errors.ts'
import { JobCounters } from './observability/counters.ts'
import { checkDefineOptions } from './options.ts'
import { resolveRetryPolicy, type RetryPolicy } from './retry-policy.ts'
import type { PayloadCompiler } from './validation.ts'
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
  readonly instance: FastifyInstance
  readonly counters = new JobCounters()
  readonly #validate: ValidateFunction | undefined
  readonly #compiler: PayloadCompiler

  constructor (
    name: string, lane: Queue, policy: RetryPolicy, options: DefineOptions, handler: JobHandler | undefined,
    instance: FastifyInstance, compiler: PayloadCompiler
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
    this.instance = instance
    this.#compiler = compiler
    this.#validate = options.schema === undefined ? undefined : compile(compiler, name, options.schema as object)
  }

  /** Throws FST_JOBS_INVALID_PAYLOAD with Ajv's message. */
  checkPayload (payload: unknown): void {
    const validate = this.#validate
    if (validate !== undefined && !validate(payload)) throw new InvalidPayloadError(`job '${this.name}'`, this.#compiler.explain(validate))
  }
}

function compile (compiler: PayloadCompiler, name: string, schema: object): ValidateFunction {
  let validate: ValidateFunction
  try {
    validate = compiler.compile(schema)
  } catch (error) {
    throw new InvalidOptionsError(`definition of job '${name}': option 'schema' is not a valid JSON Schema (${(error as Error).message})`, { cause: error })
  }
  if ('$async' in validate) throw new InvalidOptionsError(`definition of job '${name}': option 'schema' is asynchronous ($async); payloads are checked at once`)
  return validate
}

/** The defined jobs, by name. */
export class Registry {
  readonly #definitions = new Map<string, Definition>()
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
    // Databases refuse NUL, and lone surrogates have no UTF-8.
    if (typeof name !== 'string' || name === '' || name.length > 128 || /[\0\ud800-\udfff]/u.test(name)) {
      throw new InvalidOptionsError(`job name: it must be a well-formed string of 1 to 128 characters without NUL, got ${kindOf(name)}`)
    }
    if (name === 'delegate') throw new InvalidOptionsError("definition of job 'delegate': the metrics call inline functions so; choose another name")
    if (!this.#open) throw new InvalidOptionsError(`definition of job '${name}': it came after 'ready'; define jobs while plugins are registered`)
    if (this.#definitions.has(name)) throw new InvalidOptionsError(`definition of job '${name}': it is defined already`)
    if (typeof handler !== 'function') throw new InvalidOptionsError(`definition of job '${name}': the handler must be a function, got ${kindOf(handler)}`)
    checkDefineOptions(options, `definition of job '${name}'`)
    const policy = resolveRetryPolicy(options, this.#retry)
    const definition = new Definition(name, this.#queueOf(options.queue ?? 'default'), policy, options, handler as JobHandler, instance, this.#compiler)
    this.#definitions.set(name, definition)
    return definition
  }

  /** No definition is taken from now on. */
  close (): void {
    this.#open = false
  }

  /** Throws FST_JOBS_UNKNOWN_JOB. */
  get (name: string): Definition {
    const definition = this.#definitions.get(name)
    if (definition === undefined) throw new UnknownJobError(name)
    return definition
  }

  find (name: string): Definition | undefined {
    return this.#definitions.get(name)
  }

  /** What a job of that queue counts as and runs as; undefined when only another version of the app defines it. */
  definitionOf ({ name, options }: JobEnvelope, { delegates }: Queue): Definition | undefined {
    return options?.delegate === undefined ? this.#definitions.get(name) : delegates
  }

  all (): Iterable<Definition> {
    return this.#definitions.values()
  }
}
