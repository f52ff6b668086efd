import { quote } from './identifier.ts'

/** Serialises the creation of tables: 'outbox' in ASCII, in the space of advisory locks that everybody shares. */
const CREATION_LOCK = 0x6f7574626f78
/** How many batches the search for keys looks ahead before it walks through all keys. */
export const LOOK_AHEAD = 10

export interface PostgresNames {
  readonly schema: string
  readonly table: string
}

/** The table and its indexes. */
export function createTable ({ schema, table }: PostgresNames): string {
  const name = `${quote(schema)}.${quote(table)}`
  return `
CREATE TABLE IF NOT EXISTS ${name} (
  seq bigint GENERATED ALWAYS AS IDENTITY,
  id uuid PRIMARY KEY,
  key text COLLATE "C" NOT NULL DEFAULT '',
  type text NOT NULL,
  payload json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'published', 'parked')),
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_error text,
  ended_at timestamptz
);
CREATE INDEX IF NOT EXISTS ${quote(`${table}_pending`)} ON ${name} (key, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_published`)} ON ${name} (ended_at) WHERE state = 'published';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_parked`)} ON ${name} (ended_at) WHERE state = 'parked';`
}

/** Every statement of the store. */
export function statements (names: PostgresNames) {
  const table = `${quote(names.schema)}.${quote(names.table)}`
  const row = 'id, type, key, payload::text, floor(extract(epoch FROM created_at) * 1000) AS created_at, attempts'
  const pending = "state = 'pending'"
  const due = `${pending} AND due_at <= statement_timestamp()`

  return {
    beginCreation: `BEGIN; SELECT pg_advisory_xact_lock(${CREATION_LOCK})`,
    exists: `SELECT to_regclass('${table}') IS NOT NULL AS exists`,
    probe: `SELECT seq, due_at, state, last_error, ended_at, ${row} FROM ${table} LIMIT 0`,
    add: `INSERT INTO ${table} (id, key, type, payload) VALUES ($1, $2, $3, $4)`,

    /** Read committed whatever the database's default: each statement sees what others committed before it. */
    begin: (hold: number) => `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(hold)}`,
    /** The keys of the next due events, and how many events that were. */
    keysAhead: `
SELECT count(*)::int AS events, array_agg(DISTINCT key) AS keys
FROM (SELECT key FROM ${table} WHERE ${due} ORDER BY seq LIMIT $1) AS ahead`,
    /** The keys whose first unfinished event is due. Jumps from key to key: what it costs grows with the keys, not with the events. */
    keysOfAll: `
WITH RECURSIVE keys AS (
  SELECT min(key) AS key FROM ${table} WHERE ${pending}
  UNION ALL
  SELECT (SELECT min(key) FROM ${table} WHERE ${pending} AND key > keys.key) FROM keys WHERE key IS NOT NULL
)
SELECT array_agg(first.key) AS keys FROM (
  SELECT head.key FROM keys CROSS JOIN LATERAL (
    SELECT key, seq, due_at FROM ${table} AS e WHERE e.key = keys.key AND ${pending} ORDER BY seq LIMIT 1
  ) AS head
  WHERE head.due_at <= statement_timestamp() ORDER BY head.due_at, head.seq LIMIT $1
) AS first`,
    /**
     * Locks the first unfinished event of each key, which keeps other processes off that key. A head that another one has
     * finished or put off since this statement began is checked again in its new version by PostgreSQL (EvalPlanQual) and
     * left out. A plain NOT EXISTS (an earlier one) takes time by the square of a key's backlog when it is planned as a hash join.
     */
    lockHeads: `
SELECT event.key FROM unnest($1::text[]) AS keys (key)
CROSS JOIN LATERAL (SELECT id FROM ${table} AS e WHERE e.key = keys.key AND ${pending} ORDER BY seq LIMIT 1) AS head
JOIN ${table} AS event ON event.id = head.id
WHERE ${due} ORDER BY event.due_at, event.seq LIMIT $2
FOR UPDATE OF event SKIP LOCKED`,
    /**
     * The events of those keys, each one locked as well: an event that came before the head only now, by a late commit
     * or a parked one's retry, is a head of its own to others, and they must not get what follows it a second time.
     */
    lockEvents: `
WITH next AS (
  SELECT e.*, row_number() OVER (PARTITION BY e.key ORDER BY e.seq) AS place FROM unnest($1::text[]) AS keys (key)
  CROSS JOIN LATERAL (SELECT * FROM ${table} AS one WHERE one.key = keys.key AND ${pending} ORDER BY seq LIMIT $2) AS e
  ORDER BY place, due_at, seq LIMIT $2
), held AS (
  SELECT id FROM ${table} WHERE id IN (SELECT id FROM next) AND ${due} FOR UPDATE SKIP LOCKED
)
SELECT ${row}, id IN (SELECT id FROM held) AS held FROM next ORDER BY seq`,
    store: `
UPDATE ${table} AS event SET
  state = result.state,
  attempts = result.attempts,
  last_error = coalesce(result.error, event.last_error),
  due_at = clock_timestamp() + result.delay * interval '1 millisecond',
  ended_at = CASE WHEN result.state = 'pending' THEN NULL ELSE clock_timestamp() END
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::float8[]) AS result (id, state, attempts, error, delay)
WHERE event.id = result.id`,

    prune: `
DELETE FROM ${table} WHERE id IN (
  SELECT id FROM ${table} WHERE state = 'published' AND ended_at < clock_timestamp() - $1 * interval '1 millisecond'
  ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
)`,
    stats: `
SELECT count(*)::int AS pending,
  (SELECT count(*)::int FROM ${table} WHERE state = 'parked') AS parked,
  coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS oldest
FROM ${table} WHERE ${pending}`,
    listParked: `
SELECT ${row}, last_error, floor(extract(epoch FROM ended_at) * 1000) AS ended_at
FROM ${table} WHERE state = 'parked' ORDER BY ended_at, seq LIMIT $1`,
    retryParked: `UPDATE ${table} SET state = 'pending', attempts = 0, due_at = clock_timestamp(), ended_at = NULL WHERE id = $1 AND state = 'parked'`,
    removeParked: `DELETE FROM ${table} WHERE id = $1 AND state = 'parked'`
  }
}
