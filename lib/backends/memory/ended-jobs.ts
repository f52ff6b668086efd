import type { QueueSettings } from '../../../types/backend.ts'
import { LinkedList } from '../../linked-list.ts'
import type { MemoryRecord } from './record.ts'
import type { RecordIndex } from './record-index.ts'

/** The last finished jobs and the dead letters of a queue, so many of each. */
export class EndedJobs {
  readonly #settings: QueueSettings
  readonly #records: RecordIndex
  readonly #onDeadLetterLost: (record: MemoryRecord) => void
  readonly #finished = new LinkedList<MemoryRecord>()
  readonly #dead = new LinkedList<MemoryRecord>()

  constructor (settings: QueueSettings, records: RecordIndex, onDeadLetterLost: (record: MemoryRecord) => void) {
    this.#settings = settings
    this.#records = records
    this.#onDeadLetterLost = onDeadLetterLost
  }

  get dead (): LinkedList<MemoryRecord> {
    return this.#dead
  }

  keepFinished (record: MemoryRecord): void {
    this.#keep(this.#finished, record, this.#settings.history)
  }

  keepDead (record: MemoryRecord): void {
    const lost = this.#keep(this.#dead, record, this.#settings.deadLetters)
    if (lost === undefined) return
    // Its unique key may be taken for longer.
    lost.letGo()
    this.#onDeadLetterLost(lost)
  }

  forgetFinished (record: MemoryRecord): void {
    this.#finished.remove(record)
    this.#records.remove(record)
  }

  forgetDead (record: MemoryRecord): void {
    this.#dead.remove(record)
    this.#records.remove(record)
    record.letGo()
  }

  /** Appends, and forgets the oldest one beyond the limit. */
  #keep (list: LinkedList<MemoryRecord>, record: MemoryRecord, limit: number): MemoryRecord | undefined {
    list.push(record)
    if (list.size <= limit) return undefined
    const oldest = list.shift()!
    this.#records.remove(oldest)
    return oldest
  }
}
