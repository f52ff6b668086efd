import { quote } from './identifier.ts'

/** Milliseconds since the epoch, by the database's clock. */
const NOW = "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"

/** The table and its indexes. */
export function createTable (table: string): string {
  return `
CREATE TABLE IF NOT EXISTS ${quote(table)} (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  key TEXT NOT NULL DEFAULT '',
  type TEXT NOT NULL,
  payload TEXT NOT NULL CHECK (json_valid(payload)),
  created_at INTEGER NOT NULL DEFAULT (${NOW}),
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'published', 'parked')),
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER NOT NULL DEFAULT (${NOW}),
  last_error TEXT,
  ended_at INTEGER,
  claimed_by TEXT,
  claimed_until INTEGER
);
CREATE INDEX IF NOT EXISTS ${quote(`${table}_pending`)} ON ${quote(table)} (key, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_published`)} ON ${quote(table)} (ended_at) WHERE state = 'published';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_parked`)} ON ${quote(table)} (ended_at) WHERE state = 'parked';`
}

/** Every statement of the store. */
export function statements (name: string) {
  const table = quote(name)
  const row = 'id, type, key, payload, created_at, attempts'
  const pending = "state = 'pending'"
  const free = `due_at <= ${NOW} AND (claimed_until IS NULL OR claimed_until <= ${NOW})`

  return {
    probe: `SELECT seq, due_at, state, last_error, ended_at, claimed_by, claimed_until, ${row} FROM ${table} LIMIT 0`,
    add: `INSERT INTO ${table} (id, key, type, payload) VALUES (?, ?, ?, ?)`,

    /**
     * The next events of those keys whose first unfinished event is due and in nobody's hands. Jumps from key to key: what
     * it costs grows with the keys, not with the events.
     */
    next: `
WITH RECURSIVE keys (key) AS (
  SELECT min(key) FROM ${table} WHERE ${pending}
  UNION ALL
  SELECT (SELECT min(key) FROM ${table} WHERE ${pending} AND key > keys.key) FROM keys WHERE key IS NOT NULL
), heads (key) AS (
  SELECT event.key FROM keys
  JOIN ${table} AS event ON event.seq = (SELECT min(seq) FROM ${table} AS e WHERE e.key = keys.key AND e.state = 'pending')
  WHERE ${free} ORDER BY event.due_at, event.seq LIMIT :limit
)
SELECT ${row}, ${free} AS held FROM (SELECT * FROM (
  SELECT event.*, row_number() OVER (PARTITION BY event.key ORDER BY event.seq) AS place FROM heads
  JOIN ${table} AS event ON event.seq IN (SELECT seq FROM ${table} AS e WHERE e.key = heads.key AND e.state = 'pending' ORDER BY seq LIMIT :limit)
) ORDER BY place, due_at, seq LIMIT :limit) ORDER BY seq`,
    claim: `UPDATE ${table} SET claimed_by = :claim, claimed_until = ${NOW} + :hold WHERE id IN (SELECT value FROM json_each(:ids))`,
    store: `
UPDATE ${table} SET
  state = :state,
  attempts = :attempts,
  last_error = coalesce(:error, last_error),
  due_at = ${NOW} + :delay,
  ended_at = CASE WHEN :state = 'pending' THEN NULL ELSE ${NOW} END
WHERE id = :id AND claimed_by = :claim`,
    release: `UPDATE ${table} SET claimed_by = NULL, claimed_until = NULL WHERE id IN (SELECT value FROM json_each(:ids)) AND claimed_by = :claim`,

    prune: `
DELETE FROM ${table} WHERE seq IN (
  SELECT seq FROM ${table} WHERE state = 'published' AND ended_at < ${NOW} - ? ORDER BY ended_at LIMIT ?
)`,
    stats: `
SELECT count(*) AS pending,
  (SELECT count(*) FROM ${table} WHERE state = 'parked') AS parked,
  coalesce(${NOW} - min(created_at), 0) AS oldest
FROM ${table} WHERE ${pending}`,
    listParked: `SELECT ${row}, last_error, ended_at FROM ${table} WHERE state = 'parked' ORDER BY ended_at, seq LIMIT ?`,
    retryParked: `UPDATE ${table} SET state = 'pending', attempts = 0, due_at = ${NOW}, ended_at = NULL WHERE id = ? AND state = 'parked'`,
    removeParked: `DELETE FROM ${table} WHERE id = ? AND state = 'parked'`
  }
}
