import { LinkedList } from '../../linked-list.ts'
import type { MemoryRecord } from './record.ts'

interface Lane {
  readonly priority: number
  /** Due retries and released jobs: they hold no room, go first and are never dropped. */
  readonly returned: LinkedList<MemoryRecord>
  readonly fresh: LinkedList<MemoryRecord>
}

function newLane (priority: number): Lane {
  return { priority, returned: new LinkedList(), fresh: new LinkedList() }
}

/** The jobs that are ready to run: one FIFO lane a priority, O(1) at any backlog. */
export class Lanes {
  readonly #normal = newLane(0)
  /** The highest priority first. Empty lanes go, all but the normal one. */
  readonly #lanes: Lane[] = [this.#normal]
  fresh = 0
  returned = 0

  get size (): number {
    return this.fresh + this.returned
  }

  push (record: MemoryRecord): void {
    this.#lane(record.priority).fresh.push(record)
    this.fresh++
  }

  pushReturned (record: MemoryRecord): void {
    this.#lane(record.priority).returned.push(record)
    this.returned++
  }

  /** To the head: it was taken before everything that waits. */
  unshiftReturned (record: MemoryRecord): void {
    this.#lane(record.priority).returned.unshift(record)
    this.returned++
  }

  take (): MemoryRecord | undefined {
    for (let index = 0; index < this.#lanes.length; index++) {
      const lane = this.#lanes[index]!
      const record = lane.returned.first ?? lane.fresh.first
      if (record !== undefined) {
        this.#removeFrom(lane, record)
        return record
      }
    }
    return undefined
  }

  /** The job that has waited longest, of the lowest priority. */
  get oldestFresh (): MemoryRecord | undefined {
    return this.#lowestFresh()?.first
  }

  /** The job that came last, of the lowest priority. */
  get newestFresh (): MemoryRecord | undefined {
    return this.#lowestFresh()?.last
  }

  /** When the job that has waited longest fell due. */
  get waitingSince (): number | undefined {
    let since: number | undefined
    for (const { returned, fresh } of this.#lanes) {
      for (const { first } of [returned, fresh]) {
        if (first !== undefined && (since === undefined || first.dueAt < since)) since = first.dueAt
      }
    }
    return since
  }

  remove (record: MemoryRecord): void {
    this.#removeFrom(this.#lane(record.priority), record)
  }

  * [Symbol.iterator] (): Generator<MemoryRecord> {
    for (const lane of this.#lanes) {
      yield * lane.returned
      yield * lane.fresh
    }
  }

  #lowestFresh (): LinkedList<MemoryRecord> | undefined {
    return this.#lanes.findLast((lane) => lane.fresh.size > 0)?.fresh
  }

  #removeFrom (lane: Lane, record: MemoryRecord): void {
    if (record.returned) {
      lane.returned.remove(record)
      this.returned--
    } else {
      lane.fresh.remove(record)
      this.fresh--
    }
    if (lane !== this.#normal && lane.fresh.size === 0 && lane.returned.size === 0) {
      this.#lanes.splice(this.#lanes.indexOf(lane), 1)
    }
  }

  #lane (priority: number): Lane {
    if (priority === 0) return this.#normal
    const index = this.#lanes.findIndex((lane) => lane.priority <= priority)
    const found = this.#lanes[index]
    if (found?.priority === priority) return found
    const lane = newLane(priority)
    this.#lanes.splice(index === -1 ? this.#lanes.length : index, 0, lane)
    return lane
  }
}
