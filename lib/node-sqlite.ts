import { SqliteNotSupportedError } from './errors.ts'

type SqliteModule = typeof import('node:sqlite')

/** Imported when it is needed: Node.js 20 has none. Rejects with FST_JOBS_NOT_SUPPORTED. `load` is for tests. */
export async function loadSqlite (load: () => Promise<SqliteModule> = () => import('node:sqlite')): Promise<SqliteModule> {
  try {
    return await load()
  } catch (cause) {
    throw new SqliteNotSupportedError(process.version, { cause })
  }
}
