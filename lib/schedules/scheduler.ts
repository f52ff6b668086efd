import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../types/backend.ts'
import type { EnqueuedJob } from '../../types/jobs.ts'
import type { ScheduleView } from '../../types/schedules.ts'
import { InvalidOptionsError, kindOf } from '../errors.ts'
import { logError } from '../log-error.ts'
import type { CronRule } from './cron.ts'
import type { Schedule } from './schedule.ts'

/** Milliseconds after which the wall clock is looked at again: it may have been set while a timer ran. */
const LONGEST_SLEEP = 10_000
/** Schedules that enqueue in one turn of the event loop: finding the next tick of each takes a tenth of a millisecond. */
const MOST_AT_ONCE = 50

/** The schedules of the app, and the one timer that wakes them. */
export class Scheduler {
  /** By time zone and pattern: schedules with equal ones share them. */
  readonly cronRules = new Map<string, CronRule>()
  readonly #clock: Clock
  readonly #log: FastifyBaseLogger
  readonly #ticksHere: boolean
  readonly #schedules = new Map<string, Schedule>()
  #state: 'registering' | 'running' | 'stopped' = 'registering'
  #timer: unknown
  /** When the timer fires, by the wall clock as it was then; -Infinity while it is the turn of one schedule after the other. */
  #wakesAt = Infinity

  /** `ticksHere`: false leaves the ticks to other processes. */
  constructor (clock: Clock, log: FastifyBaseLogger, ticksHere: boolean) {
    this.#clock = clock
    this.#log = log
    this.#ticksHere = ticksHere
  }

  /** Whether a tick is to come. */
  get ticks (): boolean {
    return this.#state === 'running' && this.#wakesAt !== Infinity
  }

  get isOpen (): boolean {
    return this.#state === 'registering'
  }

  has (name: string): boolean {
    return this.#schedules.has(name)
  }

  add (schedule: Schedule): void {
    this.#schedules.set(schedule.name, schedule)
  }

  all (): Iterable<Schedule> {
    return this.#schedules.values()
  }

  /** Throws FST_JOBS_INVALID_OPTIONS. */
  get (name: string): Schedule {
    const schedule = this.#schedules.get(name)
    if (schedule !== undefined) return schedule
    const known = [...this.#schedules.keys()].join(', ')
    throw new InvalidOptionsError(`schedule '${typeof name === 'string' ? name : kindOf(name)}': there is none of that name; the schedules are: ${known}`)
  }

  list (): ScheduleView[] {
    return Array.from(this.all(), (schedule) => schedule.view())
  }

  pause (name: string): void {
    this.get(name).pause()
  }

  resume (name: string): void {
    const schedule = this.get(name)
    schedule.resume(this.#clock.now())
    this.wakeFor(schedule)
  }

  /** Rejects as an enqueue does. */
  async run (name: string): Promise<EnqueuedJob> {
    return this.get(name).runNow(this.#clock.now())
  }

  /** A job that a schedule enqueued has succeeded. */
  succeeded (name: string): void {
    this.#schedules.get(name)?.succeeded(this.#clock.now())
  }

  start (): void {
    if (!this.#ticksHere) return this.stop()
    this.#state = 'running'
    const now = this.#clock.now()
    for (const schedule of this.all()) schedule.start(now)
    this.#wake()
  }

  stop (): void {
    this.#state = 'stopped'
    this.#clock.clearTimeout(this.#timer)
    for (const schedule of this.all()) schedule.stop()
  }

  /** Wakes in time for what that schedule does next. */
  readonly wakeFor = ({ wakeAt }: Schedule): void => {
    if (this.#state === 'running' && wakeAt !== undefined && wakeAt < this.#wakesAt) this.#sleepUntil(wakeAt, this.#clock.now())
  }

  readonly #wake = (): void => {
    if (this.#schedules.size === 0) return
    this.#wakesAt = -Infinity
    this.#checkSome(this.#schedules.values())
  }

  /** Requests have their turn between some schedules and the next ones, when thousands tick at the same minute. */
  #checkSome (rest: Iterator<Schedule>): void {
    const now = this.#clock.now()
    let due = 0
    for (let item = rest.next(); item.done !== true; item = rest.next()) {
      if ((item.value.wakeAt ?? Infinity) <= now) due++
      this.#check(item.value, now)
      if (due < MOST_AT_ONCE) continue
      this.#timer = this.#clock.setTimeout(() => this.#checkSome(rest), 0)
      return
    }
    let wakesAt = Infinity
    for (const { wakeAt } of this.all()) wakesAt = Math.min(wakesAt, wakeAt ?? Infinity)
    this.#sleepUntil(wakesAt, now)
  }

  // One that cannot be checked must not keep the others from being.
  #check (schedule: Schedule, now: number): void {
    try {
      schedule.check(now)
    } catch (thrown) {
      logError(this.#log, 'error', thrown, { schedule: schedule.name }, 'the schedule cannot tell what is due')
    }
  }

  #sleepUntil (time: number, now: number): void {
    this.#clock.clearTimeout(this.#timer)
    this.#wakesAt = time
    this.#timer = this.#clock.setTimeout(this.#wake, Math.min(Math.max(Math.ceil(time - now), 1), LONGEST_SLEEP))
  }
}
