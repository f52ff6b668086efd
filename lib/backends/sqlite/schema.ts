import type { DatabaseSync } from 'node:sqlite'
import { SqliteSchemaError } from '../../errors.ts'

/** Every table of ours begins so: they may live in a file with others. */
export const PREFIX = 'fastify_jobs'

/** Where a job is. Numbers, since every line of `jobs_order` begins with one. */
export const WAITING = 0
export const DELAYED = 1
export const ACTIVE = 2
export const DEAD = 3
export const FINISHED = 4

/**
 * One index serves every place, by queue, place, line and position:
 * - waiting: `line` is the rank (priority, returned before fresh), `position` the order of arrival; of released jobs negative
 * - delayed: `position` is when it falls due
 * - active: `position` is the worker
 * - dead and finished: `position` is the order of their ends
 */
const VERSION_1 = `
CREATE TABLE ${PREFIX}_queues (
  queue INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  fresh INTEGER NOT NULL DEFAULT 0,
  returned INTEGER NOT NULL DEFAULT 0,
  delayed INTEGER NOT NULL DEFAULT 0,
  active INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  finished INTEGER NOT NULL DEFAULT 0,
  next_position INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE ${PREFIX}_jobs (
  seq INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  place INTEGER NOT NULL,
  line INTEGER NOT NULL,
  position INTEGER NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  payload TEXT,
  attempt INTEGER NOT NULL,
  enqueued_at INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  started INTEGER NOT NULL DEFAULT 0,
  stalls INTEGER NOT NULL DEFAULT 0,
  correlation_id TEXT,
  options TEXT,
  unique_key TEXT,
  unique_for INTEGER,
  run_at INTEGER,
  started_at INTEGER,
  finished_at INTEGER,
  ended_as TEXT,
  progress REAL,
  error TEXT
);
CREATE UNIQUE INDEX ${PREFIX}_jobs_id ON ${PREFIX}_jobs (id);
CREATE INDEX ${PREFIX}_jobs_order ON ${PREFIX}_jobs (queue, place, line, position);
CREATE TABLE ${PREFIX}_keys (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  job TEXT NOT NULL,
  taken_until INTEGER,
  PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE INDEX ${PREFIX}_keys_ending ON ${PREFIX}_keys (taken_until) WHERE taken_until IS NOT NULL;
CREATE TABLE ${PREFIX}_workers (
  worker INTEGER PRIMARY KEY,
  lease_until INTEGER NOT NULL
);
CREATE INDEX ${PREFIX}_workers_lease ON ${PREFIX}_workers (lease_until);`

/** Schedules' ticks, and a place to try whether a full disk has room again. */
const VERSION_2 = `
CREATE TABLE ${PREFIX}_ticks (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  tick INTEGER NOT NULL,
  job TEXT NOT NULL,
  PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE TABLE ${PREFIX}_probe (
  id INTEGER PRIMARY KEY,
  filling BLOB NOT NULL
);`

/** Whether the job has lost its process since it was claimed last. */
const VERSION_3 = `
ALTER TABLE ${PREFIX}_jobs ADD COLUMN stalled INTEGER NOT NULL DEFAULT 0;`

/** From one version to the next. */
export const MIGRATIONS: readonly string[] = [VERSION_1, VERSION_2, VERSION_3]

/** Brings the tables up to date, within a transaction of the caller's. Throws FST_JOBS_NOT_SUPPORTED where a newer release made them. */
export function migrate (db: DatabaseSync, path: string, migrations = MIGRATIONS): void {
  db.exec(`CREATE TABLE IF NOT EXISTS ${PREFIX}_schema (version INTEGER NOT NULL)`)
  const { version } = db.prepare(`SELECT coalesce(max(version), 0) AS version FROM ${PREFIX}_schema`).get() as { version: number }
  if (version > migrations.length) throw new SqliteSchemaError(path, version, migrations.length)
  if (version === migrations.length) return
  for (const migration of migrations.slice(version)) db.exec(migration)
  db.exec(`DELETE FROM ${PREFIX}_schema; INSERT INTO ${PREFIX}_schema VALUES (${migrations.length})`)
}
