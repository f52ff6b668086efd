import type { Cluster, Redis, RedisOptions as IORedisOptions } from 'ioredis'
import { describe, InvalidOptionsError } from '../../errors.ts'
import { isClient, isCluster } from './client-kind.ts'

/** Throws where ioredis could not read the URL, or would take a part of the password for something else. The URL itself is told to nobody. */
export function checkUrl (url: string, subject: string): void {
  if (isReadable(url)) return
  throw new InvalidOptionsError(`${subject}: option 'url' cannot be read, it must be like redis://user:password@host:port/database; ` +
    'percent-encode special characters of the user and the password (encodeURIComponent), and give the database as a number')
}

/** Throws what is wrong with options, or a client, of ioredis. */
export function checkConnection (connection: IORedisOptions | Redis | Cluster, subject: string): void {
  const options: IORedisOptions = isClient(connection) ? connection.options : connection
  const { keyPrefix = '', sentinels, name } = options
  if (keyPrefix !== '') throw new InvalidOptionsError(`${subject}: option 'connection.keyPrefix' is not supported; use 'prefix'`)
  if (sentinels && (sentinels.length === 0 || !name)) {
    throw new InvalidOptionsError(`${subject}: option 'connection.sentinels' needs a sentinel, and option 'connection.name' the name of their master`)
  }
  const { db }: IORedisOptions = isCluster(connection) ? { ...connection.options.redisOptions } : options
  if (!isDatabase(db)) throw new InvalidOptionsError(`${subject}: option 'connection.db' must be the number of a database, got ${describe(db)}`)
  if (isCluster(connection) && Number(db) > 0) throw new InvalidOptionsError(`${subject}: database ${db} cannot be selected, a cluster has database 0 only`)
}

function isReadable (url: string): boolean {
  try {
    const { username, password, pathname, searchParams, hash } = new URL(url)
    decodeURIComponent(username + password)
    const names = [...searchParams.keys()]
    return /^(\/(\d+\/?)?)?$/.test(pathname) && isDatabase(searchParams.get('db')) && hash === '' && names.every((name) => /^\w+$/.test(name))
  } catch {
    return false
  }
}

function isDatabase (db: unknown): boolean {
  return db === undefined || db === null || /^\d+$/.test(String(db))
}
