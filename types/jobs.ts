import type { AwilixContainer } from 'awilix'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { FromSchema, JSONSchema } from 'json-schema-to-ts'
import type { Registry } from 'prom-client'
import type { EnqueueResult } from './backend.ts'
import type { AppCradle } from './cradle.ts'
import type { DeadLetter, JobInfo, JobView } from './job.ts'
import type { DeclareOptions, DefineOptions, DelegateOptions, EnqueueOptions } from './options.ts'
import type { ScheduleOptions, ScheduleRule, ScheduleView } from './schedules.ts'
import type { Service, ServiceOptions, ServiceStatus } from './services.ts'
import type { StandardSchema } from './standard-schema.ts'

/**
 * Open for declaration merging: job name to payload type, as it is enqueued. Once a name is declared, `enqueue`, `enqueueMany` and
 * `schedule` take no name that is not; a definition they always take.
 */
export interface JobTypes {}

/** The names that jobs can be enqueued by: those of `JobTypes`, or every string where nothing is declared. */
export type JobName = [keyof JobTypes] extends [never] ? string : keyof JobTypes & string

/** What the handler gets of a payload that this schema describes: a Standard Schema (zod, valibot, arktype), a TypeBox or an `as const` JSON schema. */
export type InferPayload<Schema> =
  Schema extends StandardSchema<any, infer Output> ? Output : InferJson<Schema>

/** What is enqueued: what goes into a Standard Schema, and otherwise what the handler gets. */
export type InferInput<Schema> =
  Schema extends StandardSchema<infer Input, any> ? Input : InferJson<Schema>

type InferJson<Schema> =
  Schema extends { static: infer Static } ? Static
    : Schema extends { '~kind': string } ? InferTypeBox<Schema>
      : IsMisread<Schema> extends true ? unknown
        : Schema extends JSONSchema ? FromSchema<Schema>
          : unknown

/** FromSchema gives never for a reference to a shared schema or to an anchor, and a wrong type for a tuple of draft 2020-12. */
type IsMisread<Schema> =
  unknown extends Schema ? false
    : Schema extends { readonly $ref: `#/${string}` } ? IsMisread<Omit<Schema, '$ref'>>
      : Schema extends { readonly $ref: string } | { readonly prefixItems: object } ? true
        : Schema extends readonly unknown[] ? IsMisread<Schema[number]>
          // The type of all schemas refers to itself without end.
          : '$ref' extends keyof Schema ? false
            : Schema extends object ? true extends { [Key in keyof Schema]: IsMisread<Schema[Key]> }[keyof Schema] ? true : false
              : false

/** A schema of typebox 1.x, by its shape: it carries no static type. Kinds that are not here give unknown. */
type InferTypeBox<Schema> =
  Schema extends { '~kind': 'Object', properties: infer Properties } ? InferProperties<Properties>
    : Schema extends { '~kind': 'Array', items: infer Item } ? InferTypeBox<Item>[]
      : Schema extends { '~kind': 'Union', anyOf: (infer Member)[] } ? InferTypeBox<Member>
        : Schema extends { '~kind': 'Tuple', items: infer Items } ? { [Index in keyof Items]: InferTypeBox<Items[Index]> }
          : Schema extends { '~kind': 'Record', patternProperties: infer Patterns } ? Record<string, InferTypeBox<Patterns[keyof Patterns]>>
            : Schema extends { '~kind': 'Enum', enum: (infer Value)[] } ? Value
              : Schema extends { '~kind': 'Literal', const: infer Value } ? Value
                : Schema extends { '~kind': 'Unsafe', '~unsafe': infer Type } ? Type
                  : Schema extends { '~kind': keyof Primitives } ? Primitives[Schema['~kind']]
                    : unknown

interface Primitives {
  Any: any
  Boolean: boolean
  Integer: number
  Null: null
  Number: number
  String: string
}

