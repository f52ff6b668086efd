import type { OutboxEvent, ParkedEvent } from '../../types/outbox.ts'
import { decodePayload } from '../envelope.ts'
import type { KnownKeys } from './known-keys.ts'

export interface NewEvent {
  readonly id: string
  readonly type: string
  readonly key: string
  /** JSON text. */
  readonly payload: string
}

/** What became of an event that was handed out. */
export type EventResult = {
  readonly event: OutboxEvent
} & (
  | { readonly state: 'published' }
  /** To be tried again `delay` milliseconds after this was stored. */
  | { readonly state: 'failed', readonly error: Error, readonly message: string, readonly delay: number }
  | { readonly state: 'parked', readonly error: Error, readonly message: string }
)

/** Works through a batch. An event without a result stays as it was. Never rejects. */
export type Work = (events: readonly OutboxEvent[], batch: Batch) => Promise<readonly EventResult[]>

export interface Batch {
  readonly isLost: boolean
  /** Events whose payload cannot be read, and why, by their ids. */
  readonly damaged: ReadonlyMap<string, Error>
}

export interface BatchOptions {
  readonly limit: number
  /** Milliseconds. */
  readonly hold: number
  /** Ends the search for events when it aborts, and the wait for a database that does not answer. */
  readonly signal?: AbortSignal
}

export interface OutboxStats {
  readonly pending: number
  readonly parked: number
  /** Age of the oldest pending event; 0 when there is none. */
  readonly oldestSeconds: number
}

/** Where events live, and how a transaction puts them there. A store translates; it decides nothing. */
export interface OutboxStore {
  /** Rejects when the database is out of reach or its table is not what it should be. */
  open (): Promise<OpenStore>
}

export interface OpenStore {
  /**
   * Stores an event in the transaction of the user's; its id. Fails, with a promise where it returns one, as `create` does and with
   * FST_JOBS_INVALID_OPTIONS when `tx` has or can have no transaction.
   */
  add (tx: unknown, create: () => NewEvent): Promise<string> | string
  /**
   * Hands out up to `limit` pending events and stores the results. Keys come in the order of their turns; of each key there is the first
   * unfinished event, if it is due, and what follows it without a gap, in the order of `add`. No other process is handed those at the same time, for
   * `hold` milliseconds at the most. Keys take turns: neither a key that fails again and again nor one with a long backlog keeps
   * the others waiting. A time in the future that a clock gave which was ahead is not waited for. Resolves to the results that were stored.
   */
  batch (options: BatchOptions, work: Work): Promise<readonly EventResult[]>
  /** Deletes up to `limit` events published more than `age` milliseconds ago; resolves to their number. Fails when `signal` aborts. */
  prune (age: number, limit: number, signal?: AbortSignal): Promise<number>
  stats (): Promise<OutboxStats>
  /** Parked events, those parked first come first. */
  listParked (limit: number): Promise<ParkedEvent[]>
  /** Makes a parked event pending again, as if it were new but at its old place; false when there is none of that id. */
  retryParked (id: string): Promise<boolean>
  removeParked (id: string): Promise<boolean>
  /** Lets go of what the store has opened itself. */
  close (): void
}

/** A row as both databases give it. */
export interface EventRow {
  readonly seq: number | string
  readonly id: string
  readonly type: string
  readonly key: string
  readonly payload: string
  readonly created_at: number | string
  readonly attempts: number
}

/** In their order. */
export function groupByKey<T extends { readonly key: string }> (events: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const event of events) {
    const group = groups.get(event.key)
    if (group === undefined) groups.set(event.key, [event])
    else group.push(event)
  }
  return groups
}

/** Events for their next attempt. */
export function readEvents (rows: readonly EventRow[]): { readonly events: OutboxEvent[], readonly damaged: Map<string, Error> } {
  const damaged = new Map<string, Error>()
  const events = rows.map((row) => {
    let payload: unknown
    try {
      payload = payloadOf(row)
    } catch (error) {
      damaged.set(row.id, error as Error)
    }
    return { ...headOf(row), payload, attempt: row.attempts + 1 }
  })
  return { events, damaged }
}

/** Remembers whose turn it was, and how far each key has come. One of which no event was begun keeps its place. */
export function rememberTurns (keys: KnownKeys, taken: readonly EventRow[], results: readonly EventResult[]): void {
  const states = new Map(results.map(({ event, state }) => [event.id, state]))
  const progress = new Map<string, { seq: number, count: number, isOpen: boolean }>()
  for (const { id, key, seq } of taken) {
    const state = states.get(id)
    let one = progress.get(key)
    if (one === undefined) {
      if (state === undefined) continue
      progress.set(key, one = { seq: 0, count: 0, isOpen: true })
    }
    one.isOpen &&= state === 'published' || state === 'parked'
    if (!one.isOpen) continue
    one.seq = Number(seq)
    one.count++
  }
  for (const [key, { seq, count }] of progress) keys.served(key, seq, count)
}

/** One whose payload cannot be read is shown with the text. */
export function parkedEventOf (row: EventRow & { readonly last_error: string, readonly ended_at: number | string }): ParkedEvent {
  let payload: unknown = row.payload
  try {
    payload = payloadOf(row)
  } catch {
    // The last error says so.
  }
  return { ...headOf(row), payload, attempts: row.attempts, lastError: row.last_error, parkedAt: Number(row.ended_at) }
}

function payloadOf ({ type, payload }: EventRow): unknown {
  return decodePayload(`event '${type}'`, payload)
}

function headOf ({ id, type, key, created_at: createdAt }: EventRow) {
  return { id, type, key, createdAt: Number(createdAt) }
}
