import type { DeadLetter, EnqueueOptions, EnqueuedJob, JobView, JobsStatus } from '../../../lib/index.ts'
import type { ProcessSettings } from './settings.ts'

export interface JobToSend extends Omit<EnqueueOptions, 'signal'> {
  readonly job: JobName
  readonly payload?: unknown
}

export type JobName = 'record' | 'hold' | 'insist' | 'fail' | 'die' | 'freeze'

/** What a parent can ask of a process; `fastify.jobs` answers. */
export interface Commands {
  /** Starts the app; resolves when it is ready. */
  start (settings: ProcessSettings): Promise<void>
  enqueue (job: JobToSend): Promise<EnqueuedJob>
  /** Each by itself, all at the same time. */
  enqueueEach (jobs: readonly JobToSend[]): Promise<EnqueuedJob[]>
  enqueueMany (jobs: readonly JobToSend[]): Promise<EnqueuedJob[]>
  /** Enqueues one job after the other, noting each that was acknowledged in the ledger, until the process ends. */
  enqueueForEver (job: JobToSend): Promise<void>
  /** The same with a batch of jobs at a time; one line a batch, with its first job's id. */
  enqueueManyForEver (jobs: readonly JobToSend[]): Promise<void>
  get (id: string): Promise<JobView | undefined>
  cancel (id: string): Promise<boolean>
  /** Takes jobs; for a process that was started with `works: false`. */
  resume (): Promise<void>
  status (): Promise<JobsStatus>
  idle (): Promise<void>
  /** Ticks of the schedule that this process was too late for, or could not enqueue. */
  lateTicks (): Promise<number>
  /** Jobs of which this process was told that they had lost theirs. */
  stalled (): Promise<number>
  deadLetters (): Promise<DeadLetter[]>
  retry (id: string): Promise<boolean>
  /** Ends the jobs 'hold' and 'insist' that run, and those that come. */
  release (): Promise<void>
  /** Closes the app; another one may be started. */
  close (): Promise<void>
  /** Lets go of the parent: the process ends as soon as nothing keeps it. */
  leave (): Promise<void>
}

/** One asking of a command, and its answer. */
export interface Call { readonly call: number, readonly command: keyof Commands, readonly argument: unknown }
export interface Answer { readonly call: number, readonly result?: unknown, readonly error?: { readonly message: string, readonly code?: string } }
