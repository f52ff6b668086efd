import { quote } from './identifier.ts'

/** Milliseconds since the epoch, by the database's clock. */
const NOW = "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"

/** Events, and keys, that one look for keys sees at the most: the process does nothing else meanwhile. */
export const EVENTS_AHEAD = 500
export const KEYS_WALKED = 250

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
CREATE INDEX IF NOT EXISTS ${quote(`${table}_seq`)} ON ${quote(table)} (seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_published`)} ON ${quote(table)} (ended_at) WHERE state = 'published';
CREATE INDEX IF NOT EXISTS ${quote(`${table}_parked`)} ON ${quote(table)} (ended_at) WHERE state = 'parked';`
}

/** Every statement of the store. */
export function statements (name: string) {
  const table = quote(name)
  const head = 'id, type, key, created_at, attempts'
  const row = `${head}, payload`
  const pending = "state = 'pending'"
  // Claims and times that were given in the future: the clock was ahead and has been corrected. Nothing waits for them to come true.
  const due = '(due_at <= :now OR coalesce(ended_at, created_at) > :now + 1000)'
  const free = `${due} AND (claimed_until IS NULL OR claimed_until <= :now OR claimed_by > :future)`

  return {
    probe: `SELECT seq, due_at, state, last_error, ended_at, claimed_by, claimed_until, ${row} FROM ${table} LIMIT 0`,
    add: `INSERT INTO ${table} (id, key, type, payload) VALUES (?, ?, ?, ?)`,

    ahead: `SELECT seq, key FROM ${table} WHERE ${pending} AND seq > ? ORDER BY seq LIMIT ${EVENTS_AHEAD}`,
    /** A jump from key to key in the index. */
    walk: `
WITH RECURSIVE keys (key, place) AS (
  SELECT min(key), 1 FROM ${table} WHERE ${pending} AND key >= ?
  UNION ALL
  SELECT (SELECT min(key) FROM ${table} WHERE ${pending} AND key > keys.key), place + 1 FROM keys WHERE key IS NOT NULL AND place < ${KEYS_WALKED}
)
SELECT key, (SELECT min(seq) FROM ${table} AS e WHERE e.key = keys.key AND e.state = 'pending') AS seq FROM keys WHERE key IS NOT NULL`,
    /**
     * The next :share events of each key in :turns behind its floor, key by key; a payload only with those that can be had. The time is that of the machine, as the database's is; asking SQLite
     * for it, event by event, takes longer than all the rest.
     */
    read: `
SELECT seq, ${head}, CASE WHEN ${free} THEN payload END AS payload, iif(${due}, 0, due_at - :now) AS wait FROM (SELECT value FROM json_each(:turns)) AS turn CROSS JOIN ${table} AS event WHERE event.seq IN (
  SELECT e.seq FROM ${table} AS e WHERE e.key = turn.value ->> 'key' AND e.state = 'pending' AND e.seq > turn.value ->> 'floor' ORDER BY e.seq LIMIT :share
)`,
    claim: `UPDATE ${table} SET claimed_by = :claim, claimed_until = ${NOW} + :hold WHERE id IN (SELECT value FROM json_each(:ids))`,
    /** What happens to most, for all of them at once. */
    published: `
UPDATE ${table} SET state = 'published', attempts = attempts + 1, ended_at = ${NOW}, claimed_by = NULL, claimed_until = NULL
WHERE id IN (SELECT value FROM json_each(:ids)) AND claimed_by = :claim RETURNING id`,
    failed: `
UPDATE ${table} SET
  state = :state,
  attempts = attempts + 1,
  last_error = :error,
  due_at = ${NOW} + :delay,
  ended_at = ${NOW}
WHERE id = :id AND claimed_by = :claim RETURNING id`,
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
    retryParked: `UPDATE ${table} SET state = 'pending', attempts = 0, due_at = ${NOW}, ended_at = ${NOW} WHERE id = ? AND state = 'parked' RETURNING key`,
    removeParked: `DELETE FROM ${table} WHERE id = ? AND state = 'parked'`
  }
}
