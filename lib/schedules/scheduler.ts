import type { Clock } from '../../types/backend.ts'
import type { EnqueuedJob } from '../../types/jobs.ts'
import type { ScheduleView } from '../../types/schedules.ts'
import { InvalidOptionsError, kindOf } from '../errors.ts'
import type { Schedule } from './schedule.ts'

/** Milliseconds after which the wall clock is looked at again: it may have been set while a timer ran. */
const LONGEST_SLEEP = 10_000

/** The schedules of the app, and the one timer that wakes them. */
export class Scheduler {
  readonly #clock: Clock
  readonly #schedules = new Map<string, Schedule>()
  #state: 'registering' | 'running' | 'stopped' = 'registering'
  #timer: unknown

  constructor (clock: Clock) {
    this.#clock = clock
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
    this.get(name).resume(this.#clock.now())
    this.wake()
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
    this.#state = 'running'
    const now = this.#clock.now()
    for (const schedule of this.all()) schedule.start(now)
    this.wake()
  }

  stop (): void {
    this.#state = 'stopped'
    this.#clock.clearTimeout(this.#timer)
    for (const schedule of this.all()) schedule.stop()
  }

  readonly wake = (): void => {
    if (this.#state !== 'running' || this.#schedules.size === 0) return
    this.#clock.clearTimeout(this.#timer)
    const now = this.#clock.now()
    let sleep = LONGEST_SLEEP
    for (const schedule of this.all()) {
      schedule.check(now)
      const { wakeAt } = schedule
      if (wakeAt !== undefined) sleep = Math.min(sleep, wakeAt - now)
    }
    this.#timer = this.#clock.setTimeout(this.wake, Math.max(Math.ceil(sleep), 1))
  }
}