type InferProperties<Properties> = Flat<
  { [Key in keyof Properties as Properties[Key] extends { '~optional': true } ? never : Key]: InferTypeBox<Properties[Key]> } &
  { [Key in keyof Properties as Properties[Key] extends { '~optional': true } ? Key : never]?: InferTypeBox<Properties[Key]> }
>

type Flat<Type> = { [Key in keyof Type]: Type[Key] }

/** The payload type that is declared for a name. */
export type PayloadOf<Name> = Name extends keyof JobTypes ? JobTypes[Name] : unknown

/** A name that `JobTypes` does not declare. */
type Undeclared<Name> = Name extends keyof JobTypes ? never : Name

/** What a schema says; of a declared job what `JobTypes` says, where the schema says nothing. */
type OrDeclared<Name, Inferred> = Name extends keyof JobTypes ? unknown extends Inferred ? JobTypes[Name] : Inferred : Inferred

/** Refuses a schema that does not take what `JobTypes` declares for the name. */
type Takes<Name, Input> = Name extends keyof JobTypes ? Plain<JobTypes[Name]> extends Input ? unknown : { schema: StandardSchema<JobTypes[Name], any> } : unknown

/** Without interfaces: those do not fit the index signature that a JSON schema's type has for further properties. */
type Plain<Type> = Type extends string | number | boolean | bigint | symbol | null | undefined | ((...args: any) => unknown) ? Type : { [Key in keyof Type]: Plain<Type[Key]> }

/** What an attempt's scope has beside the app's registrations. */
export interface JobCradle {
  /** The job that runs. */
  readonly job: JobInfo
  /** Aborts on timeout, cancellation, shutdown and a lost lease. */
  readonly signal: AbortSignal
  /** A child logger with jobId, jobName, queue, attempt and correlationId. */
  readonly log: FastifyBaseLogger
}

/** What a handler gets beside the payload. Scope, signal and logger are made when they are first touched. */
export interface JobContext {
  /** The job that runs. */
  readonly job: JobInfo
  /** Aborts on timeout, cancellation, shutdown and a lost lease. */
  readonly signal: AbortSignal
  /** A child logger with jobId, jobName, queue, attempt and correlationId. */
  readonly log: FastifyBaseLogger
  /** The attempt's own awilix scope; `job`, `signal` and `log` can be resolved from it. */
  readonly diScope: AwilixContainer<AppCradle & JobCradle>
  /** Reports how far the job is, as a finite number; seen by `get(id)`. */
  readonly progress: (value: number) => void
}

/** Does the work of a job. `this` is the Fastify instance that defined it. */
export type JobHandler<Payload = any> = (this: FastifyInstance, payload: Payload, context: JobContext) => unknown
/** Does the work of a job that is enqueued as a function. */
export type DelegateHandler = (this: FastifyInstance, context: JobContext) => unknown

declare const payloadType: unique symbol

/** A registered definition; carries the type of what is enqueued. */
export interface JobDefinition<Payload = unknown> {
  /** The job's name. */
  readonly name: string
  /** The name of its queue. */
  readonly queue: string
  /** There for the compiler only. */
  readonly [payloadType]?: (payload: Payload) => void
}

/** What an enqueue came to. `status` is 'duplicate' when `id` is the id of a job that was there before. */
export interface EnqueuedJob {
  /** The job's id; of a duplicate the id of the job that was there. */
  readonly id: string
  /** The job's name. */
  readonly name: string
  /** The name of its queue. */
  readonly queue: string
  /** 'duplicate': the id or the unique key belongs to a job that was there before; 'dropped': a full queue dropped this job. */
  readonly status: EnqueueResult['status']
}

/** What every job of an `enqueueMany` has beside its payload. */
export interface JobToEnqueueOptions<Job> extends EnqueueOptions {
  /** The name of a job, or its definition. */
  job: Job
  /** Not here: all jobs of an `enqueueMany` have one signal. */
  signal?: never
}

