import type { Rule } from './rule.ts'

/** Ticks looked at, one by one, for a run that another instance enqueued. */
const LOOKBACK = 100

export interface RunsHost {
  /** Whether a job of that id waits, runs or is being retried. */
  isUnfinished (id: string): Promise<boolean>
  /** Other instances may enqueue ticks of this schedule. */
  readonly shared: boolean
}

/** The runs of a schedule that may not have finished: what `overlap: 'skip'` asks about. */
export class UnfinishedRuns {
  readonly #host: RunsHost
  readonly #ids = new Set<string>()
  /** The last tick known to have been enqueued. */
  #lastTick = -Infinity

  constructor (host: RunsHost) {
    this.#host = host
  }

  add (id: string): void {
    this.#ids.add(id)
  }

  enqueued (tick: number): void {
    this.#lastTick = tick
  }

  /** Whether one of those that this instance knows of has not finished. */
  async any (): Promise<boolean> {
    for (const id of this.#ids) {
      if (await this.#host.isUnfinished(id)) return true
      this.#ids.delete(id)
    }
    return false
  }

  /** An unfinished run of a tick that this instance has left out since its last one, or has not been there for. */
  async findElsewhere (tick: number, rule: Rule, idOf: (tick: number) => string): Promise<{ readonly tick: number, readonly id: string } | undefined> {
    if (!this.#host.shared) return undefined
    let earlier = rule.latest(tick - 1)
    for (let looked = 0; looked < LOOKBACK && earlier !== undefined && earlier > this.#lastTick; looked++) {
      const id = idOf(earlier)
      if (await this.#host.isUnfinished(id)) {
        this.#lastTick = earlier
        return { tick: earlier, id }
      }
      earlier = rule.latest(earlier - 1)
    }
    return undefined
  }
}
