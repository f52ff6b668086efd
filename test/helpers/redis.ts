import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Test } from 'tap'

export interface RedisSpace {
  readonly url: string
  /** The test's own. */
  readonly prefix: string
  /** A connection to look with. */
  readonly client: Redis
}

const DEFAULT_URL = 'redis://127.0.0.1:6379'
let server: Promise<string | undefined> | undefined

/** The server that tests share; undefined where none can be had. */
export function redisUrl (): Promise<string | undefined> {
  return (server ??= findServer())
}

/** A prefix of the test's own, whose keys are deleted when it ends; undefined, with the test skipped, where no server can be had. */
export async function redisSpace (t: Test): Promise<RedisSpace | undefined> {
  const url = await redisUrl()
  if (url === undefined) return skipped(t)
  const prefix = `test_${randomBytes(6).toString('hex')}`
  const client = new Redis(url)
  t.teardown(async () => {
    await removeKeys(client, prefix)
    client.disconnect()
  })
  return { url, prefix, client }
}

export function skipped (t: Test): undefined {
  if (process.env.CI === 'true') throw new Error('there is no Redis: set REDIS_URL, or install it')
  t.pass('on Redis', { skip: 'NOT TESTED: there is no Redis; set REDIS_URL, or install it' })
  return undefined
}

export async function removeKeys (client: Redis, prefix: string): Promise<void> {
  for await (const keys of client.scanStream({ match: `${prefix}:*`, count: 1000 }) as AsyncIterable<string[]>) {
    if (keys.length > 0) await client.unlink(...keys)
  }
}

async function findServer (): Promise<string | undefined> {
  const url = process.env.REDIS_URL ?? DEFAULT_URL
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, connectTimeout: 5000 })
  client.on('error', () => {})
  try {
    await client.connect()
    client.disconnect()
    return url
  } catch {
    if (process.env.REDIS_URL !== undefined || !installed()) return undefined
    const own = new PrivateRedis(await freePort())
    await own.start()
    process.on('exit', () => own.kill())
    return own.url
  }
}

function installed (): boolean {
  return [...(process.env.PATH ?? '').split(':'), '/usr/bin'].some((folder) => existsSync(join(folder, 'redis-server')))
}

export async function freePort (): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  return port
}

/** A server of the test's own, which keeps its data over a restart; undefined, with the test skipped, where Redis is not installed. */
export async function privateRedis (t: Test, ...settings: string[]): Promise<PrivateRedis | undefined> {
  if (!installed()) return skipped(t)
  const own = new PrivateRedis(await freePort(), settings)
  t.teardown(() => own.remove())
  await own.start()
  return own
}

/** The port of a sentinel that knows one master; undefined, with the test skipped, where Redis is not installed. */
export async function privateSentinel (t: Test, master: string, port: number): Promise<number | undefined> {
  if (!installed()) return skipped(t)
  const folder = mkdtempSync(join(tmpdir(), 'sentinel-'))
  const own = await freePort()
  const settings = join(folder, 'sentinel.conf')
  writeFileSync(settings, `port ${own}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor ${master} 127.0.0.1 ${port} 1\n`)
  const sentinel = spawn('redis-server', [settings, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    const ended = once(sentinel, 'exit')
    sentinel.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  await said(sentinel, 'Sentinel ID is')
  return own
}

/** Resolves when the process has written a line with this text. */
async function said ({ stdout }: ChildProcess, text: string): Promise<void> {
  for await (const line of stdout!) {
    if (String(line).includes(text)) break
  }
  stdout!.resume()
}

export class PrivateRedis {
  readonly port: number
  readonly #settings: string[]
  readonly #folder = mkdtempSync(join(tmpdir(), 'redis-'))
  #process: ChildProcess | undefined

  constructor (port: number, settings: string[] = []) {
    this.port = port
    this.#settings = settings
  }

  get url (): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start (): Promise<void> {
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#folder, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', ...this.#settings]
    this.#process = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    await said(this.#process, 'Ready to accept connections')
  }

  /** As a crash of the machine does: nothing is said to anybody. */
  async stop (): Promise<void> {
    const ended = once(this.#process!, 'exit')
    this.kill()
    await ended
  }

  signal (signal: NodeJS.Signals): void {
    this.#process!.kill(signal)
  }

  kill (): void {
    this.#process?.kill('SIGKILL')
  }

  async remove (): Promise<void> {
    if (this.#process!.exitCode === null && this.#process!.signalCode === null) await this.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
