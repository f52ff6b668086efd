import type { FastifyInstance } from 'fastify'
import type { DeadLetter, JobView } from '../types/job.ts'
import type { DelegateHandler, EnqueuedJob, JobDefinition, JobHooks, Jobs, JobsStatus, JobToEnqueue } from '../types/jobs.ts'
import type { DeclareOptions, DefineOptions, DelegateOptions, EnqueueOptions } from '../types/options.ts'
import type { ScheduleOptions, ScheduleRule } from '../types/schedules.ts'
import type { Service, ServiceOptions } from '../types/services.ts'
import type { Origin } from './enqueuer.ts'
import { InvalidOptionsError, kindOf, UnknownJobError } from './errors.ts'
import { checkDelegateOptions, checkEnqueueManyOptions, checkEnqueueOptions, checkIdleOptions, checkListOptions } from './options.ts'
import { Definition } from './registry.ts'
import type { Queue } from './queue.ts'
import type { Runtime } from './runtime.ts'
import { createSchedule } from './schedules/create-schedule.ts'
import { checkFunction } from './validation.ts'

type Handler = (...args: any[]) => unknown

/** `fastify.jobs`: the public face of the runtime, bound to the instance that it was read from. */
export class JobsFacade {
  readonly #runtime: Runtime
  readonly #instance: FastifyInstance
  readonly deadLetters
  readonly schedules

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
    const { scheduler } = runtime
    this.schedules = {
      list: () => scheduler.list(),
      pause: (name: string) => {
        runtime.lifecycle.assertNotStopped('schedules.pause()')
        scheduler.pause(name)
      },
      resume: (name: string) => {
        runtime.lifecycle.assertNotStopped('schedules.resume()')
        scheduler.resume(name)
      },
      run: (name: string) => scheduler.run(name)
    }
  }

  /** For this package's other plugins, and no part of the public face. Undefined as long as no such job is defined, or where another copy of the package has it. */
  static queueOf (jobs: Jobs, job: string): Queue | undefined {
    return #runtime in jobs ? (jobs as unknown as JobsFacade).#runtime.registry.find(job)?.lane : undefined
  }

  define (name: string, optionsOrHandler: DefineOptions | Handler, handler?: Handler): JobDefinition {
    const options = arguments.length < 3 && typeof optionsOrHandler === 'function' ? {} : optionsOrHandler as DefineOptions
    return this.#runtime.registry.define(this.#instance, name, options, arguments.length < 3 ? optionsOrHandler : handler)
  }

  declare (name: string, options?: DeclareOptions): JobDefinition {
    return this.#runtime.registry.declare(this.#instance, name, options)
  }

  enqueue (job: string | JobDefinition | DelegateHandler, payloadOrOptions?: unknown, options?: EnqueueOptions): Promise<EnqueuedJob> {
    return this.enqueueFor(undefined, job, payloadOrOptions, options)
  }

  enqueueMany (jobs: readonly JobToEnqueue[], options?: { signal?: AbortSignal }): Promise<EnqueuedJob[]> {
    return this.enqueueManyFor(undefined, jobs, options)
  }

  /** `origin`: whom it is for. */
  enqueueFor (origin: Origin | undefined, job: string | JobDefinition | DelegateHandler, payloadOrOptions: unknown, options: EnqueueOptions | undefined): Promise<EnqueuedJob> {
    try {
      if (typeof job === 'function') return this.#enqueueDelegate(job, payloadOrOptions as DelegateOptions, origin)
      const definition = this.#definition(job)
      if (options !== undefined) checkEnqueueOptions(options, `enqueue of job '${definition.name}'`)
      return this.#runtime.enqueuer.enqueue(definition, payloadOrOptions, options, undefined, origin)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async enqueueManyFor (origin: Origin | undefined, jobs: readonly JobToEnqueue[], options: { signal?: AbortSignal } = {}): Promise<EnqueuedJob[]> {
    checkEnqueueManyOptions(options, 'call of enqueueMany')
    if (!Array.isArray(jobs)) throw new InvalidOptionsError(`call of enqueueMany: the jobs must be an array, got ${kindOf(jobs)}`)
    const wrong = jobs.findIndex((job) => typeof job !== 'object' || job === null)
    if (wrong !== -1) throw new InvalidOptionsError(`call of enqueueMany: element ${wrong} must be an object with 'job' and 'payload', got ${kindOf(jobs[wrong])}`)
    const signalled = jobs.findIndex((job) => job.signal !== undefined)
    if (signalled !== -1) throw new InvalidOptionsError(`call of enqueueMany: element ${signalled} has a 'signal' of its own; give one for all as enqueueMany(jobs, { signal })`)
    const definitions = jobs.map(({ job, payload, ...rest }) => {
      const definition = this.#definition(job)
      checkEnqueueOptions(rest, `enqueue of job '${definition.name}'`)
      return definition
    })
    return this.#runtime.enqueuer.enqueueMany(definitions, jobs, options.signal, origin)
  }

  schedule (name: string, rule: ScheduleRule, job: string | JobDefinition | DelegateHandler, options?: ScheduleOptions): void {
    this.#runtime.scheduler.add(createSchedule(this.#runtime, name, rule, job, options))
  }

  service (name: string, service: Service, options?: ServiceOptions): void {
    this.#runtime.services.add(name, service, options)
  }

  get metrics (): Jobs['metrics'] {
    return this.#runtime.metrics
  }

  status (): Promise<JobsStatus> {
    return this.#runtime.inspection.status()
  }

  async get (id: string): Promise<JobView | undefined> {
    return this.#runtime.inspection.get(checkId(id, 'get'))
  }

  async cancel (id: string): Promise<boolean> {
    return this.#runtime.inspection.cancel(checkId(id, 'cancel'))
  }

  pause (queue?: string): void {
    this.#runtime.lifecycle.assertNotStopped('pause()')
    for (const { worker } of this.#runtime.queuesNamed(queue)) worker.pause()
    this.#runtime.idle.check()
  }

  resume (queue?: string): void {
    this.#runtime.lifecycle.assertNotStopped('resume()')
    for (const { worker } of this.#runtime.queuesNamed(queue)) worker.resume()
  }

  addHook<Name extends keyof JobHooks> (name: Name, hook: JobHooks[Name]): void {
    this.#runtime.lifecycle.assertNotStopped('addHook()')
    this.#runtime.hooks.add(name, hook)
  }

  async idle (options: { delayed?: boolean } = {}): Promise<void> {
    checkIdleOptions(options, 'call of idle')
    return this.#runtime.idle.wait(options.delayed ?? false)
  }

  #definition (job: string | JobDefinition): Definition {
    if (job instanceof Definition) {
      if (this.#runtime.registry.find(job.name) !== job) throw new UnknownJobError(job.name)
      return job
    }
    if (typeof job !== 'string') throw new InvalidOptionsError(`enqueue: the job must be the name of a job or a definition, got ${kindOf(job)}`)
    return this.#runtime.registry.get(job)
  }

  #enqueueDelegate (delegate: DelegateHandler, options: DelegateOptions, origin: Origin | undefined): Promise<EnqueuedJob> {
    checkDelegateOptions(options ?? {}, 'enqueue of an inline function')
    checkFunction(delegate, 1, `enqueue of the inline function '${options.name}': it`)
    const { queue = 'default', ...rest } = options
    return this.#runtime.enqueuer.enqueueDelegate(delegate, this.#runtime.queue(queue), rest, undefined, origin)
  }
}

function checkId (id: unknown, call: string): string {
  if (typeof id !== 'string') throw new InvalidOptionsError(`call of ${call}: the id must be a string, got ${kindOf(id)}`)
  return id
}
