import type { Delivery } from '../../../types/backend.ts'
import type { DeadLetter, JobEnvelope, JobState, JobView, SerializedError } from '../../../types/job.ts'
import type { Linked } from '../../linked-list.ts'
import type { Timer } from '../../timer-heap.ts'
import type { MemoryQueue } from './queue.ts'

const NEVER = -1

/**
 * A job in memory. It is its own list node and its own delivery, and keeps its times as small integers relative to
 * the enqueueing: a queued job costs under 300 bytes beyond its payload (bench/heap.ts).
 */
export class MemoryRecord implements Delivery, Linked<MemoryRecord> {
  readonly envelope: JobEnvelope
  readonly queue: MemoryQueue
  state: JobState = 'waiting'
  prev: MemoryRecord | undefined = undefined
  next: MemoryRecord | undefined = undefined
  nextInBucket: MemoryRecord | undefined = undefined
  hash = 0
  #startedAfter = NEVER
  #finishedAfter = NEVER
  #attempt = 0
  /** What few jobs have. */
  rare: {
    timer?: Timer<MemoryRecord>
    expiry?: Timer<MemoryRecord>
    runAt?: number
    /** When the attempt first fell due, of a job that was handed back with a delay. */
    dueAt?: number
    progress?: number
    error?: SerializedError
    /** The payload as JSON, while a handler may be changing the object. */
    stored?: string
  } | undefined = undefined

  constructor (queue: MemoryQueue, envelope: JobEnvelope) {
    this.queue = queue
    this.envelope = envelope
  }

  get priority (): number {
    return this.envelope.options?.priority ?? 0
  }

  /** It ended without having been worked on, or not to its end: nothing keeps it from being enqueued again. */
  get neverRan (): boolean {
    return this.state === 'dropped' || this.state === 'cancelled'
  }

  forget (): void {
    this.queue.forget(this)
  }

  /** It was admitted before: it waits for another attempt, not for its first. */
  get returned (): boolean {
    return this.#startedAfter !== NEVER
  }

  /** Milliseconds since the epoch, as every time here. */
  get dueAt (): number {
    return this.rare?.dueAt ?? this.rare?.runAt ?? this.envelope.options?.runAt ?? this.envelope.enqueuedAt
  }

  get startedAt (): number | undefined {
    return this.returned ? this.envelope.enqueuedAt + this.#startedAfter : undefined
  }

  started (now: number): void {
    this.state = 'active'
    this.#attempt = this.envelope.attempt
    this.#startedAfter = Math.max(0, now - this.envelope.enqueuedAt)
  }

  finished (state: JobState, now: number): void {
    this.state = state
    this.#finishedAfter = Math.max(0, now - this.envelope.enqueuedAt)
  }

  released (): void {
    this.state = 'waiting'
    this.#attempt--
  }

  /** What a finished job needs no more: its payload, and an inline function with everything that it captured. */
  letGo (): void {
    const { envelope } = this
    envelope.payload = undefined
    if (envelope.options?.delegate !== undefined) envelope.options.delegate = Function.prototype as () => void
    if (this.rare !== undefined) this.rare.stored = undefined
  }

  /** Starts over, as a fresh job or, where there is no room for one, as a returned one. */
  revived (fresh: boolean, now: number): void {
    if (fresh) this.#startedAfter = NEVER
    this.state = 'waiting'
    this.envelope.attempt = 1
    this.#attempt = 0
    this.#finishedAfter = NEVER
    this.rare = { runAt: now }
  }

  storePayload (): void {
    (this.rare ??= {}).stored = JSON.stringify(this.envelope.payload)
  }

  restorePayload (): void {
    if (this.rare?.stored !== undefined) this.envelope.payload = JSON.parse(this.rare.stored)
  }

  progress (value: number): void {
    (this.rare ??= {}).progress = value
  }

  view (): JobView {
    const { envelope, rare } = this
    const { id, name, enqueuedAt, correlationId } = envelope
    return {
      id,
      name,
      queue: this.queue.settings.name,
      state: this.state,
      attempt: this.#attempt,
      attempts: envelope.options?.attempts,
      enqueuedAt,
      runAt: this.state === 'waiting' || this.state === 'delayed' ? rare?.runAt : undefined,
      startedAt: this.startedAt,
      finishedAt: this.#finishedAfter === NEVER ? undefined : enqueuedAt + this.#finishedAfter,
      progress: rare?.progress,
      error: rare?.error,
      correlationId
    }
  }

  deadLetter (payload: unknown): DeadLetter {
    return { ...this.view(), payload }
  }
}
