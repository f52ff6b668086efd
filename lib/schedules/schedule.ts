import type { EnqueuedJob } from '../../types/jobs.ts'
import type { EnqueueOptions } from '../../types/options.ts'
import type { ScheduleOptions, ScheduleView } from '../../types/schedules.ts'
import type { TickToEnqueue } from '../enqueuer.ts'
import { FailedTick } from './failed-tick.ts'
import type { Rule } from './rule.ts'
import type { TickNames } from './tick-names.ts'
import { UnfinishedRuns, type RunsHost } from './unfinished-runs.ts'

/** Milliseconds by which a tick may be late and still run in its turn. */
const GRACE = 60_000
/** Milliseconds by which the clock may be set back and ticks that have run are not run again. */
const SETBACK = 60_000
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

/** Milliseconds since the epoch, or an infinity. */
export interface Bounds {
  readonly startAt: number
  readonly endAt: number
}

/** How a schedule acts on the app. */
export interface ScheduleHost extends RunsHost {
  /** Rejects when the tick cannot be enqueued. */
  enqueue (options: EnqueueOptions, tick: TickToEnqueue): Promise<EnqueuedJob>
  /** Rejects with FST_JOBS_TICK_TAKEN when the job of that id is not one of this schedule's. */
  assertOwn (id: string): Promise<void>
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
  readonly #options: ScheduleOptions & Bounds
  readonly #names: TickNames
  readonly #host: ScheduleHost
  readonly #unfinished: UnfinishedRuns
  /** Undefined before the start and after the stop. */
  #rule: Rule | undefined
  /** Ticks up to this time have been seen to. */
  #seenUntil = 0
  /** The first tick after it. */
  #next: number | undefined
  /** `tick`: the one that was the next when it was looked for. */
  #interval: { readonly tick: number, readonly length: number | undefined } | undefined
  #busy = false
  #paused = false
  #resumedAt = -Infinity
  readonly #failedTick = new FailedTick()
  #lastRun: number | undefined
  #lastJobId: string | undefined
  #lastSuccess: number | undefined
  #ticks = 0
  #missed = 0
  #skipped = 0
  #failed = 0

  /** `createRule` gets the time of the app's start. */
  constructor (
    name: string, description: Schedule['description'], createRule: (start: number) => Rule, options: ScheduleOptions & Bounds, names: TickNames, host: ScheduleHost
  ) {
    this.name = name
    this.description = description
    this.#createRule = createRule
    this.#options = options
    this.#names = names
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

  /** Milliseconds between the next tick and the one before it, or after it where it is the first one; undefined when none comes, or while it is paused. */
  get interval (): number | undefined {
    if (this.#rule === undefined || this.#next === undefined || this.#paused) return undefined
    // To look for the ticks of a pattern takes its time.
    if (this.#interval?.tick !== this.#next) this.#interval = { tick: this.#next, length: intervalAt(this.#next, this.#rule) }
    return this.#interval.length
  }

  /** When to look again; undefined when nothing comes by itself. */
  get wakeAt (): number | undefined {
    return this.#busy || this.#paused || this.#next === undefined ? undefined : Math.max(this.#next, this.#failedTick.retryAt)
  }

  start (now: number): void {
    const rule = this.#rule = this.#createRule(now)
    this.#seeUntil(now)
    if (!this.#options.immediate || this.#paused || !this.#isWithinBounds(now)) return
    // Only a startAt can keep ticks from having been.
    this.#handle(rule.latest(now) ?? this.#options.startAt, now)
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
    if (now < this.#seenUntil - SETBACK) {
      this.#names.setBack(this.#seenUntil)
      this.#seeUntil(now)
    }
    if (this.#next === undefined || now < this.#next || this.#failedTick.waits(now)) return
    let tick = this.#next
    let passed = 1
    const following = this.#seeUntil(tick)
    if (following !== undefined && following <= now) {
      passed += rule.count(tick, now)
      tick = rule.latest(now)!
      this.#seeUntil(tick)
    }
    // One that could not be enqueued in its time is tried until the next one comes.
    const runs = this.#options.missed === 'runOnce' || now - tick <= GRACE || this.#failedTick.is(tick)
    this.#miss(runs ? passed - 1 : passed)
    if (runs) this.#handle(tick, now)
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
    // It stays due, unless it fell into a pause.
    this.#seeUntil(Math.max(tick - 1, this.#resumedAt))
    if (this.#failedTick.record(tick, error, now)) this.#host.onFailed(error, tick)
  }

  async #enqueue (tick: number): Promise<void> {
    const { jitter = 0, priority } = this.#options
    const enqueued = await this.#host.enqueue({
      id: this.#names.idOf(tick),
      priority,
      uniqueKey: this.#names.uniqueKeyOf(tick),
      uniqueFor: this.#uniqueFor(tick),
      ...(jitter > 0 && { runAt: tick + Math.round(jitter * Math.random()) })
    }, {
      name: this.name,
      at: tick,
      key: this.#host.shared ? this.#names.keyOf(tick) : undefined
    })
    switch (enqueued.status) {
      case 'dropped':
        this.#failed++
        return
      case 'enqueued':
        this.#ticks++
        this.#remember(tick, enqueued.id)
        break
      case 'duplicate':
        await this.#host.assertOwn(enqueued.id)
        // The backend may have answered with the job of a later tick, which it remembers.
        this.#remember(this.#names.tickOf(enqueued.id) ?? tick, enqueued.id)
    }
    this.#unfinished.enqueued(tick)
  }

  #remember (time: number, id: string): void {
    this.#lastRun = time
    this.#lastJobId = id
    if (this.#options.overlap !== 'allow') this.#unfinished.add(id)
  }

  async #isRunBefore (tick: number): Promise<boolean> {
    if (await this.#unfinished.any()) return true
    const elsewhere = this.#rule && await this.#unfinished.findElsewhere(tick, this.#rule, (earlier) => this.#names.idOf(earlier))
    if (elsewhere === undefined) return false
    this.#remember(elsewhere.tick, elsewhere.id)
    return true
  }

  #uniqueFor (tick: number): number {
    return Math.min(Math.max(GRACE, (this.#next ?? Infinity) - tick), WEEK) + SKEW
  }

  #isWithinBounds (now: number): boolean {
    return now >= this.#options.startAt && now <= this.#options.endAt
  }
}

function intervalAt (tick: number, rule: Rule): number | undefined {
  const before = rule.latest(tick - 1)
  if (before !== undefined) return tick - before
  const after = rule.next(tick)
  return after === undefined ? undefined : after - tick
}
