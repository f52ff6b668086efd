import type { QueueSettings, RetryAnswer } from '../../../types/backend.ts'
import type { EnvelopeOptions, JobEnvelope } from '../../../types/job.ts'
import { DEAD, DELAYED, FINISHED, WAITING } from './schema.ts'
import { decode, storableTime, type DeliveryRow, type JobRow } from './records.ts'
import type { Counts, Transaction } from './transaction.ts'
import { Ticks } from './ticks.ts'
import { UniqueKeys } from './unique-keys.ts'

/** Jobs that one transaction promotes or forgets: a long one would hold up everything else. */
const BATCH = 500

/** A queue's jobs in the file: how each gets from one place to another, and what its row counts then. */
export class SqliteQueue {
  readonly settings: QueueSettings
  readonly id: number
  readonly keys: UniqueKeys
  readonly ticks: Ticks

  constructor (settings: QueueSettings, id: number) {
    this.settings = settings
    this.id = id
    this.keys = new UniqueKeys(id)
    this.ticks = new Ticks(id)
  }

  /** Every job that was admitted and does not run holds room. */
  room ({ fresh, returned, delayed }: Counts): number {
    return this.settings.capacity - fresh - returned - delayed
  }

  insert (tx: Transaction, job: JobEnvelope, payload: string): void {
    const counts = tx.counts(this.id)
    const { options } = job
    if (options === undefined) {
      tx.insertPlain(this.id, counts.next_position++, job, payload)
      counts.fresh++
      return
    }
    if (options.givenId) this.#forgetNamesake(tx, job.id)
    if (options.uniqueKey !== undefined) this.keys.take(tx, options.uniqueKey, job.id)
    this.ticks.remember(tx, options, job.id)
    const rank = rankOf(options)
    if (options.runAt !== undefined && options.runAt > tx.now) {
      const runAt = storableTime(options.runAt)
      this.#insert(tx, job, payload, DELAYED, 0, runAt, rank, runAt, null)
      counts.delayed++
    } else {
      this.#insert(tx, job, payload, WAITING, rank, counts.next_position++, rank, null, null)
      counts.fresh++
    }
  }

  /** A job that found no room, for the history. */
  insertDropped (tx: Transaction, job: JobEnvelope): void {
    tx.dropped.push({ queue: this.settings.name, envelope: job })
    if (job.options?.givenId) this.#forgetNamesake(tx, job.id)
    if (this.settings.history === 0) return
    const counts = tx.counts(this.id)
    this.#insert(tx, job, null, FINISHED, 0, counts.next_position++, rankOf(job.options ?? {}), null, tx.now)
    counts.finished++
  }