type WithPayload<Job, Payload> = JobToEnqueueOptions<Job> & (NeedsPayload<Payload> extends true ? { payload: Payload } : { payload?: Payload })

/** Of a job that works without a payload, it can be left out. Where nothing says what the payload is, it cannot. */
type NeedsPayload<Payload> = unknown extends Payload ? true : undefined extends Payload ? false : true

/** What a job that is enqueued many at a time is given as: the payload is that of its name or definition. */
export type JobToEnqueueAs<Job extends JobName | JobDefinition<any>> =
  Job extends JobDefinition<infer Payload> ? WithPayload<Job, Payload> : WithPayload<Job, PayloadOf<Job>>

/** One of the jobs of an `enqueueMany`, with options of its own. With a payload type: a job that takes it. */
export type JobToEnqueue<Payload = any> = NamedJobToEnqueue<JobName, Payload> | WithPayload<JobDefinition<Payload>, Payload>

type NamedJobToEnqueue<Name, Payload> =
  Name extends JobName ? [Payload] extends [PayloadOf<Name>] ? WithPayload<Name, unknown extends Payload ? PayloadOf<Name> : Payload> : never : never

/** The payload and the options of an enqueue; they can be left out where every one of the jobs does without a payload. */
export type EnqueueArguments<Payload, Needed = NeedsPayload<Payload>> = true extends Needed
  ? [payload: Payload, options?: EnqueueOptions]
  : [payload?: Payload, options?: EnqueueOptions]

/** Of each of these names. */
type NeedsPayloadOf<Name> = Name extends JobName ? NeedsPayload<PayloadOf<Name>> : never

/** The options of a schedule; they can be left out, with the payload, only where every one of the jobs does without a payload. */
export type ScheduleArguments<Payload, IsOptional = undefined extends Payload ? true : false> = false extends IsOptional
  ? [options: ScheduleOptions<Payload> & { payload: Payload }]
  : [options?: ScheduleOptions<Payload>]

/** Of each of these names. */
type IsOptionalFor<Name> = Name extends JobName ? undefined extends PayloadOf<Name> ? true : false : never

/** A job as hooks see it. Its payload is what was enqueued. */
export type HookJob = JobInfo & { readonly payload: unknown }

/** Functions that are told what becomes of jobs. */
export interface JobHooks {
  /** A queue has taken the job. */
  onEnqueue: (this: FastifyInstance, job: HookJob) => unknown
  /** An attempt starts. */
  onStart: (this: FastifyInstance, job: HookJob) => unknown
  /** The handler has succeeded. */
  onSuccess: (this: FastifyInstance, job: HookJob) => unknown
  /** An attempt has failed, and the next one falls due at `runAt`: milliseconds since the epoch. */
  onRetry: (this: FastifyInstance, job: HookJob, error: Error, runAt: number) => unknown
  /** The job has failed for good. */
  onDeadLetter: (this: FastifyInstance, job: HookJob, error: Error) => unknown
  /** A full queue has dropped the job. */
  onDrop: (this: FastifyInstance, job: HookJob) => unknown
}

/** How a queue stands. */
export interface QueueStatus {
  /** Jobs that may wait. */
  readonly capacity: number
  /** Attempts that run at once in this process. */
  readonly concurrency: number
  /** By `pause` in this process, or in the backend, by another tool. */
  readonly paused: boolean
  /** Jobs that are ready and wait for a worker. */
  readonly queueDepth: number
  /** Jobs that are not due yet, and retries. */
  readonly delayed: number
  /** Attempts that run in this process. */
  readonly inFlight: number
  /** Dead letters that are kept. */
  readonly deadLetters: number
}

/** How the app's background work stands. */
export interface JobsStatus {
  /** The app works on jobs. */
  readonly isRunning: boolean
  /** The app is closing, and finishes what runs. */
  readonly isStopping: boolean
  /** The app has closed. */
  readonly isStopped: boolean
  /** Jobs that are ready and wait for a worker, of all queues. */
  readonly queueDepth: number
  /** Attempts that run in this process, of all queues. */
  readonly inFlight: number
  /** By name. Empty once the app has closed. */
  readonly queues: Readonly<Record<string, QueueStatus>>
  /** By name. */
  readonly schedules: Readonly<Record<string, ScheduleView>>
  /** By name. */
  readonly services: Readonly<Record<string, ServiceStatus>>
}

