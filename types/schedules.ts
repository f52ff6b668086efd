/** When a schedule ticks. */
export type ScheduleRule =
  /**
   * Every so many milliseconds, an integer of 1 or more, without drift: the n-th tick is at start + n × every. The start is
   * `startAt`; without it the start of the app, on a durable backend 1970-01-01T00:00Z, so that instances agree.
   */
  | {
    /** Milliseconds between two ticks. */
    readonly every: number
    readonly cron?: never
    readonly timezone?: never
  }
  /**
   * A cron pattern of five or six fields (seconds first), at most 256 characters. Weekdays: 0 to 7 from Sunday to Sunday, or names.
   * When both day of month and weekday are given, either will do; with `+` before the weekday both have to match.
   */
  | {
    /** The pattern. */
    readonly cron: string
    /**
     * IANA name of the time zone in which the pattern is read.
     * @default 'UTC'
     */
    readonly timezone?: string
    readonly every?: never
  }

/** The options of a schedule. */
export interface ScheduleOptions<Payload = unknown> {
  /**
   * Payload of every job, copied for each; checked when the schedule is registered.
   * @default undefined
   */
  payload?: Payload
  /**
   * From -1000 to 1000, higher first.
   * @default 0
   */
  priority?: number
  /**
   * What a tick does while the run before it waits, runs or is being retried.
   * @default 'skip'
   */
  overlap?: 'skip' | 'allow'
  /**
   * What becomes of ticks that passed by more than a minute ago, since the process slept or its clock jumped: 'skip' waits for
   * the next tick, 'runOnce' runs one job for all of them, at once.
   * @default 'skip'
   */
  missed?: 'skip' | 'runOnce'
  /**
   * Milliseconds by which each job is delayed at the most, at random.
   * @default 0
   */
  jitter?: number
  /**
   * No tick before it. A Date or milliseconds since the epoch.
   * @default undefined
   */
  startAt?: Date | number
  /**
   * No tick after it. A Date or milliseconds since the epoch.
   * @default undefined
   */
  endAt?: Date | number
  /**
   * Also run when the app starts; on a durable backend for the latest tick, unless that or a later one has run.
   * @default false
   */
  immediate?: boolean
}

/** A schedule as it stands. Times are milliseconds since the epoch. */
export interface ScheduleView {
  /** The schedule's name. */
  readonly name: string
  /** The job's name; 'delegate' for an inline function. */
  readonly job: string
  /** The name of the job's queue. */
  readonly queue: string
  /** Milliseconds between two ticks, of a rule with `every`. */
  readonly every?: number
  /** The pattern, of a rule with `cron`. */
  readonly cron?: string
  /** Its time zone: 'UTC' unless given. */
  readonly timezone?: string
  /** No tick comes until `schedules.resume(name)`. */
  readonly paused: boolean
  /** The next tick: milliseconds since the epoch. Absent when none comes, or while it is paused. */
  readonly nextRun?: number
  /** The tick that was enqueued last, by this instance or, as far as it knows, by another one: milliseconds since the epoch. */
  readonly lastRun?: number
  /** The id of the job that it enqueued. */
  readonly lastJobId?: string
  /** When a job of this schedule last succeeded in this instance: milliseconds since the epoch. */
  readonly lastSuccess?: number
}
