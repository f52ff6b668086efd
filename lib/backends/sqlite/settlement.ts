import type { Outcome } from '../../../types/backend.ts'
import type { SerializedError } from '../../../types/job.ts'
import type { SqliteDelivery } from './delivery.ts'
import type { SqliteQueue } from './queue.ts'
import { storableTime } from './records.ts'
import type { Counts, Transaction } from './transaction.ts'

/** Stores what a delivery came to. Whoever lost its lease changes nothing: every statement asks for the worker. */
export function settle (tx: Transaction, queue: SqliteQueue, delivery: SqliteDelivery, outcome: Outcome): void {
  const counts = tx.counts(queue.id)
  const { seq, worker } = delivery
  switch (outcome.type) {
    case 'succeeded':
    case 'cancelled':
      if (!finish(tx, queue, delivery, outcome.type, counts.next_position++)) return
      if (queue.settings.history > 0) counts.finished++
      if (outcome.type === 'succeeded') queue.keys.end(tx, delivery.row)
      else queue.keys.giveBack(tx, delivery.row)
      break
    case 'dead':
      if (tx.sql.bury.run(counts.next_position++, tx.now, encode(outcome.error), seq, worker).changes === 0) return
      counts.dead++
      queue.keys.end(tx, delivery.row)
      break
    case 'retry': {
      const runAt = storableTime(outcome.runAt)
      if (tx.sql.delay.run(runAt, runAt, encode(outcome.error), seq, worker).changes === 0) return
      counts.delayed++
      break
    }
    case 'released':
      if (!release(tx, counts, delivery, outcome.runAt)) return
  }
  counts.active--
}

function finish (tx: Transaction, { settings }: SqliteQueue, { seq, worker }: SqliteDelivery, state: 'succeeded' | 'cancelled', position: number): boolean {
  const { changes } = settings.history === 0
    ? tx.sql.deleteHeld.run(seq, worker)
    : tx.sql.finishHeld.run(position, state, tx.now, seq, worker)
  return changes === 1
}

function release (tx: Transaction, counts: Counts, { handedOut, row, seq, worker }: SqliteDelivery, runAt: number | undefined): boolean {
  const waits = runAt === undefined || runAt <= tx.now
  const { changes } = waits
    ? tx.sql.release.run(tx.head(counts), handedOut ? 0 : row.stalled, seq, worker)
    : tx.sql.releaseUntil.run(storableTime(runAt), seq, worker)
  if (changes === 0) return false
  if (waits) counts.returned++
  else counts.delayed++
  return true
}

function encode (error: SerializedError): string {
  return JSON.stringify(error)
}
