import type { DatabaseSync } from 'node:sqlite'
import { ACTIVE, DEAD, DELAYED, FINISHED, PREFIX, WAITING } from './schema.ts'

const JOBS = `${PREFIX}_jobs`
const KEYS = `${PREFIX}_keys`
const PROBE = `${PREFIX}_probe`
const QUEUES = `${PREFIX}_queues`
const TICKS = `${PREFIX}_ticks`
const WORKERS = `${PREFIX}_workers`

/** What a delivery needs of a job. */
const DELIVERY = 'seq, line, id, name, payload, attempt, enqueued_at, correlation_id, options, unique_key, unique_for, run_at, stalls, stalled'
const HELD = `seq = ? AND place = ${ACTIVE} AND position = ?`

/** Rows that one statement inserts: fewer calls into SQLite. */
export const PLAIN_BATCH = 20
export const PLAIN_VALUES = 8

function insertPlain (rows: number): string {
  return `
    INSERT INTO ${JOBS} (queue, place, line, position, id, name, payload, attempt, enqueued_at, rank, correlation_id)
    VALUES ${Array(rows).fill(`(?, ${WAITING}, 1, ?, ?, ?, ?, ?, ?, 1, ?)`).join(', ')}`
}

export type Statements = ReturnType<typeof prepareStatements>

