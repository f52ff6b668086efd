import type { ScheduledTick } from '../../types/job.ts'
import type { EnqueuedJob } from '../../types/jobs.ts'
import type { EnqueueOptions } from '../../types/options.ts'
import type { ScheduleOptions, ScheduleView } from '../../types/schedules.ts'
import type { Rule } from './rule.ts'
import { UnfinishedRuns, type RunsHost } from './unfinished-runs.ts'

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

export interface ScheduleCounts {
  /** Ticks that enqueued a job. */
  readonly ticks: number
  /** Ticks that passed by. */
  readonly missed: number
  /** Ticks left out since the run before had not finished. */
  readonly skipped: number
  /** Times that a tick could not be enqueued. */
  readonly failed: number
}

/** How a schedule acts on the app. */
export interface ScheduleHost extends RunsHost {
  /** Rejects when the tick cannot be enqueued. */
  enqueue (options: EnqueueOptions, tick: ScheduledTick): Promise<EnqueuedJob>
  /** Done with a tick: the next one may be due. */
  onHandled (schedule: Schedule): void
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
  readonly #unfinished: UnfinishedRuns
  /** Undefined before the start and after the stop. */
  #rule: Rule | undefined
  /** Ticks up to this time have been seen to. */
  #seenUntil = 0
  /** The first tick after it. */
  #next: number | undefined
  /** How often the clock was set back so far that ticks come again: they are other ticks then, up to where it was before. */
  #setBacks = 0
  #cameBefore = -Infinity
  #busy = false
  #paused = false
  #resumedAt = -Infinity
  /** A tick that could not be enqueued, and when to try again. */
  #failedTick: number | undefined
  #retryAt = 0
  #lastRun: number | undefined
  #lastJobId: string | undefined
  #lastSuccess: number | undefined
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
    this.#unfinished = new UnfinishedRuns(host)
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
    this.#seeUntil(now)
    if (!this.#options.immediate || this.#paused || !this.#isWithinBounds(now)) return
    // Only a startAt can keep ticks from having been.
    this.#handle(rule.latest(now) ?? Number(this.#options.startAt), now)
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
    if (!this.#paused) return
    this.#paused = false
    this.#resumedAt = now
    this.#seeUntil(now)
  }

  /** Enqueues a job beside the rule. */
  async runNow (now: number): Promise<EnqueuedJob> {
    const enqueued = await this.#host.enqueue({ priority: this.#options.priority }, { name: this.name, at: now })
    if (enqueued.status === 'enqueued') this.#remember(now, enqueued.id)
    return enqueued
  }

  succeeded (now: number): void {
    this.#lastSuccess = now
  }

  /** Sees to what has come due: one run at most, however many ticks that are. */
  check (now: number): void {
    const rule = this.#rule
    if (rule === undefined || this.#busy || this.#paused) return
    if (now < this.#seenUntil - SETBACK) this.#setBack(now)
    if (this.#next === undefined || now < this.#next || this.#waitsToRetry(now)) return
    let tick = this.#next
    let passed = 1
    const following = this.#seeUntil(tick)
    if (following !== undefined && following <= now) {
      passed += rule.count(tick, now)
      tick = rule.latest(now)!
      this.#seeUntil(tick)
    }
    // One that could not be enqueued in its time is tried until the next one comes.
    const runs = this.#options.missed === 'runOnce' || now - tick <= GRACE || tick === this.#failedTick
    this.#miss(runs ? passed - 1 : passed)
    if (runs) this.#handle(tick, now)
  }

  #setBack (now: number): void {
    this.#setBacks++
    this.#cameBefore = Math.max(this.#cameBefore, this.#seenUntil)
    this.#seeUntil(now)
  }

  // The clock may have been set back meanwhile.
  #waitsToRetry (now: number): boolean {
    return now < this.#retryAt && this.#retryAt <= now + RETRY_DELAY
  }

  #seeUntil (time: number): number | undefined {
    this.#seenUntil = time
    this.#next = this.#rule?.next(time)
    return this.#next
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
    this.#host.onHandled(this)
  }

  #fail (error: unknown, tick: number, now: number): void {
    this.#failed++
    this.#failedTick = tick
    this.#retryAt = now + RETRY_DELAY
    // It stays due, unless it fell into a pause.
    this.#seeUntil(Math.max(tick - 1, this.#resumedAt))
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
    switch (enqueued.status) {
      case 'dropped':
        this.#failed++
        return
      case 'enqueued':
        this.#ticks++
        // falls through
      case 'duplicate':
        this.#unfinished.enqueued(tick)
        this.#remember(tick, enqueued.id)
    }
  }

  #remember (time: number, id: string): void {
    this.#lastRun = time
    this.#lastJobId = id
    if (this.#options.overlap !== 'allow') this.#unfinished.add(id)
  }

  async #isRunBefore (tick: number): Promise<boolean> {
    if (await this.#unfinished.any()) return true
    const elsewhere = this.#rule && await this.#unfinished.findElsewhere(tick, this.#rule, (earlier) => this.#idOf(earlier))
    if (elsewhere === undefined) return false
    this.#remember(elsewhere.tick, elsewhere.id)
    return true
  }

  /** The same in every instance, and the same again when a late one comes to this tick. */
  #idOf (tick: number): string {
    return `${this.name}@${new Date(tick).toISOString()}${tick > this.#cameBefore ? '' : `~${this.#setBacks}`}`
  }

  #uniqueFor (tick: number): number {
    return Math.min(Math.max(GRACE, (this.#next ?? Infinity) - tick), WEEK) + SKEW
  }

  #isWithinBounds (now: number): boolean {
    const { startAt = -Infinity, endAt = Infinity } = this.#options
    return now >= Number(startAt) && now <= Number(endAt)
  }
}