/** `fastify.jobs.deadLetters`. */
export interface DeadLetters {
  /** The oldest first. `limit`: 100 unless given. */
  list (options?: { queue?: string, limit?: number }): Promise<DeadLetter[]>
  /**
   * Runs a dead letter again, from its first attempt. False when there is none of that id. Rejects with FST_JOBS_UNIQUE_KEY_TAKEN
   * (409, `heldBy`: the other job's id) while another job has its unique key.
   */
  retry (id: string): Promise<boolean>
  /** Forgets a dead letter. False when there is none of that id. */
  remove (id: string): Promise<boolean>
}

/** The schedules of this instance of the app: each instance has its own, and pauses its own. */
export interface Schedules {
  /** All of them, as they stand. */
  list (): ScheduleView[]
  /** No tick from now on. Throws FST_JOBS_INVALID_OPTIONS when there is no schedule of that name, as the others do. */
  pause (name: string): void
  /** Ticks that came while it was paused are not made up for. */
  resume (name: string): void
  /** Enqueues a job at once, beside the rule; `overlap` does not hold it back. */
  run (name: string): Promise<EnqueuedJob>
}

/**
 * `request.jobs`: enqueues on behalf of a request. The jobs have its id as their `correlationId`, unless another one is given. An enqueue
 * that finds no room waits for the queue's `enqueueTimeout`, or 5000 ms where there is none, and then fails with
 * FST_JOBS_QUEUE_FULL (503, with `Retry-After`). When the request ends meanwhile, it fails with FST_JOBS_REQUEST_ABORTED.
 */
export type RequestJobs = Pick<Jobs, 'enqueue' | 'enqueueMany'>

/** `fastify.jobs`. */
export interface Jobs {
  /** Registers a job before `ready`. `this` in the handler is the Fastify instance that defined it. */
  define<const Schema extends object, Name extends string> (
    name: Name, options: DefineOptions<Schema> & { schema: Schema } & Takes<Name, InferInput<Schema>>, handler: JobHandler<OrDeclared<Name, InferPayload<Schema>>>
  ): JobDefinition<OrDeclared<Name, InferInput<Schema>>>
  /** A job of a name that `JobTypes` declares. */
  define<Name extends keyof JobTypes> (name: Name, handler: JobHandler<JobTypes[Name]>): JobDefinition<JobTypes[Name]>
  /** A job of a name that `JobTypes` declares, with options. */
  define<Name extends keyof JobTypes> (name: Name, options: DefineOptions<undefined>, handler: JobHandler<JobTypes[Name]>): JobDefinition<JobTypes[Name]>
  /** A job without options. */
  define<Payload = any, Name extends string = string> (name: Undeclared<Name>, handler: JobHandler<Payload>): JobDefinition<Payload>
  /** A job whose payload no schema describes. */
  define<Payload = any, Name extends string = string> (name: Undeclared<Name>, options: DefineOptions<undefined>, handler: JobHandler<Payload>): JobDefinition<Payload>
  /** A job whose schema does not tell the payload's type, a shared schema for instance: `define<Payload>(…)` gives it. */
  define<Payload = unknown, Name extends string = string> (name: Undeclared<Name>, options: DefineOptions<object>, handler: JobHandler<NoInfer<Payload>>): JobDefinition<Payload>

