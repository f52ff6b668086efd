import type { FastifyInstance } from 'fastify'
import type { EnqueueResult } from '../types/backend.ts'
import type { DeadLetter, EnvelopeOptions, JobEnvelope, JobView } from '../types/job.ts'
import type { DelegateHandler, EnqueuedJob, JobDefinition, JobHooks, JobsStatus, JobToEnqueue } from '../types/jobs.ts'
import type { DefineOptions, DelegateOptions, EnqueueOptions } from '../types/options.ts'
import { InvalidOptionsError, kindOf, NotSerializableError, stoppingError, UnknownJobError } from './errors.ts'
import { checkDelegateOptions, checkEnqueueManyOptions, checkEnqueueOptions, checkIdleOptions, checkListOptions } from './options.ts'
import type { Queue } from './queue.ts'
import { Definition } from './registry.ts'
import type { Runtime } from './runtime.ts'
import { uuid } from './uuid.ts'

type Handler = (...args: any[]) => unknown

/** `fastify.jobs`: the public face of the runtime, bound to the instance that it was read from. */
export class JobsFacade {
  readonly #runtime: Runtime
  readonly #instance: FastifyInstance
  readonly deadLetters

  constructor (runtime: Runtime, instance: FastifyInstance) {
    this.#runtime = runtime
    this.#instance = instance
    this.deadLetters = {
      list: async (options: { queue?: string, limit?: number } = {}): Promise<DeadLetter[]> => {
        checkListOptions(options, 'call of deadLetters.list')
        return runtime.inspection.listDead(options)
      },
      retry: async (id: string): Promise<boolean> => runtime.inspection.retry(checkId(id, 'deadLetters.retry')),
      remove: async (id: string): Promise<boolean> => runtime.inspection.remove(checkId(id, 'deadLetters.remove'))
    }
  }

  define (name: string, optionsOrHandler: DefineOptions | Handler, handler?: Handler): JobDefinition {
    const options = arguments.length < 3 && typeof optionsOrHandler === 'function' ? {} : optionsOrHandler as DefineOptions
    return this.#runtime.registry.define(this.#instance, name, options, arguments.length < 3 ? optionsOrHandler : handler)
  }

