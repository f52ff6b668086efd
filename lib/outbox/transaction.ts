import type { PostgresTransaction, SqliteTransaction } from '../../types/outbox.ts'
import { describe, InvalidOptionsError, kindOf } from '../errors.ts'

const POSTGRES = 'call of outbox.add: it takes the pg client of the transaction, got'
const SQLITE = 'call of outbox.add: it takes the DatabaseSync with the transaction, got'

/** Throws FST_JOBS_INVALID_OPTIONS, also for what spreads its queries over the clients of a Pool. */
export function checkPostgresTransaction (tx: unknown): asserts tx is PostgresTransaction {
  if (typeof tx !== 'object' || tx === null) throw new InvalidOptionsError(`${POSTGRES} ${describe(tx)}`)
  const { query, totalCount, idleCount, pool, transact } = tx as Record<string, unknown>
  if (typeof totalCount === 'number' && typeof idleCount === 'number') {
    throw new InvalidOptionsError('call of outbox.add: it got the Pool, whose queries belong to no transaction; give it the client from pool.connect() that began one')
  }
  // The decorator of @fastify/postgres, or the Pool of pg 6, has the pool.
  if (typeof transact === 'function' || (typeof pool === 'object' && pool !== null)) {
    throw new InvalidOptionsError('call of outbox.add: it got what @fastify/postgres decorates the app with, or another owner of a Pool, whose queries belong to no transaction; ' +
      'give it the client that app.pg.connect() gave and that began one, or the client inside app.pg.transact(async (client) => …)')
  }
  if (typeof query !== 'function') throw new InvalidOptionsError(`${POSTGRES} ${kindOf(tx)} without 'query'`)
}

/** Throws FST_JOBS_INVALID_OPTIONS, also for a DatabaseSync that has no transaction open. */
export function checkSqliteTransaction (tx: unknown): asserts tx is SqliteTransaction {
  if (typeof tx !== 'object' || tx === null) throw new InvalidOptionsError(`${SQLITE} ${describe(tx)}`)
  const { prepare, isTransaction } = tx as Partial<SqliteTransaction>
  if (typeof prepare !== 'function') throw new InvalidOptionsError(`${SQLITE} ${kindOf(tx)} without 'prepare'`)
  if (isTransaction === false) throw new InvalidOptionsError('call of outbox.add: the DatabaseSync has no transaction open; BEGIN one for the business data and the event')
}