  #insert (tx: Transaction, job: JobEnvelope, payload: string | null, place: number, line: number, position: number, rank: number, runAt: number | null, droppedAt: number | null): void {
    const { options } = job
    tx.sql.insert.run(
      this.id, place, line, position, job.id, job.name, payload, job.attempt, job.enqueuedAt, rank, job.correlationId ?? null,
      options === undefined ? null : JSON.stringify(options), options?.uniqueKey ?? null,
      options?.uniqueFor === undefined ? null : storableTime(options.uniqueFor), runAt,
      droppedAt, droppedAt === null ? null : 'dropped'
    )
  }

  /** A job that was dropped or cancelled gives its id to the next one. */
  #forgetNamesake (tx: Transaction, id: string): void {
    const row = tx.sql.byId.get(id) as unknown as JobRow | undefined
    if (row === undefined) return
    tx.sql.delete.run(row.seq)
    tx.counts(row.queue).finished--
  }

  /** Hands out what is ready, the first `limit` jobs. */
  claim (tx: Transaction, worker: number, limit: number): DeliveryRow[] {
    const counts = tx.counts(this.id)
    const rows = tx.sql.ready.all(this.id, limit) as unknown as (DeliveryRow & { line: number })[]
    for (const { seq, line } of rows) {
      tx.sql.claim.run(worker, tx.now, seq)
      if (line & 1) counts.fresh--
      else counts.returned--
    }
    counts.active += rows.length
    return rows
  }

  makeDueReady (tx: Transaction): void {
    if (tx.look(this.id).delayed === 0) return
    const counts = tx.counts(this.id)
    const due = tx.sql.due.all(this.id, tx.now, BATCH) as { seq: number, rank: number }[]
    for (const { seq, rank } of due) {
      tx.sql.makeReady.run(counts.next_position++, seq)
      if (rank & 1) counts.fresh++
      else counts.returned++
    }
    counts.delayed -= due.length
    if (due.length === BATCH) tx.unfinished = true
  }

  /** Ends a job that waits, or is delayed. */
  endUnstarted (tx: Transaction, row: JobRow, state: 'cancelled' | 'dropped'): void {
    const counts = tx.counts(this.id)
    if (row.place === DELAYED) counts.delayed--
    else if (row.rank & 1) counts.fresh--
    else counts.returned--
    this.keys.giveBack(tx, row)
    if (this.settings.history === 0) {
      tx.sql.delete.run(row.seq)
    } else {
      tx.sql.finish.run(counts.next_position++, state, tx.now, row.seq)
      counts.finished++
    }
  }

  /** Makes room: drops the oldest, or the newest, fresh job of the lowest priority, if there is one. */
  dropFresh (tx: Transaction, which: 'oldestOfLine' | 'newestOfLine'): void {
    const lowest = tx.sql.lowestFresh.get(this.id) as { line: number } | undefined
    if (lowest === undefined) return
    const row = tx.sql[which].get(this.id, lowest.line) as unknown as JobRow
    tx.dropped.push({ queue: this.settings.name, envelope: decode(row).envelope })
    this.endUnstarted(tx, row, 'dropped')
  }

  /** Runs a dead letter again; it was admitted once, so it is not refused for lack of room. */
  revive (tx: Transaction, row: JobRow): RetryAnswer {
    if (row.place !== DEAD) return false
    const heldBy = this.keys.retake(tx, row)
    if (heldBy !== undefined) return { heldBy }
    const counts = tx.counts(this.id)
    const fresh = this.room(counts) > 0
    const rank = fresh ? row.rank | 1 : row.rank - (row.rank & 1)
    counts.dead--
    if (fresh) counts.fresh++
    else counts.returned++
    tx.sql.revive.run(rank, rank, counts.next_position++, tx.now, rank, row.seq)
    return true
  }

  removeDead (tx: Transaction, row: JobRow): boolean {
    if (row.place !== DEAD) return false
    tx.sql.delete.run(row.seq)
    tx.counts(this.id).dead--
    this.keys.giveBack(tx, row)
    return true
  }

  /** Forgets the oldest of what has ended beyond the limits. */
  trim (tx: Transaction): void {
    const { history, deadLetters } = this.settings
    const { finished, dead } = tx.look(this.id)
    if (finished <= history && dead <= deadLetters) return
    const counts = tx.counts(this.id)
    if (counts.finished > history) this.#forgetFinished(tx, counts, Math.min(counts.finished - history, BATCH))
    for (const row of counts.dead > deadLetters ? this.#oldest(tx, DEAD, Math.min(counts.dead - deadLetters, BATCH)) : []) {
      tx.sql.delete.run(row.seq)
      counts.dead--
      tx.deadLettersLost.push({ queue: this.settings.name, letter: { ...row, correlationId: row.correlation_id ?? undefined } })
    }
    if (counts.finished > history || counts.dead > deadLetters) tx.unfinished = true
  }

  /** Forgets finished jobs that ended before `time`. */
  forgetEndedBefore (tx: Transaction, time: number): void {
    const oldest = this.#oldest(tx, FINISHED, BATCH)
    const kept = oldest.findIndex(({ finished_at: at }) => at > time)
    const expired = kept === -1 ? oldest.length : kept
    if (expired > 0) this.#forgetFinished(tx, tx.counts(this.id), expired)
    if (expired === BATCH) tx.unfinished = true
  }

  #forgetFinished (tx: Transaction, counts: Counts, limit: number): void {
    counts.finished -= Number(tx.sql.forgetFinished.run(this.id, limit).changes)
  }

  #oldest (tx: Transaction, place: number, limit: number) {
    return tx.sql.oldestEnded.all(this.id, place, limit) as { seq: number, id: string, name: string, attempt: number, correlation_id: string | null, finished_at: number }[]
  }
}

/** Ascending, the first to run first; odd for fresh jobs, which go after returned ones of their priority. */
function rankOf ({ priority = 0 }: EnvelopeOptions): number {
  return 1 - 2 * priority
}