  enqueue (job: string | JobDefinition | DelegateHandler, payloadOrOptions?: unknown, options?: EnqueueOptions): Promise<EnqueuedJob> {
    try {
      if (typeof job === 'function') return this.#enqueueDelegate(job, payloadOrOptions as DelegateOptions)
      const definition = this.#definition(job)
      return this.#hand(definition, this.#envelope(definition, payloadOrOptions, options), options?.signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async enqueueMany (jobs: readonly JobToEnqueue[], options: { signal?: AbortSignal } = {}): Promise<EnqueuedJob[]> {
    checkEnqueueManyOptions(options, 'call of enqueueMany')
    const { signal } = options
    if (!Array.isArray(jobs)) throw new InvalidOptionsError(`call of enqueueMany: the jobs must be an array, got ${kindOf(jobs)}`)
    const wrong = jobs.findIndex((job) => typeof job !== 'object' || job === null)
    if (wrong !== -1) throw new InvalidOptionsError(`call of enqueueMany: element ${wrong} must be an object with 'job' and 'payload', got ${kindOf(jobs[wrong])}`)
    const signalled = jobs.findIndex((job) => job.signal !== undefined)
    if (signalled !== -1) throw new InvalidOptionsError(`call of enqueueMany: element ${signalled} has a 'signal' of its own; give one for all as enqueueMany(jobs, { signal })`)
    const definitions = jobs.map(({ job }) => this.#definition(job))
    const envelopes = jobs.map(({ job, payload, ...options }, index) => this.#envelope(definitions[index]!, payload, options))
    const enqueued: EnqueuedJob[] = new Array(jobs.length)
    for (const queue of new Set(definitions.map(({ lane }) => lane))) {
      const indices = [...envelopes.keys()].filter((index) => definitions[index]!.lane === queue)
      try {
        signal?.throwIfAborted()
        // The app may have begun to stop while an earlier queue's jobs waited.
        if (!this.#accepts(queue)) throw this.#runtime.lifecycle.stopping.reason
        const results = await queue.backend.enqueue(queue.name, indices.map((index) => envelopes[index]!), { signal })
        indices.forEach((index, at) => { enqueued[index] = this.#recordEnqueue(definitions[index]!, envelopes[index]!, jobs[index]!.payload, results[at]!) })
      } catch (error) {
        for (const [index, { counters }] of definitions.entries()) {
          if (enqueued[index] === undefined) counters.rejected++
        }
        throw this.#withName(error, definitions[indices[0]!]!)
      }
    }
    return enqueued
  }

  status (): Promise<JobsStatus> {
    return this.#runtime.inspection.status()
  }

  async get (id: string): Promise<JobView & { attempts: number } | undefined> {
    return this.#runtime.inspection.get(checkId(id, 'get'))
  }

  async cancel (id: string): Promise<boolean> {
    return this.#runtime.inspection.cancel(checkId(id, 'cancel'))
  }

  pause (queue?: string): void {
    for (const { worker } of this.#runtime.queuesNamed(queue)) worker.pause()
    this.#runtime.idle.check()
  }

  resume (queue?: string): void {
    for (const { worker } of this.#runtime.queuesNamed(queue)) worker.resume()
  }

  addHook<Name extends keyof JobHooks> (name: Name, hook: JobHooks[Name]): void {
    this.#runtime.hooks.add(name, hook)
  }

  async idle (options: { delayed?: boolean } = {}): Promise<void> {
    checkIdleOptions(options, 'call of idle')
    return this.#runtime.idle.wait({ delayed: options.delayed ?? false, paused: true })
  }

  #definition (job: string | JobDefinition): Definition {
    if (job instanceof Definition) {
      if (this.#runtime.registry.find(job.name) !== job) throw new UnknownJobError(job.name)
      return job
    }
    if (typeof job !== 'string') throw new InvalidOptionsError(`enqueue: the job must be the name of a job or a definition, got ${kindOf(job)}`)
    return this.#runtime.registry.get(job)
  }

  #envelope (definition: Definition, payload: unknown, options: EnqueueOptions | undefined): JobEnvelope {
    if (options !== undefined) checkEnqueueOptions(options, `enqueue of job '${definition.name}'`)
    this.#assertAccepts(definition)
    definition.checkPayload(payload)
    return this.#newEnvelope(definition.name, payload, options, options && envelopeOptions(definition.name, options, this.#runtime.clock.now()))
  }

  #newEnvelope (name: string, payload: unknown, options: EnqueueOptions | undefined, rare: EnvelopeOptions | undefined): JobEnvelope {
    return {
      id: options?.id ?? uuid(),
      name,
      payload,
      attempt: 1,
      enqueuedAt: this.#runtime.clock.now(),
      correlationId: options?.correlationId,
      options: rare
    }
  }

  #enqueueDelegate (delegate: DelegateHandler, options: DelegateOptions): Promise<EnqueuedJob> {
    checkDelegateOptions(options ?? {}, 'enqueue of an inline function')
    const { name, queue: queueName = 'default', ...rest } = options
    const queue = this.#runtime.queue(queueName)
    if (!queue.backend.capabilities.delegates) throw new NotSerializableError(name, queue.backend.name, queueName)
    this.#assertAccepts(queue.delegates, name)
    const rare = {
      attempts: queue.delegates.attempts,
      ...envelopeOptions(name, rest, this.#runtime.clock.now()),
      delegate: delegate as (...args: never[]) => unknown
    }
    return this.#hand(queue.delegates, this.#newEnvelope(name, undefined, rest, rare), rest.signal)
  }

  #hand (definition: Definition, envelope: JobEnvelope, signal: AbortSignal | undefined): Promise<EnqueuedJob> {
    const result = signal?.aborted ? undefined : definition.lane.backend.offer?.(definition.queue, envelope)
    if (result !== undefined) return Promise.resolve(this.#recordEnqueue(definition, envelope, envelope.payload, result))
    return this.#handOver(definition, envelope, signal)
  }

  async #handOver (definition: Definition, envelope: JobEnvelope, signal: AbortSignal | undefined): Promise<EnqueuedJob> {
    const { payload } = envelope
    try {
      signal?.throwIfAborted()
      const [result] = await definition.lane.backend.enqueue(definition.queue, [envelope], { signal })
      return this.#recordEnqueue(definition, envelope, payload, result!)
    } catch (error) {
      definition.counters.rejected++
      throw this.#withName(error, definition)
    }
  }

  // Backends fail every waiting enqueue with one and the same reason.
  #withName (error: unknown, { name }: Definition): unknown {
    return error === this.#runtime.lifecycle.stopping.reason ? stoppingError(name) : error
  }

  // The payload apart: the job may have run or been dropped by now, and the backend let go of it.
  #recordEnqueue (definition: Definition, envelope: JobEnvelope, payload: unknown, { id, status }: EnqueueResult): EnqueuedJob {
    if (status === 'enqueued') {
      definition.counters.queued++
      this.#runtime.hooks.tell('onEnqueue', definition, envelope.payload === payload ? envelope : { ...envelope, payload })
    }
    return { id, name: envelope.name, queue: definition.queue, status }
  }

  // A durable queue goes on taking jobs while the app drains: they are kept for the next process.
  #accepts ({ backend }: Queue): boolean {
    const { lifecycle } = this.#runtime
    return lifecycle.accepts || (backend.capabilities.durable && lifecycle.state !== 'stopped')
  }

  #assertAccepts ({ lane, counters, name }: Definition, label = name): void {
    if (this.#accepts(lane)) return
    counters.rejected++
    throw stoppingError(label)
  }
}

function checkId (id: unknown, call: string): string {
  if (typeof id !== 'string') throw new InvalidOptionsError(`call of ${call}: the id must be a string, got ${kindOf(id)}`)
  return id
}

function envelopeOptions (name: string, options: EnqueueOptions, now: number): EnvelopeOptions | undefined {
  const { id, delay, runAt, priority, uniqueKey, uniqueFor, attempts } = options
  if (delay !== undefined && runAt !== undefined) throw new InvalidOptionsError(`enqueue of job '${name}': give 'delay' or 'runAt', not both`)
  if (uniqueFor !== undefined && uniqueKey === undefined) throw new InvalidOptionsError(`enqueue of job '${name}': 'uniqueFor' needs a 'uniqueKey'`)
  const time = runAt === undefined ? now + (delay ?? 0) : Number(runAt)
  // What was due before it was enqueued is due now.
  const at = time <= now ? undefined : time
  if (id === undefined && at === undefined && priority === undefined && uniqueKey === undefined && attempts === undefined) return undefined
  if (Number.isNaN(at)) throw new InvalidOptionsError(`enqueue of job '${name}': option 'runAt' is an invalid Date`)
  return {
    ...(id !== undefined && { givenId: true }),
    ...(at !== undefined && { runAt: at }),
    ...(priority !== undefined && { priority }),
    // With the name's length, two jobs' keys never meet, whatever queue they share.
    ...(uniqueKey !== undefined && { uniqueKey: `${name.length}:${name}:${uniqueKey}` }),
    ...(uniqueFor !== undefined && { uniqueFor }),
    ...(attempts !== undefined && { attempts })
  }
}
