import type { AwilixContainer } from 'awilix'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Backend, Clock, QueueSettings } from '../types/backend.ts'
import type { JobEnvelope } from '../types/job.ts'
import type { Jobs } from '../types/jobs.ts'
import { Enqueuer } from './enqueuer.ts'
import { logFields } from './envelope.ts'
import { BackendUnavailableError, isOwnError, kindOf, UnknownQueueError } from './errors.ts'
import { Hooks } from './hooks.ts'
import { Idle } from './idle.ts'
import { Inspection } from './inspection.ts'
import { PayloadCompiler } from './json-schema.ts'
import { closeBackends, Lifecycle } from './lifecycle.ts'
import { NeutralContext } from './neutral-context.ts'
import type { ResolvedOptions } from './options.ts'
import { Queue } from './queue.ts'
import { DELEGATE, Definition, Registry } from './registry.ts'
import { Scheduler } from './schedules/scheduler.ts'
import { Services } from './services/services.ts'
import { TimerHeap } from './timer-heap.ts'
import { UnknownJobs } from './unknown-jobs.ts'
import { Worker } from './worker.ts'

function openingError (error: unknown, backend: Backend, queues: readonly QueueSettings[]): unknown {
  if (isOwnError(error)) return error
  return new BackendUnavailableError(backend.name, queues.map(({ name }) => name).join("', '"), { cause: error })
}

/** One app's background work: everything that one registration of the plugin owns. */
export class Runtime {
  readonly context = new NeutralContext()
  readonly clock: Clock
  readonly queues: readonly Queue[]
  readonly registry: Registry
  readonly hooks: Hooks
  readonly services: Services
  readonly scheduler: Scheduler
  readonly lifecycle: Lifecycle
  readonly enqueuer: Enqueuer
  readonly idle: Idle
  readonly inspection: Inspection
  metrics: Jobs['metrics']
  readonly #backends: ReadonlySet<Backend>
  readonly #byName: ReadonlyMap<string, Queue>
  readonly log: FastifyBaseLogger

  constructor (instance: FastifyInstance, options: ResolvedOptions) {
    const clock = this.clock = this.context.clock(options.clock)
    this.log = instance.log
    // Nobody sees what is counted without metrics.
    const buckets = options.metrics === false ? [] : options.metrics.buckets
    this.queues = options.queues.map((settings) => new Queue(settings, options.backends.get(settings.name)!, options.works.has(settings.name), buckets))
    this.#backends = new Set(options.backends.values())
    this.#byName = new Map(this.queues.map((queue) => [queue.name, queue]))
    this.hooks = new Hooks(instance, this.context)
    const compiler = new PayloadCompiler(options.ajv)
    this.registry = new Registry(options.retry, compiler, (name) => this.queue(name))
    this.idle = new Idle(clock, () => this.queues)
    this.inspection = new Inspection(this)
    this.scheduler = new Scheduler(clock, instance.log, options.schedules)
    const createScope = (): AwilixContainer => instance.diContainer.createScope()
    this.services = new Services({
      clock,
      log: instance.log,
      createScope,
      sleepers: new TimerHeap(clock, (wake) => wake()),
      closeApp: () => {
        // Supervisors see a failure by it. A later close() knows nothing of the error: avvio forgets it.
        if (options.services.exitCode) process.exitCode ??= 1
        instance.close().catch(() => {})
      }
    })
    this.lifecycle = new Lifecycle({
      queues: this.queues,
      registry: this.registry,
      services: this.services,
      scheduler: this.scheduler,
      backends: this.#backends,
      shutdown: options.shutdown,
      clock,
      log: instance.log,
      hooks: this.hooks,
      idle: this.idle
    })
    this.enqueuer = new Enqueuer(this)
    const unknownJobs = new UnknownJobs(options.unknownJobs, clock, instance.log)
    for (const queue of this.queues) {
      queue.delegates = new Definition(DELEGATE, queue, options.retry, {}, undefined, instance, undefined)
      queue.worker = new Worker(queue, {
        clock,
        context: this.context,
        hooks: this.hooks,
        log: instance.log,
        registry: this.registry,
        unknownJobs,
        lifecycle: this.lifecycle,
        createScope,
        onTickSuccess: ({ name }) => this.scheduler.succeeded(name),
        onQuiet: this.idle.check
      })
    }
  }

  /** Throws FST_JOBS_UNKNOWN_QUEUE. */
  queue (name: string): Queue {
    const queue = this.#byName.get(name)
    if (queue === undefined) throw new UnknownQueueError(typeof name === 'string' ? name : kindOf(name), [...this.#byName.keys()].join(', '))
    return queue
  }

  /** The queue of that name; all of them without one. */
  queuesNamed (name: string | undefined): readonly Queue[] {
    return name === undefined ? this.queues : [this.queue(name)]
  }

  oneQueueABackend (): readonly Queue[] {
    return [...new Map(this.queues.map((queue) => [queue.backend, queue])).values()]
  }

  definitionOf (name: string, queue: string): Definition {
    return this.registry.running(name) ?? this.queue(queue).delegates
  }

  * definitions (): Generator<Definition> {
    yield * this.registry.all()
    for (const { delegates } of this.queues) yield delegates
  }

  /** Opens every backend for the queues that live in it; all of them or none. */
  async open (): Promise<void> {
    const settings = new Map<Backend, QueueSettings[]>()
    for (const queue of this.queues) {
      const others = settings.get(queue.backend)
      if (others === undefined) settings.set(queue.backend, [queue.settings])
      else others.push(queue.settings)
    }
    const context = {
      log: this.log,
      clock: this.clock,
      stopping: this.lifecycle.stopping,
      onDrop: (queue: string, envelope: JobEnvelope) => this.#onDrop(queue, envelope)
    }
    const opened: Backend[] = []
    const openings = await Promise.allSettled([...settings].map(async ([backend, queues]) => {
      try {
        await backend.open({ ...context, queues })
        opened.push(backend)
      } catch (error) {
        throw openingError(error, backend, queues)
      }
    }))
    const failed = openings.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined
    if (failed === undefined) return
    // The app does not start, so no hook of it would close them.
    await closeBackends(opened, this.log)
    throw failed.reason
  }

  /** For an app that does not start; one that has started closes them at the end of its drain. */
  closeBackends (): Promise<void> {
    return closeBackends(this.#backends, this.log)
  }

  #onDrop (queue: string, envelope: JobEnvelope): void {
    const lane = this.queue(queue)
    const definition = this.registry.definitionOf(envelope, lane) ?? lane.delegates
    definition.counters.dropped++
    this.log.warn(logFields(envelope, queue), 'the queue is full, a job was dropped')
    this.hooks.tell('onDrop', definition, envelope)
  }
}
