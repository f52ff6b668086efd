import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from '../../../types/backend.ts'
import { logError } from '../../log-error.ts'
import type { Connection } from './connection.ts'

/** Milliseconds before a transaction that failed is tried again. */
const FIRST_BACKOFF = 100
const LAST_BACKOFF = 5000
/** Bytes by which a probe exceeds what was refused, since a job may take new pages of the table and of each index. */
const PROBE_MARGIN = 32 * 1024
/** A longer probe would stop the process for too long. */
const MAX_PROBE = 8 * 1024 * 1024

/** What the file was asked to store. */
interface Request {
  /** Absent: a few. */
  readonly bytes?: number
  /** All of it was stored. */
  readonly isStored?: boolean
}

export interface OutageOptions {
  readonly connection: Pick<Connection, 'probe'>
  readonly clock: Clock
  readonly log: FastifyBaseLogger
  /** Tries the work again that waits to be stored. */
  retry (): void
}

/**
 * Trouble with the file, from the first failure until something proves that it is over. A transaction that stores little proves
 * nothing: on a full disk it finds room in pages that are there. So the largest request that was refused is the measure.
 */
export class Outage {
  readonly #options: OutageOptions
  #isOn = false
  /** What callers are told; undefined while the work alone is in trouble, and not for long. */
  #error: Error | undefined
  /** Bytes of the largest request that was refused, until as many are stored. */
  #refused: number | undefined
  #timer: unknown
  #backoff = 0

  constructor (options: OutageOptions) {
    this.#options = options
  }

  get isOn (): boolean {
    return this.#isOn
  }

  /** Throws while requests are refused, or nothing can be stored. */
  assertOver (): void {
    if (this.#error !== undefined) throw this.#error
  }

  /** A transaction failed, and these were refused with it. */
  failed (error: Error, refused: readonly Request[]): void {
    this.#begin(error)
    this.#retryLater()
    if (refused.length === 0) return
    this.#error = error
    this.#refused = refused.reduce((largest, { bytes = 1 }) => Math.max(largest, bytes), this.#refused ?? 0)
  }

  /** Nothing could be stored for too long. */
  lasts (error: Error): void {
    this.#begin(error)
    this.#error = error
  }

  /** A transaction is committed, and these with it. */
  committed (stored: readonly Request[]): void {
    const refused = this.#refused
    if (refused !== undefined && !stored.some(({ bytes = 0, isStored }) => isStored && bytes >= refused)) return
    this.#isOn = false
    this.#refused = this.#error = undefined
    this.#backoff = 0
    this.stopRetrying()
    this.#options.log.info('the SQLite file can be used again')
  }

  stopRetrying (): void {
    this.#options.clock.clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #begin (error: Error): void {
    if (!this.#isOn) logError(this.#options.log, 'error', error, {}, 'the SQLite file cannot be used')
    this.#isOn = true
  }

  #retryLater (): void {
    if (this.#timer !== undefined) return
    this.#backoff = Math.min(Math.max(FIRST_BACKOFF, this.#backoff * 2), LAST_BACKOFF)
    this.#timer = this.#options.clock.setTimeout(this.#retry, this.#backoff)
  }

  // Whoever was refused has been told so, and may not come again: an app that is not ready gets no requests.
  readonly #retry = (): void => {
    this.#timer = undefined
    if (this.#refused !== undefined) this.#probe(this.#refused)
    this.#options.retry()
  }

  #probe (bytes: number): void {
    try {
      this.#options.connection.probe(Math.min(bytes + PROBE_MARGIN, MAX_PROBE))
      // The next transaction that is committed ends the outage: until then the work may be in trouble.
      this.#refused = undefined
    } catch {
      this.#retryLater()
    }
  }
}
