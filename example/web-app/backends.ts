import { join } from 'node:path'
import { redis } from '../../lib/backends/redis/index.ts'
import { sqlite } from '../../lib/backends/sqlite/index.ts'
import { memory, type Backend } from '../../lib/index.ts'

const { REDIS_URL, REDIS_PREFIX } = process.env

/** Where the jobs may live. No job, no route and no schedule knows which one it is. */
export const backends: Record<string, (dataDir: string) => Backend> = {
  memory: () => memory(),
  sqlite: (dataDir) => sqlite({ path: join(dataDir, 'jobs.db') }),
  redis: () => redis({ url: REDIS_URL, prefix: REDIS_PREFIX })
}
