import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { Test } from 'tap'
import { sqlite, type SqliteStoreOptions } from '../../lib/outbox/index.ts'
import type { Database, Row } from './outbox-store-suite.ts'

export interface SqliteDatabase extends Database {
  readonly path: string
  readonly db: DatabaseSync
  connect (): DatabaseSync
}

/** In the default journal mode, which is the harder one. */
export async function sqliteDatabase (t: Test, options: Partial<SqliteStoreOptions> = {}): Promise<SqliteDatabase | undefined> {
  const module = await import('node:sqlite').catch(() => undefined)
  if (module === undefined) {
    t.pass('on SQLite', { skip: `Node ${process.version} has no node:sqlite` })
    return undefined
  }
  const folder = await mkdtemp(join(tmpdir(), 'outbox-'))
  const path = join(folder, 'app.db')
  const connections: DatabaseSync[] = []
  t.teardown(async () => {
    for (const connection of connections) connection.close()
    await rm(folder, { recursive: true })
  })
  const connect = (): DatabaseSync => {
    const connection = new module.DatabaseSync(path)
    connections.push(connection)
    connection.exec('PRAGMA busy_timeout = 5000')
    return connection
  }
  const db = connect()
  db.exec('CREATE TABLE business (id)')
  return {
    path,
    db,
    connect,
    store: sqlite({ path, ...options }),
    storeSource: `sqlite({ path: '${path}' })`,
    async transaction (use) {
      db.exec('BEGIN')
      try {
        const result = await use(db, () => db.exec('INSERT INTO business VALUES (1)'))
        db.exec('COMMIT')
        return result
      } catch (error) {
        db.exec('ROLLBACK')
        throw error
      }
    },
    rows: async () => db.prepare(`SELECT * FROM "${options.table ?? 'outbox_events'}" ORDER BY seq`).all() as unknown as Row[],
    async shiftTimes (milliseconds) {
      db.exec(`UPDATE outbox_events SET ${['created_at', 'due_at', 'ended_at', 'claimed_until'].map((time) => `${time} = ${time} + ${milliseconds}`).join(', ')}`)
    },
    async damage (id) {
      db.exec('PRAGMA ignore_check_constraints = ON')
      db.prepare("UPDATE outbox_events SET payload = 'no JSON' WHERE id = ?").run(id)
    },
    businessRows: async () => db.prepare('SELECT * FROM business').all().length
  }
}
