import { quote } from './identifier.ts'

/** Serialises the creation of tables: 'outbox' in ASCII, in the space of advisory locks that everybody shares. */
const CREATION_LOCK = 0x6f7574626f78
/** Events, and keys, that one look for keys sees at the most. */
const EVENTS_AHEAD = 1000
const KEYS_WALKED = 500
/** Bytes of payload, as they are stored, from which on a batch takes no further event. */
const BATCH_BYTES = 16 * 1024 * 1024

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
  const row = 'id, type, key, payload::text, floor(extract(epoch FROM created_at) * 1000) AS created_at, attempts'
  const pending = "state = 'pending'"
  // What was added, or failed, in the future: the clock was ahead and has been corrected. Nothing waits for it to come true.
  // By the clock as it is when a row is checked, for that may be long after the statement began.
  const future = "clock_timestamp() + interval '1 second'"
  const due = `(due_at <= statement_timestamp() OR coalesce(ended_at, created_at) > ${future})`

  return {
    lockCreation: `SELECT pg_advisory_xact_lock(${CREATION_LOCK})`,
    exists: `SELECT to_regclass('${table}') IS NOT NULL AS exists`,
    /** Whether some index begins with \`seq\` and covers what is pending. */
    hasSeqIndex: `
SELECT EXISTS (
  SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = '${table}'::regclass AND a.attname = 'seq' AND i.indisvalid AND coalesce(pg_get_expr(i.indpred, i.indrelid), 'pending') LIKE '%pending%'
) AS exists`,
    probe: `SELECT seq, due_at, state, last_error, ended_at, ${row} FROM ${table} LIMIT 0`,
    add: `INSERT INTO ${table} (id, key, type, payload) VALUES ($1, $2, $3, $4)`,

    /**
     * The keys of the next events behind $1, and the next keys from $2 on, where $3 says so, with their first events: a jump from key
     * to key in the index.
     */
    look: `
WITH RECURSIVE ahead AS MATERIALIZED (
  SELECT seq, key FROM ${table} WHERE ${pending} AND seq > $1::bigint ORDER BY seq LIMIT ${EVENTS_AHEAD}
), walk (key, seq, is_due, place) AS (
  (SELECT key, seq, ${due}, 1 FROM ${table} WHERE $3::boolean AND ${pending} AND key >= $2::text COLLATE "C" ORDER BY key, seq LIMIT 1)
  UNION ALL
  (SELECT next.key, next.seq, next.is_due, walk.place + 1 FROM walk CROSS JOIN LATERAL (
    SELECT key, seq, ${due} AS is_due FROM ${table} AS e WHERE ${pending} AND e.key > walk.key ORDER BY e.key, e.seq LIMIT 1
  ) AS next WHERE walk.place < ${KEYS_WALKED})
)
SELECT
  (SELECT count(*)::int FROM ahead) < ${EVENTS_AHEAD} AS is_all,
  (SELECT coalesce(max(seq), $1::bigint) FROM ahead) AS seen_to,
  (SELECT coalesce(json_agg(json_build_object('key', key, 'seq', seq) ORDER BY seq), '[]') FROM (SELECT key, min(seq) AS seq FROM ahead GROUP BY key) AS keys) AS ahead,
  (SELECT coalesce(json_agg(json_build_object('key', key, 'seq', seq) ORDER BY place) FILTER (WHERE is_due), '[]') FROM walk) AS walked,
  (SELECT CASE WHEN count(*) < ${KEYS_WALKED} THEN '' ELSE max(key) || chr(1) END FROM walk) AS walk_from`,

    /**
     * The next events of the keys whose turn it is ($1), behind what is known to be finished ($2), $3 of them at the most: of each key the
     * first unfinished event, if it is due, and those after it.
     *
     * The lock of a key's first event keeps other processes off that key. A head that another one has finished or put off since
     * this statement began is checked again in its new version by PostgreSQL (EvalPlanQual) and left out. The others are locked as
     * well: an event that came before the head only now, by a late commit or a parked one's retry, is a head of its own to others, and they
     * must not get what follows it a second time. Payloads are read last: they are large, and sorted would be slow.
     */
    take: `
WITH turns AS MATERIALIZED (
  SELECT key COLLATE "C" AS key, floor, turn FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS turns (key, floor, turn)
), heads AS MATERIALIZED (
  SELECT turns.key, turn, head.* FROM turns CROSS JOIN LATERAL (
    SELECT id, seq, ${due} AS is_due FROM ${table} AS e WHERE e.key = turns.key AND ${pending} AND e.seq > turns.floor ORDER BY e.seq LIMIT 1
  ) AS head
), own AS MATERIALIZED (
  SELECT event.id, event.key, heads.seq, turn FROM heads JOIN ${table} AS event ON event.id = heads.id
  WHERE heads.is_due AND ${pending} AND ${due} ORDER BY turn LIMIT $3 FOR UPDATE OF event SKIP LOCKED
), quota AS MATERIALIZED (
  SELECT least($3::bigint - count(*) + 1, 4 * ceil($3::float8 / greatest(count(*), 1))::bigint) AS events FROM own
), candidates AS MATERIALIZED (
  SELECT e.*, turn FROM own CROSS JOIN LATERAL (
    SELECT id, seq, pg_column_size(payload)::bigint AS bytes, row_number() OVER (ORDER BY seq) AS place
    FROM (SELECT * FROM ${table} AS one WHERE one.key = own.key AND ${pending} AND one.seq >= own.seq ORDER BY one.seq LIMIT (SELECT events FROM quota)) AS first
  ) AS e ORDER BY place, turn LIMIT $3
), next AS MATERIALIZED (
  SELECT id, seq FROM (SELECT *, sum(bytes) OVER (ORDER BY place, turn) - bytes AS before FROM candidates) AS sized WHERE before < ${BATCH_BYTES}
), held AS MATERIALIZED (
  SELECT event.id FROM next JOIN ${table} AS event ON event.id = next.id
  WHERE next.id NOT IN (SELECT id FROM own) AND ${pending} AND ${due} FOR UPDATE OF event SKIP LOCKED
)
SELECT next.seq, event.*, next.id IN (SELECT id FROM own) OR next.id IN (SELECT id FROM held) AS held, false AS waits
FROM next CROSS JOIN LATERAL (SELECT ${row} FROM ${table} AS e WHERE e.id = next.id) AS event
UNION ALL
SELECT seq, NULL, NULL, key, NULL, NULL, NULL, NULL, NOT is_due FROM heads WHERE key NOT IN (SELECT key FROM own)
ORDER BY seq`,
    store: `
UPDATE ${table} AS event SET
  state = result.state,
  attempts = result.attempts,
  last_error = coalesce(result.error, event.last_error),
  due_at = clock_timestamp() + result.delay * interval '1 millisecond',
  ended_at = clock_timestamp()
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
    retryParked: `UPDATE ${table} SET state = 'pending', attempts = 0, due_at = clock_timestamp(), ended_at = clock_timestamp() WHERE id = $1 AND state = 'parked' RETURNING key`,
    removeParked: `DELETE FROM ${table} WHERE id = $1 AND state = 'parked'`
  }
}
