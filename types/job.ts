/** What has become of a job. */
export type JobState = 'waiting' | 'delayed' | 'active' | 'succeeded' | 'dead' | 'cancelled' | 'dropped'

/** An error as it is stored: what survives a JSON round trip. Longer texts are cut, and end with '… [cut: <bytes> bytes]'. */
export interface SerializedError {
  /** Of the error's class. */
  name: string
  /** At most 8 KiB; 1 KiB of a cause or a member. */
  message: string
  /** A number is stored as text. */
  code?: string
  /** At most 16 KiB; 2 KiB of a cause or a member. */
  stack?: string
  /** The error's `cause`. */
  cause?: SerializedError
  /** Of an AggregateError. Causes and members together are at most ten, five deep. */
  errors?: SerializedError[]
}

/** A job as its handler and its hooks see it. */
export interface JobInfo {
  /** The job's id. */
  readonly id: string
  /** The job's name. */
  readonly name: string
  /** The name of its queue. */
  readonly queue: string
  /** The attempt that runs now, from 1. */
  readonly attempt: number
  /** Attempts at the most, the first one included. */
  readonly attempts: number
  /** Milliseconds since the epoch. */
  readonly enqueuedAt: number
  /** What the enqueue gave: the id of a request, say. */
  readonly correlationId?: string
  /** Absent unless a schedule enqueued the job. */
  readonly schedule?: ScheduledTick
}

/** A job as a backend remembers it. Times are milliseconds since the epoch. */
export interface JobView {
  /** The job's id. */
  readonly id: string
  /** The job's name. */
  readonly name: string
  /** The name of its queue. */
  readonly queue: string
  /** What has become of it. */
  readonly state: JobState
  /** Attempts started so far. */
  readonly attempt: number
  /** When it was enqueued: milliseconds since the epoch. */
  readonly enqueuedAt: number
  /** Attempts at the most, when the enqueue said so. */
  readonly attempts?: number
  /** When a delayed job, or the next attempt, falls due: milliseconds since the epoch. */
  readonly runAt?: number
  /** When the last attempt started: milliseconds since the epoch. */
  readonly startedAt?: number
  /** When the job ended: milliseconds since the epoch. */
  readonly finishedAt?: number
  /** What the handler reported last by `progress(n)`. */
  readonly progress?: number
  /** The last attempt's error. */
  readonly error?: SerializedError
  /** What the enqueue gave: the id of a request, say. */
  readonly correlationId?: string
}

/** A job that will not be tried again by itself, kept for a person to look at. */
export interface DeadLetter extends JobView {
  /** As it was enqueued. */
  readonly payload: unknown
}

/** The tick of a schedule that enqueued a job. */
export interface ScheduledTick {
  /** The schedule's name. */
  readonly name: string
  /** When the tick was due, milliseconds since the epoch: the same in every instance, whenever the job runs. */
  readonly at: number
}

/** The rare part of an envelope: absent for a plain job. */
export interface EnvelopeOptions {
  /** The id was given by whoever enqueued: a job of that id may be there already. A generated id is always new. */
  readonly givenId?: true
  /** When the job falls due: milliseconds since the epoch. Absent: at once. */
  readonly runAt?: number
  /** From -1000 to 1000, higher first. Absent: 0. */
  readonly priority?: number
  /** Taken, in this queue, while the job waits or runs. It begins with the job's name. */
  readonly uniqueKey?: string
  /** Milliseconds for which `uniqueKey` stays taken after the job has ended. Absent: 0. */
  readonly uniqueFor?: number
  /** Attempts at the most, when the enqueue said so. Absent: as the job's definition says. */
  readonly attempts?: number
  /** Of the definition that enqueued the job. Absent: 1. */
  readonly version?: number
  /** The tick that enqueued the job. */
  readonly schedule?: ScheduledTick
  /**
   * Under this key the queue remembers for good the latest tick (`schedule.at`) that was enqueued, and its job's id. A job of that tick is a
   * duplicate of that job. So is a job whose tick is earlier by more than `uniqueFor`: its own unique key may have been forgotten by now. A
   * remembered tick more than a minute in the future does not count and is replaced: only a wrong clock puts it there.
   */
  readonly tickKey?: string
  /** The inline function of a delegate job; never leaves the process. */
  delegate?: (...args: never[]) => unknown
}

/**
 * The record of a job that travels through a backend. Everything but `options.delegate` is serialisable.
 * The backend owns `attempt` (counts it up when an outcome is 'retry') and `payload` (lets go of it when the job has ended).
 */
export interface JobEnvelope {
  /** The job's id. */
  readonly id: string
  /** The job's name. */
  readonly name: string
  /** What was enqueued, or what an upgrade made of it. */
  payload: unknown
  /** The attempt that the next delivery is, from 1. */
  attempt: number
  /** Milliseconds since the epoch. */
  readonly enqueuedAt: number
  /** What the enqueue gave: the id of a request, say. */
  readonly correlationId: string | undefined
  /** What a plain job does without. */
  readonly options: EnvelopeOptions | undefined
}
