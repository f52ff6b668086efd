import type { FastifyBaseLogger } from 'fastify'
import type { DeadLetter, JobEnvelope, JobView, SerializedError } from './job.ts'

/** Where time comes from. Replace it in tests. */
export interface Clock {
  /** Wall-clock time, milliseconds since the epoch. */
  now (): number
  /** Milliseconds that never run backwards. */
  monotonic (): number
  /** `delay` is in milliseconds and at most 2^31 - 1. The timer does not keep the process alive. */
  setTimeout (callback: () => void, delay: number): unknown
  /** Takes a timer back that `setTimeout` answered with. */
  clearTimeout (handle: unknown): void
}

/** What an enqueue into a full queue does: waits for room, drops a job, or fails with FST_JOBS_QUEUE_FULL. */
export type FullMode = 'wait' | 'dropOldest' | 'dropNewest' | 'dropWrite' | 'reject'

/** The settings of a queue, complete with defaults. */
export interface QueueSettings {
  /** The queue's name. */
  readonly name: string
  /** Jobs that may wait, delayed ones and retries included. */
  readonly capacity: number
  /** Attempts that run at once in one process. */
  readonly concurrency: number
  /** What an enqueue into the full queue does. */
  readonly fullMode: FullMode
  /** Milliseconds that an enqueue waits for room; undefined: as long as it takes. */
  readonly enqueueTimeout: number | undefined
  /** Finished jobs remembered for inspection. */
  readonly history: number
  /** Dead letters kept; beyond it the oldest one goes. */
  readonly deadLetters: number
  /** Bytes of a serialised payload. */
  readonly maxPayloadBytes: number
}

/** What a backend gets when it is opened. */
export interface BackendContext {
  /** The queues that live in this backend. */
  readonly queues: readonly QueueSettings[]
  /** The app's logger. */
  readonly log: FastifyBaseLogger
  /** Where the backend gets the time from, and its timers. */
  readonly clock: Clock
  /** Aborts when the app begins to stop; its reason is the error that every waiting enqueue fails with. */
  readonly stopping: AbortSignal
  /** Tells about a job that a full queue lost, once a job, before the backend lets go of its payload. */
  onDrop (queue: string, envelope: JobEnvelope): void
}

/** What a backend can do. */
export interface Capabilities {
  /** Jobs survive the process. */
  readonly durable: boolean
  /** Takes inline functions, which no serialisation could carry. */
  readonly delegates: boolean
  /** Takes jobs that are due later (`runAt`). */
  readonly delay: boolean
  /** Hands out jobs of a higher `priority` first. */
  readonly priority: boolean
  /** Keeps `uniqueKey` to one job at a time. */
  readonly unique: boolean
  /** Has `find`, `listDead`, `retry`, `remove` and `cancel`. */
  readonly inspect: boolean
  /** Absent: all of them. */
  readonly fullModes?: readonly FullMode[]
  /** Bytes of a serialised payload that the engine can carry; absent: as many as the queue's settings allow. */
  readonly maxPayloadBytes?: number
}

/** What became of one job of an enqueue. */
export interface EnqueueResult {
  /** The id of the job that the backend holds: another one's when the enqueue was a duplicate. */
  readonly id: string
  /** 'duplicate': the job was there before; 'dropped': a full queue let go of it. */
  readonly status: 'enqueued' | 'duplicate' | 'dropped'
}

/** How many jobs a queue has in each state. */
export interface QueueStats {
  /** Ready to run and not yet taken. */
  readonly waiting: number
  /** When the job that has waited longest, a retry perhaps, fell due: milliseconds since the epoch; absent when none waits or nobody knows. */
  readonly waitingSince?: number
  /** Not due yet: delayed jobs and retries. */
  readonly delayed: number
  /** Running, in any process. */
  readonly active: number
  /** Dead letters. */
  readonly dead: number
  /** Somebody paused the queue in the store, for all processes: another tool, say. */
  readonly paused?: boolean
}

/** What a delivery came to. */
export type Outcome =
  | { readonly type: 'succeeded' }
  /** `runAt`: milliseconds since the epoch. */
  | { readonly type: 'retry', readonly runAt: number, readonly error: SerializedError }
  | { readonly type: 'dead', readonly error: SerializedError }
  | { readonly type: 'cancelled' }
  /**
   * Not finished; the attempt does not count, nor does a stall. Another process may take the job at once, or at `runAt` (milliseconds since
   * the epoch). Either way `Delivery.dueAt` stays the time at which the attempt first fell due.
   */
  | { readonly type: 'released', readonly runAt?: number }