  /**
   * Registers, before `ready`, a job whose handler lives in another process: it can be enqueued and scheduled here. Throws
   * FST_JOBS_INVALID_OPTIONS, also where its queue is not in a durable backend.
   */
  declare<const Schema extends object, Name extends string> (
    name: Name, options: DeclareOptions<Schema> & { schema: Schema } & Takes<Name, InferInput<Schema>>
  ): JobDefinition<OrDeclared<Name, InferInput<Schema>>>
  /** A job of a name that `JobTypes` declares. */
  declare<Name extends keyof JobTypes> (name: Name, options?: DeclareOptions<undefined>): JobDefinition<JobTypes[Name]>
  /** A job whose payload's type no schema tells: `declare<Payload>(…)` gives it. */
  declare<Payload = any, Name extends string = string> (name: Undeclared<Name>, options?: DeclareOptions<object>): JobDefinition<Payload>

  /** Resolves once the backend holds the job. Rejects with an FST_JOBS_* error, or with `signal`'s reason. */
  enqueue<Payload> (definition: JobDefinition<Payload>, ...payload: EnqueueArguments<NoInfer<Payload>>): Promise<EnqueuedJob>
  /** A delegate job: an inline function, in memory only. */
  enqueue (handler: DelegateHandler, options: DelegateOptions): Promise<EnqueuedJob>
  /** By name. Its payload is what `JobTypes` declares for it. */
  enqueue<Name extends JobName> (name: Name, ...payload: EnqueueArguments<PayloadOf<Name>, NeedsPayloadOf<Name>>): Promise<EnqueuedJob>

  /** One round trip a queue; all or none where the backend can. */
  enqueueMany<const Given extends readonly (JobName | JobDefinition<any>)[]> (
    jobs: { [Index in keyof Given]: JobToEnqueueAs<Given[Index]> }, options?: { signal?: AbortSignal }
  ): Promise<EnqueuedJob[]>

  /**
   * Registers, before `ready`, a rule by which a job is enqueued again and again. The job must be defined before.
   * Throws FST_JOBS_INVALID_OPTIONS; FST_JOBS_NOT_SUPPORTED when the queue's backend cannot do what it needs.
   */
  schedule<Payload> (name: string, rule: ScheduleRule, job: JobDefinition<Payload>, ...options: ScheduleArguments<NoInfer<Payload>>): void
  /** With an inline function, in memory only. `queue`: its queue, 'default' unless given. */
  schedule (name: string, rule: ScheduleRule, job: DelegateHandler, options?: ScheduleOptions<undefined> & { queue?: string }): void
  /** By name. Its payload is what `JobTypes` declares for it. */
  schedule<Name extends JobName> (name: string, rule: ScheduleRule, job: Name, ...options: ScheduleArguments<PayloadOf<Name>, IsOptionalFor<Name>>): void
  /** Looks at the schedules and handles them. */
  readonly schedules: Schedules

  /**
   * Registers long-running background work before `ready`. Services start in this order and stop in reverse.
   * Throws FST_JOBS_INVALID_OPTIONS.
   */
  service (name: string, service: Service, options?: ServiceOptions): void

  /** How queues, schedules and services stand. */
  status (): Promise<JobsStatus>
  /** What has become of a job; undefined when no backend knows it (any more). */
  get (id: string): Promise<JobView | undefined>
  /** True when a waiting job was taken back or a running one was told to stop. */
  cancel (id: string): Promise<boolean>
  /** Takes no new delivery, of one queue or of all; what runs goes on. */
  pause (queue?: string): void
  /** Takes deliveries again, of one queue or of all. */
  resume (queue?: string): void
  /** Looks at dead letters and handles them. */
  readonly deadLetters: DeadLetters
  /** Where the plugin's metrics are, to add others beside them; undefined with `metrics: false`. */
  readonly metrics: { readonly registry: Registry, readonly prefix: string } | undefined
  /** Adds a function that is told what becomes of jobs. One that throws is logged and hurts nothing. */
  addHook<Name extends keyof JobHooks> (name: Name, hook: JobHooks[Name]): void
  /** Resolves when nothing waits or runs; with `delayed`, when no delayed job and no retry is left either. */
  idle (options?: { delayed?: boolean }): Promise<void>
}
