import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import pg from 'pg'
import type { Test } from 'tap'

export interface Postgres {
  readonly url: string
  readonly schema: string
  readonly pool: pg.Pool
}

let server: Promise<string | undefined> | undefined

/** A pool and an empty schema of the test's own, dropped when it ends; undefined, with the test skipped, where no server can be had. */
export async function postgresSchema (t: Test): Promise<Postgres | undefined> {
  const url = await (server ??= findServer())
  if (url === undefined) {
    if (process.env.CI === 'true') throw new Error('there is no PostgreSQL: set DATABASE_URL, or install it')
    t.pass('on PostgreSQL', { skip: 'NOT TESTED: there is no PostgreSQL; set DATABASE_URL, or install it' })
    return undefined
  }
  const schema = `test_${randomBytes(6).toString('hex')}`
  const pool = new pg.Pool({ connectionString: url, max: 5 })
  pool.on('error', () => {})
  await pool.query(`CREATE SCHEMA ${schema}`)
  t.teardown(async () => {
    await pool.query(`DROP SCHEMA ${schema} CASCADE`)
    await pool.end()
  })
  return { url, schema, pool }
}

async function findServer (): Promise<string | undefined> {
  const url = process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  try {
    await client.connect()
    await client.end()
    return url
  } catch {
    return process.env.DATABASE_URL === undefined ? startServer() : undefined
  }
}

/** A server in a temporary folder that ends with this process; undefined when PostgreSQL is not installed. */
async function startServer (): Promise<string | undefined> {
  const debian = '/usr/lib/postgresql'
  const folders = [...(process.env.PATH ?? '').split(':'), ...(existsSync(debian) ? readdirSync(debian).map((version) => join(debian, version, 'bin')) : [])]
  const bin = folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'pg_ctl')))
  if (bin === undefined) return undefined
  const isRoot = process.getuid?.() === 0
  const data = mkdtempSync(join(tmpdir(), 'postgres-'))
  if (isRoot) chmodSync(data, 0o777)
  const run = (command: string): unknown => isRoot
    // PostgreSQL refuses to run as root.
    ? execFileSync('su', ['postgres', '-s', '/bin/sh', '-c', command], { cwd: data, stdio: 'ignore' })
    : execFileSync('sh', ['-c', command], { cwd: data, stdio: 'ignore' })
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  run(`${bin}/initdb --no-sync -D ${data}/db -U postgres -A trust`)
  run(`${bin}/pg_ctl -D ${data}/db -w -l ${data}/log -o "-p ${port} -k ${data} -c listen_addresses=127.0.0.1 -c fsync=off" start`)
  process.on('exit', () => {
    run(`${bin}/pg_ctl -D ${data}/db -m immediate stop`)
    rmSync(data, { recursive: true, force: true })
  })
  return `postgres://postgres@127.0.0.1:${port}/postgres`
}
