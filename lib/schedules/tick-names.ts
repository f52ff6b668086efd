import { createHash } from 'node:crypto'

/** 31 bits as 6 digits: with a schedule's name of 64 characters the id still fits into the 100 characters that `GET /jobs/:id` takes. */
const DIGITS = 6

/** What the ticks of one schedule are called in the backend: the same in every instance and in every release. */
export class TickNames {
  readonly #schedule: string
  /** Two services on one store may have schedules of the same name: the queue and the job tell them apart. */
  readonly #digest: string
  /** How often the clock was set back so far that ticks come again. Those are other ticks then, up to where the clock was before. */
  #setBacks = 0
  #cameBefore = -Infinity

  constructor (schedule: string, queue: string, job: string) {
    this.#schedule = schedule
    this.#digest = digestOf(queue, job)
  }

  /** The clock was set back: ticks up to `time` come again, as new jobs. */
  setBack (time: number): void {
    this.#setBacks++
    this.#cameBefore = Math.max(this.#cameBefore, time)
  }

  /** Of the tick's job. */
  idOf (tick: number): string {
    return `${this.#timeOf(tick)}.${this.#digest}${this.#repetition(tick)}`
  }

  /**
   * Of the tick's job. Without the digest, since unique keys are one queue's and one job's anyway: so an instance of an
   * earlier release, whose ids have no digest, does not run the tick as well.
   */
  uniqueKeyOf (tick: number): string {
    return `schedule:${this.#timeOf(tick)}${this.#repetition(tick)}`
  }

  /** Under it the backend remembers the schedule's latest tick. Undefined for a tick that comes again: it is run again on purpose. */
  keyOf (tick: number): string | undefined {
    return this.#isRepeated(tick) ? undefined : `${this.#schedule}.${this.#digest}`
  }

  /** The tick whose job has that id; undefined when it is no job of this schedule. Earlier releases left the digest out. */
  tickOf (id: string): number | undefined {
    const [, schedule, time = '', digest = this.#digest] = /^(.+)@(.+Z)(?:\.(\w+))?(?:~\d+)?$/.exec(id) ?? []
    const tick = Date.parse(time)
    return schedule !== this.#schedule || digest !== this.#digest || Number.isNaN(tick) ? undefined : tick
  }

  #timeOf (tick: number): string {
    return `${this.#schedule}@${new Date(tick).toISOString()}`
  }

  #repetition (tick: number): string {
    return this.#isRepeated(tick) ? `~${this.#setBacks}` : ''
  }

  #isRepeated (tick: number): boolean {
    return tick <= this.#cameBefore
  }
}

function digestOf (...names: string[]): string {
  const bits = createHash('sha256').update(JSON.stringify(names)).digest().readUInt32BE() >>> 1
  return bits.toString(36).padStart(DIGITS, '0')
}