export function prepareStatements (db: DatabaseSync) {
  const sql = (text: string) => db.prepare(text)
  return {
    begin: sql('BEGIN IMMEDIATE'),
    commit: sql('COMMIT'),

    addQueue: sql(`INSERT INTO ${QUEUES} (name) VALUES (?) ON CONFLICT DO NOTHING`),
    queues: sql(`SELECT * FROM ${QUEUES}`),
    saveQueue: sql(`
      UPDATE ${QUEUES} SET fresh = ?, returned = ?, delayed = ?, active = ?, dead = ?, finished = ?, next_position = ? WHERE queue = ?`),

    insertPlain: sql(insertPlain(1)),
    insertPlainBatch: sql(insertPlain(PLAIN_BATCH)),
    insert: sql(`
      INSERT INTO ${JOBS} (queue, place, line, position, id, name, payload, attempt, enqueued_at, rank, correlation_id,
        options, unique_key, unique_for, run_at, finished_at, ended_as)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    byId: sql(`SELECT * FROM ${JOBS} WHERE id = ?`),
    delete: sql(`DELETE FROM ${JOBS} WHERE seq = ?`),

    ready: sql(`SELECT ${DELIVERY} FROM ${JOBS} WHERE queue = ? AND place = ${WAITING} ORDER BY line, position, seq LIMIT ?`),
    claim: sql(`UPDATE ${JOBS} SET place = ${ACTIVE}, line = 0, position = ?, started = attempt, started_at = ?, stalled = 0 WHERE seq = ?`),
    due: sql(`SELECT seq, rank FROM ${JOBS} WHERE queue = ? AND place = ${DELAYED} AND line = 0 AND position <= ? ORDER BY position, seq LIMIT ?`),
    makeReady: sql(`UPDATE ${JOBS} SET place = ${WAITING}, line = rank, position = ? WHERE seq = ?`),
    nextDue: sql(`SELECT min(position) AS due FROM ${JOBS} WHERE queue = ? AND place = ${DELAYED} AND line = 0`),
    lowestFresh: sql(`SELECT line FROM ${JOBS} WHERE queue = ? AND place = ${WAITING} AND line & 1 ORDER BY line DESC LIMIT 1`),
    oldestOfLine: sql(`SELECT * FROM ${JOBS} WHERE queue = ? AND place = ${WAITING} AND line = ? ORDER BY position, seq LIMIT 1`),
    newestOfLine: sql(`SELECT * FROM ${JOBS} WHERE queue = ? AND place = ${WAITING} AND line = ? ORDER BY position DESC, seq DESC LIMIT 1`),
    /** Walks from line to line: what it costs grows with the priorities in use, not with the jobs. */
    waitingSince: sql(`
      WITH RECURSIVE lines (line) AS (
        SELECT min(line) FROM ${JOBS} WHERE queue = ? AND place = ${WAITING}
        UNION ALL
        SELECT (SELECT min(line) FROM ${JOBS} WHERE queue = ? AND place = ${WAITING} AND line > lines.line) FROM lines WHERE line IS NOT NULL
      )
      SELECT options, run_at, enqueued_at FROM lines JOIN ${JOBS} AS job ON job.seq = (
        SELECT seq FROM ${JOBS} AS first WHERE first.queue = ? AND first.place = ${WAITING} AND first.line = lines.line ORDER BY position, seq LIMIT 1
      )`),

    finish: sql(`
      UPDATE ${JOBS} SET place = ${FINISHED}, line = 0, position = ?, ended_as = ?, finished_at = ?, payload = NULL WHERE seq = ?`),
    finishHeld: sql(`
      UPDATE ${JOBS} SET place = ${FINISHED}, line = 0, position = ?, ended_as = ?, finished_at = ?, payload = NULL WHERE ${HELD}`),
    deleteHeld: sql(`DELETE FROM ${JOBS} WHERE ${HELD}`),
    bury: sql(`UPDATE ${JOBS} SET place = ${DEAD}, line = 0, position = ?, ended_as = 'dead', finished_at = ?, error = ? WHERE ${HELD}`),
    delay: sql(`
      UPDATE ${JOBS} SET place = ${DELAYED}, line = 0, position = ?, run_at = ?, attempt = attempt + 1, error = ?, rank = rank - (rank & 1) WHERE ${HELD}`),
    /** \`run_at\` stays: it says when the attempt first fell due. */
    releaseUntil: sql(`
      UPDATE ${JOBS} SET place = ${DELAYED}, line = 0, position = ?, rank = rank - (rank & 1), started = started - 1 WHERE ${HELD}`),
    release: sql(`
      UPDATE ${JOBS} SET place = ${WAITING}, line = rank - (rank & 1), rank = rank - (rank & 1), position = ?, started = started - 1,
        stalled = ? WHERE ${HELD}`),
    progress: sql(`UPDATE ${JOBS} SET progress = ? WHERE ${HELD}`),
    revive: sql(`
      UPDATE ${JOBS} SET place = ${WAITING}, line = ?, rank = ?, position = ?, run_at = ?, attempt = 1, started = 0, stalls = 0,
        started_at = iif(? & 1, NULL, started_at), finished_at = NULL, ended_as = NULL, progress = NULL, error = NULL
      WHERE seq = ?`),

    oldestEnded: sql(`
      SELECT seq, id, name, attempt, correlation_id, finished_at FROM ${JOBS} WHERE queue = ? AND place = ? AND line = 0
      ORDER BY position, seq LIMIT ?`),
    forgetFinished: sql(`
      DELETE FROM ${JOBS} WHERE seq IN (
        SELECT seq FROM ${JOBS} WHERE queue = ? AND place = ${FINISHED} AND line = 0 ORDER BY position, seq LIMIT ?
      )`),
    deadLetters: sql(`SELECT * FROM ${JOBS} WHERE queue = ? AND place = ${DEAD} AND line = 0 ORDER BY position, seq LIMIT ?`),

    keyHolder: sql(`SELECT job, taken_until FROM ${KEYS} WHERE queue = ? AND key = ?`),
    takeKey: sql(`INSERT OR REPLACE INTO ${KEYS} (queue, key, job, taken_until) VALUES (?, ?, ?, ?)`),
    giveKeyBack: sql(`DELETE FROM ${KEYS} WHERE queue = ? AND key = ? AND job = ?`),
    forgetKeys: sql(`DELETE FROM ${KEYS} WHERE (queue, key) IN (SELECT queue, key FROM ${KEYS} WHERE taken_until <= ? LIMIT ?)`),

    lastTick: sql(`SELECT tick, job FROM ${TICKS} WHERE queue = ? AND key = ? AND tick <= ?`),
    /** The later one stays, unless it is too far ahead. */
    rememberTick: sql(`
      INSERT INTO ${TICKS} AS last (queue, key, tick, job) VALUES (?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET tick = excluded.tick, job = excluded.job WHERE excluded.tick > last.tick OR last.tick > ?`),

    probe: sql(`INSERT OR REPLACE INTO ${PROBE} (id, filling) VALUES (1, randomblob(?))`),
    forgetProbe: sql(`DELETE FROM ${PROBE}`),

    addWorker: sql(`INSERT INTO ${WORKERS} (worker, lease_until) VALUES (?, ?)`),
    worker: sql(`SELECT 1 FROM ${WORKERS} WHERE worker = ?`),
    renewLease: sql(`UPDATE ${WORKERS} SET lease_until = ? WHERE worker = ?`),
    setLeasesBack: sql(`UPDATE ${WORKERS} SET lease_until = lease_until - ? WHERE lease_until > ?`),
    removeWorker: sql(`DELETE FROM ${WORKERS} WHERE worker = ?`),
    expiredWorkers: sql(`SELECT worker FROM ${WORKERS} WHERE lease_until < ?`),
    giveBack: sql(`
      UPDATE ${JOBS} SET place = ${WAITING}, line = rank - (rank & 1), rank = rank - (rank & 1), position = ?1, started = started - 1,
        stalls = stalls + ?2, stalled = ?2 WHERE queue = ?3 AND place = ${ACTIVE} AND line = 0 AND position = ?4`)
  }
}
