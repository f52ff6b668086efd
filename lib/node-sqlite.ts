import { InvalidOptionsError, SqliteNotSupportedError } from './errors.ts'

type SqliteModule = typeof import('node:sqlite')

/** Imported when it is needed: Node.js 20 has none. Rejects with FST_JOBS_NOT_SUPPORTED. `load` is for tests. */
export async function loadSqlite (load: () => Promise<SqliteModule> = () => import('node:sqlite')): Promise<SqliteModule> {
  try {
    return await load()
  } catch (cause) {
    throw new SqliteNotSupportedError(process.version, { cause })
  }
}

const IN_MEMORY = /^$|^(file:)?:memory:|^file:.*[?&]mode=memory/

/** Refuses a database in memory, which belongs to one connection. `owner` has a connection of its own. Throws FST_JOBS_INVALID_OPTIONS. */
export function checkFile (path: string, owner: string): void {
  if (!IN_MEMORY.test(path)) return
  throw new InvalidOptionsError(`options of sqlite(): option 'path' must be a file; a database in memory belongs to one connection, and ${owner} has its own`)
}

const SQLITE_BUSY = 5

/** SQLite's plain result code: extended codes have it in their lowest byte. 0: the error is not SQLite's. */
export function errorCode (error: unknown): number {
  return (error as { errcode?: number }).errcode! & 0xff
}

/** Another connection holds the lock. */
export function isBusy (error: unknown): boolean {
  return errorCode(error) === SQLITE_BUSY
}
