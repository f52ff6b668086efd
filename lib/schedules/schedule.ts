import type { ScheduledTick } from '../../types/job.ts'
import type { EnqueuedJob } from '../../types/jobs.ts'
import type { EnqueueOptions } from '../../types/options.ts'
import type { ScheduleOptions, ScheduleView } from '../../types/schedules.ts'
import type { Rule } from './rule.ts'

/** Milliseconds by which a tick may be late and still run in its turn. */
const GRACE = 60_000
/** Milliseconds by which the clock may be set back and ticks that have run are not run again. */
const SETBACK = 60_000
/** Milliseconds until a tick that could not be enqueued is tried again. */
const RETRY_DELAY = 5000
/** Milliseconds by which the clock of another instance may be behind, on top of the grace or of the interval until which it may run a tick. */
const SKEW = 60_000
/** Milliseconds for which a tick stays taken at the most, but for the skew. */
const WEEK = 604_800_000
/** Ticks looked at, one by one, for a run that another instance enqueued. */
const LOOKBACK = 10

export interface ScheduleCounts {
  /** Ticks that enqueued a job. */
  readonly ticks: number
  /** Ticks that passed by. */
  readonly missed: number
  /** Ticks left out since the run before had not finished. */
  readonly skipped: number
  /** Ticks that could not be enqueued, each time that was tried. */
  readonly failed: number
}

/** How a schedule acts on the app. */
export interface ScheduleHost {
  /** Rejects when the tick cannot be enqueued. */
  enqueue (options: EnqueueOptions, tick: ScheduledTick): Promise<EnqueuedJob>
  /** Whether a job of that id waits, runs or is being retried. */
  isUnfinished (id: string): Promise<boolean>
  /** Other instances may enqueue ticks of this schedule. */
  readonly shared: boolean
  /** Handled one tick: the next one may be due. */
  onHandled (): void
  onMissed (count: number): void
  onFailed (error: unknown, tick: number): void
}

/** One schedule: which ticks have come, and what becomes of each. */
export class Schedule {
  readonly name: string
  readonly description: Pick<ScheduleView, 'job' | 'queue' | 'every' | 'cron' | 'timezone'>
  readonly #createRule: (start: number) => Rule
  readonly #options: ScheduleOptions
  readonly #host: ScheduleHost
  /** Undefined before the start and after the stop. */
  #rule: Rule | undefined
  #startedAt = 0
  /** Everything up to this time has been seen to. */
  #handled = 0
  /** The first tick after `#handled`. */
  #next: number | undefined
  /** How often the clock was set back so far that ticks come again: they are other ticks then, up to where it was before. */
  #setBacks = 0
  #cameBefore = -Infinity
  #busy = false
  #paused = false
  #retryAt = 0
  /** The last tick known to have been enqueued. */
  #lastTick = -Infinity
  #lastRun: number | undefined
  #lastJobId: string | undefined
  #lastSuccess: number | undefined
  /** Runs that may not have finished. */
  readonly #runs = new Set<string>()
  #ticks = 0
  #missed = 0
  #skipped = 0
  #failed = 0

  /** `createRule` gets the time of the app's start. */
  constructor (name: string, description: Schedule['description'], createRule: (start: number) => Rule, options: ScheduleOptions, host: ScheduleHost) {
    this.name = name
    this.description = description
    this.#createRule = createRule
    this.#options = options
    this.#host = host
  }

