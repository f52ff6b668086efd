import { DatabaseSync } from 'node:sqlite'

export function openDatabase (path: string): DatabaseSync {
  const db = new DatabaseSync(path)
  db.exec(`
    PRAGMA journal_mode = WAL;
    PRAGMA busy_timeout = 5000;
    CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, expires_at INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS orders (
      id INTEGER PRIMARY KEY, email TEXT NOT NULL, item TEXT NOT NULL, source TEXT NOT NULL, placed_at INTEGER NOT NULL
    );
  `)
  return db
}

/** All or nothing of what `work` writes. */
export function inTransaction<Result> (db: DatabaseSync, work: () => Result): Result {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    db.exec('COMMIT')
    return result
  } catch (error) {
    db.exec('ROLLBACK')
    throw error
  }
}

declare module '@fastify/awilix' {
  interface Cradle { db: DatabaseSync }
}
