import type { Clock } from '../../../types/backend.ts'
import type { EnvelopeOptions, JobEnvelope } from '../../../types/job.ts'

/** Milliseconds by which a remembered tick may lie in the future: further ahead, only a wrong clock has put it there. */
const SKEW = 60_000

/** The latest tick of each schedule that was enqueued, and its job's id. Remembered for good: ids and unique keys are not. */
export class Ticks {
  readonly #clock: Clock
  readonly #latest = new Map<string, { readonly at: number, readonly id: string }>()

  constructor (clock: Clock) {
    this.#clock = clock
  }

  /** The job of which this tick's job would be a duplicate. */
  duplicateOf ({ tickKey, schedule, uniqueFor = 0 }: EnvelopeOptions): string | undefined {
    if (tickKey === undefined) return undefined
    const latest = this.#trusted(tickKey)
    if (latest === undefined) return undefined
    const { at } = schedule!
    return at === latest.at || at < latest.at - uniqueFor ? latest.id : undefined
  }

  /** The job was admitted. */
  remember ({ id, options }: JobEnvelope): void {
    if (options?.tickKey === undefined) return
    const { at } = options.schedule!
    const latest = this.#trusted(options.tickKey)
    if (latest === undefined || at > latest.at) this.#latest.set(options.tickKey, { at, id })
  }

  #trusted (key: string): { readonly at: number, readonly id: string } | undefined {
    const latest = this.#latest.get(key)
    return latest === undefined || latest.at > this.#clock.now() + SKEW ? undefined : latest
  }
}
