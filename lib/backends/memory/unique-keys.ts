import type { Clock } from '../../../types/backend.ts'
import { TimerHeap } from '../../timer-heap.ts'
import type { MemoryRecord } from './record.ts'

/** Who has which unique key: from the enqueue to the job's end, and for `uniqueFor` after it. */
export class UniqueKeys {
  readonly #clock: Clock
  readonly #holders = new Map<string, MemoryRecord>()
  readonly #expiry: TimerHeap<MemoryRecord>

  constructor (clock: Clock) {
    this.#clock = clock
    this.#expiry = new TimerHeap(clock, (record) => this.#release(record), 'wall')
  }

  holder (key: string | undefined): MemoryRecord | undefined {
    return key === undefined ? undefined : this.#holders.get(key)
  }

  take (record: MemoryRecord): void {
    const key = record.envelope.options?.uniqueKey
    if (key !== undefined) this.#holders.set(key, record)
  }

  /** For a job that runs again. Returns the other job that has its key by now, if there is one. */
  retake (record: MemoryRecord): MemoryRecord | undefined {
    const holder = this.holder(record.envelope.options?.uniqueKey)
    if (holder !== undefined && holder !== record) return holder
    this.take(record)
    if (record.rare?.expiry !== undefined) this.#expiry.remove(record.rare.expiry)
    return undefined
  }

  /** The job has ended. One that never ran gives its key back at once. */
  end (record: MemoryRecord): void {
    const options = record.envelope.options
    if (options?.uniqueKey === undefined) return
    if (options.uniqueFor !== undefined && options.uniqueFor > 0 && !record.neverRan) {
      (record.rare ??= {}).expiry = this.#expiry.addAt(this.#clock.now() + options.uniqueFor, record)
    } else {
      this.#release(record)
    }
  }

  /** Somebody removed the job: its key is free. */
  giveUp (record: MemoryRecord): void {
    if (record.rare?.expiry !== undefined && this.#expiry.remove(record.rare.expiry)) this.#release(record)
  }

  clear (): void {
    this.#expiry.clear()
  }

  #release (record: MemoryRecord): void {
    const key = record.envelope.options!.uniqueKey!
    if (this.#holders.get(key) === record) this.#holders.delete(key)
  }
}
