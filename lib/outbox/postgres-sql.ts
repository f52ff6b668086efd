import { quote } from './identifier.ts'

/** Milliseconds that the server waits for a table which somebody has locked. */
export const LOCK_PATIENCE = 5000

/** Serialises the creation of tables: 'outbox' in ASCII, in the space of advisory locks that everybody shares. */
const CREATION_LOCK = 0x6f7574626f78
/** Events, and keys, that one look for keys sees at the most. */
export const EVENTS_AHEAD = 1000
export const KEYS_WALKED = 500

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
${createSeqIndex({ schema, table })};
CREATE INDEX IF NOT EXISTS ${quote(`${table}_published`)} ON ${name} (ended_at) WHERE state = 'published';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_parked`)} ON ${name} (ended_at) WHERE state = 'parked';`
}

/** The index that older tables lack. */
export function createSeqIndex ({ schema, table }: PostgresNames): string {
  return `CREATE INDEX IF NOT EXISTS ${quote(`${table}_seq`)} ON ${quote(schema)}.${quote(table)} (seq) WHERE state = 'pending'`
}

/** Every statement of the store. */
export function statements (names: PostgresNames) {
  const table = `${quote(names.schema)}.${quote(names.table)}`
  const row = 'id, type, payload::text, floor(extract(epoch FROM created_at) * 1000) AS created_at, attempts'
  const pending = "state = 'pending'"
  // What was added, or failed, in the future: the clock was ahead and has been corrected. Nothing waits for it to come true.
  // By the clock as it is when a row is checked, for that may be long after the statement began.
  const future = "clock_timestamp() + interval '1 second'"
  const due = `(due_at <= statement_timestamp() OR coalesce(ended_at, created_at) > ${future})`

  return {
    /** Another process may take its time over the creation; nobody else has that lock. For the table the patience is the usual one: writers queue behind who waits for it. */
    lockCreation: `SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(${CREATION_LOCK}); SET LOCAL lock_timeout = ${LOCK_PATIENCE}`,
    exists: `SELECT to_regclass('${table}') IS NOT NULL AS exists`,
    /** Whether some index begins with `seq` and serves for what is pending, what the indexes with `key` are sorted by, and what the database can store. */
    layout: `
SELECT EXISTS (
  SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS m ON m.oid = c.relam
  WHERE i.indrelid = '${table}'::regclass AND a.attname = 'seq' AND i.indisvalid AND m.amname = 'btree'
  AND coalesce(pg_get_expr(i.indpred, i.indrelid), 'state = ''pending''::text') ~ '^\\(*state\\)?(::text)? = ''pending''::(text|character varying|bpchar)\\)*$'
) AS has_seq_index,
(
  SELECT c.collname FROM pg_attribute AS a JOIN pg_collation AS c ON c.oid = a.attcollation WHERE a.attrelid = '${table}'::regclass AND a.attname = 'key'
) AS collation,
current_setting('server_encoding') AS encoding`,
    probe: `SELECT seq, due_at, state, last_error, ended_at, key, ${row} FROM ${table} LIMIT 0`,
    add: `INSERT INTO ${table} (id, key, type, payload) VALUES ($1, $2, $3, $4)`,

    /** The keys of the next events behind $1. */
    ahead: `
SELECT key, min(seq) AS seq, max(seq) AS seen_to, count(*)::int AS events
FROM (SELECT key, seq FROM ${table} WHERE ${pending} AND seq > $1::bigint ORDER BY seq LIMIT ${EVENTS_AHEAD}) AS ahead
GROUP BY key ORDER BY 2`,
    /** The next keys from $1 on, with their first events: a jump from key to key in the index. */
    walk: `
WITH RECURSIVE walk (key, seq, is_due, place) AS (
  (SELECT key, seq, ${due}, 1 FROM ${table} WHERE ${pending} AND key >= $1::text COLLATE "C" ORDER BY key, seq LIMIT 1)
  UNION ALL
  (SELECT next.key, next.seq, next.is_due, walk.place + 1 FROM walk CROSS JOIN LATERAL (
    SELECT key, seq, ${due} AS is_due FROM ${table} AS e WHERE ${pending} AND e.key > walk.key ORDER BY e.key, e.seq LIMIT 1
  ) AS next WHERE walk.place < ${KEYS_WALKED})
)
SELECT key, seq, is_due FROM walk ORDER BY place`,

    /**
     * The next $3 events of each key ($1) behind some place ($2), up to $4 bytes of payload as they are stored; `bytes` only with those that are
     * due, `wait` with the others in milliseconds, and an `id` only with those that no other process holds.
     *
     * Rows are compared, since with `key = … ORDER BY seq` the planner may choose the index on `seq` and read all that is pending.
     *
     * The lock of a key's first event keeps other processes off that key. A head that another one has finished or put off since
     * this statement began is checked again in its new version by PostgreSQL (EvalPlanQual) and left out. The others are locked as
     * well: an event that came before the head only now, by a late commit or a parked one's retry, is a head of its own to others, and they
     * must not get what follows it a second time.
     */
    read: `
SELECT one.key, one.seq, one.bytes, CASE WHEN one.bytes IS NULL THEN extract(epoch FROM one.due_at - statement_timestamp())::float8 * 1000 END AS wait, event.* FROM (
  SELECT found.*, coalesce(sum(bytes) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
  FROM unnest($1::text[], $2::bigint[]) AS turns (key, floor) CROSS JOIN LATERAL (
    SELECT ctid AS tid, id, key, seq, due_at, CASE WHEN ${due} THEN pg_column_size(payload) END AS bytes
    FROM ${table} AS e WHERE (e.key, e.seq) > (turns.key COLLATE "C", turns.floor) AND e.key <= turns.key COLLATE "C" AND ${pending} ORDER BY e.key, e.seq LIMIT $3
  ) AS found
) AS one LEFT JOIN LATERAL (
  SELECT ${row} FROM ${table} AS e WHERE e.ctid = one.tid AND e.id = one.id AND one.bytes IS NOT NULL AND ${pending} AND ${due} FOR UPDATE OF e SKIP LOCKED
) AS event ON true
WHERE one.bytes_before < $4`,
    /** What happens to most: the cheaper statement. */
    published: `UPDATE ${table} SET state = 'published', attempts = attempts + 1, ended_at = clock_timestamp() WHERE id = ANY ($1::uuid[])`,
    failed: `
UPDATE ${table} AS event SET
  state = result.state,
  attempts = attempts + 1,
  last_error = result.error,
  due_at = clock_timestamp() + result.delay * interval '1 millisecond',
  ended_at = clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::float8[]) AS result (id, state, error, delay)
WHERE event.id = result.id`,

    /** From $3 on, behind those that an old snapshot keeps from being cleared away. By a time that does not change meanwhile, which an index can be searched for. */
    prune: `
WITH pruned AS (
  DELETE FROM ${table} WHERE id IN (
    SELECT id FROM ${table} WHERE state = 'published' AND ended_at >= to_timestamp($3::float8) AND ended_at < statement_timestamp() - $1 * interval '1 millisecond'
    ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
  ) RETURNING ended_at
)
SELECT count(*)::int AS count, extract(epoch FROM max(ended_at))::float8 AS last FROM pruned`,
    stats: `
SELECT count(*)::int AS pending,
  (SELECT count(*)::int FROM ${table} WHERE state = 'parked') AS parked,
  coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS oldest
FROM ${table} WHERE ${pending}`,
    listParked: `
SELECT key, ${row}, last_error, floor(extract(epoch FROM ended_at) * 1000) AS ended_at
FROM ${table} WHERE state = 'parked' ORDER BY ended_at, seq LIMIT $1`,
    retryParked: `UPDATE ${table} SET state = 'pending', attempts = 0, due_at = clock_timestamp(), ended_at = clock_timestamp() WHERE id = $1 AND state = 'parked' RETURNING key`,
    removeParked: `DELETE FROM ${table} WHERE id = $1 AND state = 'parked'`
  }
}
