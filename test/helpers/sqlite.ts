import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { sqlite, type SqliteOptions } from '../../lib/backends/sqlite/index.ts'
import type { BackgroundJobsOptions } from '../../lib/index.ts'
import { buildApp, logTo } from './app.ts'

const module = await import('node:sqlite').catch(() => undefined)

/** Only this process's connections are counted. */
export interface SqliteFile {
  readonly path: string
  /** The connections that backends have opened. */
  readonly connections: readonly DatabaseSync[]
  /** Transactions that were committed and changed something. */
  commits (): number
  /** A connection of the test's own: another process, say. */
  connect (): DatabaseSync
  /** Rows, as another process sees them. */
  rows (table: string): any[]
  /** A process: it has an app of its own, which is closed when the test ends. */
  app (options?: Omit<BackgroundJobsOptions, 'backend'> & { backend?: Partial<SqliteOptions>, lines?: any[], level?: string }): Promise<FastifyInstance>
}

/** A test with a file of its own; skipped where Node.js has no node:sqlite. */
export function test (sentence: string, body: (t: Test, file: SqliteFile) => Promise<void>): void {
  t.test(sentence, async (t) => {
    if (module === undefined) {
      t.pass('on SQLite', { skip: `Node ${process.version} has no node:sqlite` })
      return
    }
    await body(t, await sqliteFile(t, module))
  })
}

async function sqliteFile (t: Test, { DatabaseSync }: typeof import('node:sqlite')): Promise<SqliteFile> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-backend-'))
  const path = join(folder, 'jobs.db')
  const own: DatabaseSync[] = []
  const connections: DatabaseSync[] = []
  let commits = 0
  const { prepare } = DatabaseSync.prototype
  DatabaseSync.prototype.prepare = function (sql, ...rest) {
    const statement = prepare.call(this, sql, ...rest)
    if (sql !== 'COMMIT') return statement
    connections.push(this)
    const changes = prepare.call(this, 'SELECT total_changes() AS n', ...rest)
    let before = (changes.get() as { n: number }).n
    const { run } = statement
    statement.run = (...values: unknown[]) => {
      const result = Reflect.apply(run, statement, values)
      const { n } = changes.get() as { n: number }
      if (n > before) commits++
      before = n
      return result
    }
    return statement
  }
  t.teardown(async () => {
    DatabaseSync.prototype.prepare = prepare
    for (const connection of own) connection.close()
    await rm(folder, { recursive: true })
  })
  const connect = (): DatabaseSync => {
    const connection = new DatabaseSync(path)
    own.push(connection)
    return connection
  }
  let reader: DatabaseSync | undefined
  return {
    path,
    connections,
    commits: () => commits,
    connect,
    rows: (table) => (reader ??= connect()).prepare(`SELECT * FROM fastify_jobs_${table} ORDER BY 1`).all() as any[],
    app: ({ backend, lines, level, ...options } = {}) => buildApp(t, { ...options, backend: sqlite({ path, ...backend }) }, lines === undefined ? {} : logTo(lines, level))
  }
}

/** Makes the disk of the backend's connection full. */
export function fillDisk ({ connections }: SqliteFile): void {
  const db = connections.at(-1)!
  const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number }
  db.exec(`PRAGMA max_page_count = ${pages}`)
}

export function freeDisk ({ connections }: SqliteFile): void {
  connections.at(-1)!.exec('PRAGMA max_page_count = 1000000')
}
