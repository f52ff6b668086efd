import { untilThereAre } from './until.ts'

/** A handler whose jobs say when they began, and end when they are told. Jobs are known by their payloads. */
export class HeldJobs {
  /** Payloads, in the order in which their jobs began. */
  readonly begun: unknown[] = []
  readonly ended: unknown[] = []
  running = 0
  /** How many have run at once. */
  most = 0
  #open = false
  readonly #gates = new Map<unknown, () => void>()

  readonly handler = async (payload: unknown): Promise<void> => {
    this.begun.push(payload)
    this.most = Math.max(this.most, ++this.running)
    if (!this.#open) await new Promise<void>((resolve) => this.#gates.set(payload, resolve))
    this.running--
    this.ended.push(payload)
  }

  async haveBegun (count: number): Promise<void> {
    await untilThereAre(count, 'jobs have begun', () => this.begun.length)
  }

  async haveEnded (count: number): Promise<void> {
    await untilThereAre(count, 'jobs have ended', () => this.ended.length)
  }

  /** Ends the job of that payload, which runs. */
  end (payload: unknown): void {
    this.#gates.get(payload)!()
  }

  /** Ends those that run, and those that come at once. */
  endAll (): void {
    this.#open = true
    for (const resolve of this.#gates.values()) resolve()
  }
}
