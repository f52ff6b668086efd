import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqlite } from '../../../lib/backends/sqlite/index.ts'
import { PREFIX } from '../../../lib/backends/sqlite/schema.ts'
import type { Backend } from '../../../lib/index.ts'
import type { BreakableConnection } from '../target.ts'

function fileOf (space: string): string {
  return join(tmpdir(), `fastify-background-jobs-${space}.db`)
}

/** A new connection to the store called `space`. */
export function connect (space: string): Backend {
  return sqlite({ path: fileOf(space), lease: 1500, pollInterval: 50 })
}

export async function remove (space: string): Promise<void> {
  for (const suffix of ['', '-wal', '-shm']) await rm(fileOf(space) + suffix, { force: true })
}

// Its folder is not there.
export function unreachable (): Backend {
  return sqlite({ path: join(fileOf('absent'), 'absent.db') })
}

/** While another process has the file locked. */
export async function breakable (space: string): Promise<BreakableConnection> {
  const { DatabaseSync } = await import('node:sqlite')
  const db = new DatabaseSync(fileOf(space))
  return {
    backend: sqlite({ path: fileOf(space), lease: 1500, pollInterval: 50, busyTimeout: 300 }),
    async break () { db.exec('BEGIN IMMEDIATE') },
    async mend () { db.exec('ROLLBACK') },
    async close () { db.close() }
  }
}

export async function corrupt (space: string, _queue: string, id: string): Promise<void> {
  const { DatabaseSync } = await import('node:sqlite')
  const db = new DatabaseSync(fileOf(space))
  db.prepare(`UPDATE ${PREFIX}_jobs SET payload = '{"half' WHERE id = ?`).run(id)
  db.close()
}