  get counts (): ScheduleCounts {
    return { ticks: this.#ticks, missed: this.#missed, skipped: this.#skipped, failed: this.#failed }
  }

  view (): ScheduleView {
    return {
      name: this.name,
      ...this.description,
      paused: this.#paused,
      nextRun: this.#paused ? undefined : this.#next,
      lastRun: this.#lastRun,
      lastJobId: this.#lastJobId,
      lastSuccess: this.#lastSuccess
    }
  }

  /** When to look again; undefined when nothing comes by itself. */
  get wakeAt (): number | undefined {
    return this.#busy || this.#paused || this.#next === undefined ? undefined : Math.max(this.#next, this.#retryAt)
  }

  start (now: number): void {
    const rule = this.#rule = this.#createRule(now)
    this.#startedAt = now
    this.#handledUntil(now)
    if (this.#options.immediate && this.#isWithinBounds(now)) this.#handle(rule.latest(now) ?? now, now)
  }

  stop (): void {
    this.#rule = undefined
    this.#next = undefined
  }

  pause (): void {
    this.#paused = true
  }

  /** What came while it was paused is neither run nor missed. */
  resume (now: number): void {
    if (this.#paused) this.#handledUntil(now)
    this.#paused = false
  }

  /** Enqueues a job beside the rule. */
  async runNow (now: number): Promise<EnqueuedJob> {
    const enqueued = await this.#host.enqueue({ priority: this.#options.priority }, { name: this.name, at: now })
    this.#remember(now, enqueued.id)
    return enqueued
  }

  succeeded (now: number): void {
    this.#lastSuccess = now
  }

  /** Sees to what has come due: one run at most, however many ticks that are. */
  check (now: number): void {
    if (this.#rule === undefined || this.#busy || this.#paused) return
    if (now < this.#handled - SETBACK) {
      this.#setBacks++
      this.#cameBefore = Math.max(this.#cameBefore, this.#handled)
      this.#startedAt = Math.min(this.#startedAt, now)
      this.#handledUntil(now)
    }
    if (this.#next === undefined || now < this.#next || this.#waitsToRetry(now)) return
    const tick = this.#rule.latest(now)!
    const passed = tick === this.#next ? 1 : this.#rule.count(this.#handled, tick)
    // A tick of the time before the start is that of an immediate run.
    const runs = this.#options.missed === 'runOnce' || now - Math.max(tick, this.#startedAt) <= GRACE
    this.#handledUntil(tick)
    this.#miss(runs ? passed - 1 : passed)
    if (runs) this.#handle(tick, now)
  }

  // The clock may have been set back meanwhile.
  #waitsToRetry (now: number): boolean {
    return now < this.#retryAt && this.#retryAt <= now + RETRY_DELAY
  }

  #handledUntil (time: number): void {
    this.#handled = time
    this.#next = this.#rule?.next(time)
  }

  #miss (count: number): void {
    if (count === 0) return
    this.#missed += count
    this.#host.onMissed(count)
  }

  async #handle (tick: number, now: number): Promise<void> {
    this.#busy = true
    try {
      if (this.#options.overlap !== 'allow' && await this.#isRunBefore(tick)) this.#skipped++
      else await this.#enqueue(tick)
    } catch (error) {
      if (this.#rule !== undefined) this.#fail(error, tick, now)
    }
    this.#busy = false
    this.#host.onHandled()
  }

  // It stays due, and becomes a missed one when it is late.
  #fail (error: unknown, tick: number, now: number): void {
    this.#failed++
    this.#retryAt = now + RETRY_DELAY
    this.#handledUntil(Math.min(tick - 1, this.#handled))
    this.#host.onFailed(error, tick)
  }

  async #enqueue (tick: number): Promise<void> {
    const { jitter = 0, priority } = this.#options
    const id = this.#idOf(tick)
    const enqueued = await this.#host.enqueue({
      id,
      priority,
      uniqueKey: `schedule:${id}`,
      uniqueFor: this.#uniqueFor(tick),
      ...(jitter > 0 && { runAt: tick + Math.round(jitter * Math.random()) })
    }, { name: this.name, at: tick })
    this.#lastTick = tick
    this.#remember(tick, enqueued.id)
    if (enqueued.status === 'enqueued') this.#ticks++
  }

  #remember (time: number, id: string): void {
    this.#lastRun = time
    this.#lastJobId = id
    if (this.#options.overlap !== 'allow') this.#runs.add(id)
  }

  /** The same in every instance, and the same again when a late one comes to this tick. */
  #idOf (tick: number): string {
    return `${this.name}@${new Date(tick).toISOString()}${tick > this.#cameBefore ? '' : `~${this.#setBacks}`}`
  }

  #uniqueFor (tick: number): number {
    const interval = (this.#rule?.next(tick) ?? Infinity) - tick
    return Math.min(Math.max(GRACE, interval), WEEK) + SKEW
  }

  async #isRunBefore (tick: number): Promise<boolean> {
    for (const id of this.#runs) {
      if (await this.#host.isUnfinished(id)) return true
      this.#runs.delete(id)
    }
    return this.#host.shared && this.#isRunElsewhere(tick, this.#lastTick)
  }

  /** Looks for ticks since `lastRun` that this instance left to others. */
  async #isRunElsewhere (tick: number, lastRun: number): Promise<boolean> {
    let earlier = this.#rule?.latest(tick - 1)
    for (let looked = 0; looked < LOOKBACK && earlier !== undefined && earlier > lastRun; looked++) {
      const id = this.#idOf(earlier)
      if (await this.#host.isUnfinished(id)) {
        this.#lastTick = earlier
        this.#remember(earlier, id)
        return true
      }
      earlier = this.#rule?.latest(earlier - 1)
    }
    return false
  }

  #isWithinBounds (now: number): boolean {
    const { startAt = -Infinity, endAt = Infinity } = this.#options
    return now >= Number(startAt) && now <= Number(endAt)
  }
}
