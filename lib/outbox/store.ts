import type { OutboxEvent, ParkedEvent } from '../../types/outbox.ts'

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
export type Work = (events: readonly OutboxEvent[], batch: { readonly isLost: boolean }) => Promise<readonly EventResult[]>

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
   * Hands out up to `limit` pending events, in the order of `add`, and stores the results. Of each key there is the first
   * unfinished event, if it is due, and what follows it without a gap; no other process is handed those at the same time, for
   * `hold` milliseconds at the most. Keys take turns, the one whose first event has been due for longest comes first: neither
   * a key that fails again and again nor one with a long backlog keeps the others waiting. Resolves to the results that were stored.
   */
  batch (options: { readonly limit: number, readonly hold: number }, work: Work): Promise<readonly EventResult[]>
  /** Deletes up to `limit` events published more than `age` milliseconds ago; resolves to their number. */
  prune (age: number, limit: number): Promise<number>
  stats (): Promise<OutboxStats>
  /** Parked events, those parked first come first. */
  listParked (limit: number): Promise<ParkedEvent[]>
  /** Makes a parked event pending again, as if it were new but at its old place; false when there is none of that id. */
  retryParked (id: string): Promise<boolean>
  removeParked (id: string): Promise<boolean>
  /** Lets go of what the store has opened itself. */
  close (): void
}

export interface Candidate {
  readonly event: OutboxEvent
  /** Due, and this process holds it. */
  readonly isHeld: boolean
}

/** Of each key the held events up to the first one that is not: what comes after a gap has to wait. */
export function withoutGaps (candidates: readonly Candidate[]): OutboxEvent[] {
  const gaps = new Set<string>()
  const events: OutboxEvent[] = []
  for (const { event, isHeld } of candidates) {
    if (!isHeld) gaps.add(event.key)
    else if (!gaps.has(event.key)) events.push(event)
  }
  return events
}

/** A row as both databases give it. */
export interface EventRow {
  readonly id: string
  readonly type: string
  readonly key: string
  readonly payload: string
  readonly created_at: number | string
  readonly attempts: number
}

/** An event for its next attempt. */
export function eventOf (row: EventRow): OutboxEvent {
  return { ...headOf(row), attempt: row.attempts + 1 }
}

export function parkedEventOf (row: EventRow & { readonly last_error: string, readonly ended_at: number | string }): ParkedEvent {
  return { ...headOf(row), attempts: row.attempts, lastError: row.last_error, parkedAt: Number(row.ended_at) }
}

function headOf ({ id, type, key, payload, created_at: createdAt }: EventRow) {
  return { id, type, key, payload: JSON.parse(payload) as unknown, createdAt: Number(createdAt) }
}