/** One handing-over of an envelope to a worker. */
export interface Delivery {
  /** The job. */
  readonly envelope: JobEnvelope
  /** Aborted when the lease is lost; absent where there is no lease to lose. Deliveries may share one. */
  readonly signal?: AbortSignal
  /** When this attempt fell due, milliseconds since the epoch; absent: when the job was enqueued, or its `runAt`. */
  readonly dueAt?: number
  /** Milliseconds since the epoch at the handing-over; absent: the worker reads the clock. */
  readonly startedAt?: number
  /** How often this job lost the process that ran it; absent where that cannot happen. */
  readonly stalls?: number
  /** The last of these stalls is news: no delivery of the job has come after it before this one. Absent where that cannot happen. */
  readonly stalled?: boolean
  /** Why the stored record cannot be read: the job becomes a dead letter with this error. */
  readonly problem?: Error
  /** Stores what the handler reported; absent where the backend cannot. */
  progress? (value: number): void
}

/** Runs a delivery to its outcome. */
export interface Deliver {
  /** Never rejects. */
  (delivery: Delivery): Promise<Outcome>
  /** Tells the outcome to `settle`, once: an in-process backend spares every job a promise and a turn of the microtask queue. */
  <Handed extends Delivery> (delivery: Handed, settle: (delivery: Handed, outcome: Outcome) => void): void
}

/** What hands the jobs of one queue to a worker. */
export interface Consumer {
  /** Takes nothing more until `resume`; what runs goes on. */
  pause (): void
  /** Takes jobs again. */
  resume (): void
  /** Takes nothing more; resolves when the outcome of every delivery in flight is stored. */
  stop (): Promise<void>
}

/** True: the dead letter will run again. False: there is none of that id. An object: another job has its unique key. */
export type RetryAnswer = boolean | { readonly heldBy: string }

/** How long an enqueue that finds no room waits for it. */
export interface EnqueueLimits {
  /**
   * Gives up waiting, with its reason.
   * @default undefined
   */
  readonly signal?: AbortSignal
  /**
   * Milliseconds that it waits at most; then it fails with FST_JOBS_QUEUE_FULL.
   * @default the queue's `enqueueTimeout`
   */
  readonly timeout?: number
}

/** Where a queue's jobs live. An adapter translates; it decides nothing. */
export interface Backend {
  /** What errors and logs call it: 'redis'. */
  readonly name: string
  /**
   * Which store it is, for the log of the start: a file or an address, without credentials. Read once it is open.
   * @default undefined
   */
  readonly location?: string
  /** What it can do. The core refuses what is not here. */
  readonly capabilities: Capabilities
  /** Connects and prepares the store. Rejects within a bounded time. */
  open (context: BackendContext): Promise<void>
  /**
   * All or none where the backend can; resolves once it holds the jobs. It waits for room only: a backend out of reach rejects
   * within a bounded time, since whoever enqueues one after the other (a schedule) would fall silent with it.
   */
  enqueue (queue: string, jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<readonly EnqueueResult[]>
  /**
   * Takes one job at once where that needs no waiting and no round trip; undefined sends the job through `enqueue`.
   * Optional: an in-process backend spares every job a promise with it.
   */
  offer? (queue: string, job: JobEnvelope): EnqueueResult | undefined
  /** Hands jobs of the queue to `deliver`, `concurrency` at once at the most. */
  consume (queue: string, options: { concurrency: number }, deliver: Deliver): Consumer
  /** How many jobs the queue has in each state. */
  stats (queue: string): QueueStats | Promise<QueueStats>
  /** The jobs that end with the process; none where they are durable. */
  abandon (queue: string): Iterable<JobEnvelope>
  /** Lets go of connections and timers. What is stored stays. */
  close (): Promise<void>

  /** Present where `capabilities.inspect`. */
  find? (id: string): JobView | undefined | Promise<JobView | undefined>
  /** Dead letters, the oldest first. */
  listDead? (queue: string, options: { limit: number }): readonly DeadLetter[] | Promise<readonly DeadLetter[]>
  /** Runs a dead letter again, from its first attempt. */
  retry? (id: string): RetryAnswer | Promise<RetryAnswer>
  /** Forgets a dead letter; false when there is none of that id. */
  remove? (id: string): boolean | Promise<boolean>
  /** Takes back a job that waits; false when it does not wait (any more). */
  cancel? (id: string): boolean | Promise<boolean>
}
