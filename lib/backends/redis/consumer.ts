import { clearInterval, clearTimeout, setInterval, setTimeout } from 'node:timers'
import type { FastifyBaseLogger } from 'fastify'
import type { Consumer, Deliver, QueueSettings } from '../../../types/backend.ts'
import type { Script, ShortScript } from './bull-scripts.ts'
import type { Client, Connections } from './connections.ts'
import type { ErrorLog } from './error-log.ts'
import { FetchingBackend } from './fetching.ts'
import { JobWorker } from './job-worker.ts'
import type { ResolvedRedisOptions } from './options.ts'

/** Seconds that an idle worker listens at once; a connection that went silent is noticed a second later. */
const LISTEN = 2
/** Milliseconds. */
const RETRY_DELAY = 500

export interface ConsumerContext {
  readonly options: ResolvedRedisOptions
  readonly settings: QueueSettings
  readonly connections: Connections
  /** In place of BullMQ's scripts that hand out jobs, by BullMQ's names. */
  readonly fetching: ReadonlyMap<string, ShortScript>
  /** And of those that see to leases. */
  readonly leases: readonly Script[]
  readonly errors: ErrorLog
  readonly log: FastifyBaseLogger
  readonly concurrency: number
  onTaken (): void
}

/** One BullMQ Worker with its two connections. */
export class RedisConsumer implements Consumer {
  readonly #worker: JobWorker
  readonly #clients: Client[]
  readonly #context: ConsumerContext
  readonly #leases: NodeJS.Timeout
  #stopped: Promise<void> | undefined

  constructor (context: ConsumerContext, deliver: Deliver) {
    const { options: { prefix, lease, retention }, settings: { name, history, deadLetters }, connections, fetching, leases, errors, concurrency } = context
    this.#context = context
    const main = connections.connect('worker')
    // BullMQ defines only what is not there.
    for (const script of [...fetching.values(), ...leases]) main.defineCommand(script.name, script)
    // Tools find workers by it.
    const blocking = connections.connect('blocking', `${prefix}:${Buffer.from(name).toString('base64')}`)
    this.#clients = [main, blocking]
    const options = {
      connection: main,
      prefix,
      concurrency,
      lockDuration: lease,
      skipLockRenewal: true,
      stalledInterval: lease / 2,
      // How often a job may lose its process is decided by the core.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
      drainDelay: LISTEN,
      runRetryDelay: RETRY_DELAY,
      removeOnComplete: { count: history, age: Math.ceil(retention / 1000) },
      removeOnFail: { count: deadLetters }
    }
    this.#worker = new JobWorker(name, options, FetchingBackend.create(name, prefix, options, main, blocking, fetching), deliver, context.onTaken)
    this.#worker.on('error', (error) => errors.report(error, name))
    this.#leases = setInterval(() => this.#worker.renewLeases(), lease / 4)
    this.#leases.unref()
    this.#worker.run().catch((error: unknown) => errors.report(error, name))
  }

  pause (): void {
    this.#worker.pause(true).catch((error: unknown) => this.#context.errors.report(error))
  }

  resume (): void {
    this.#worker.resume()
  }

  stop (): Promise<void> {
    return (this.#stopped ??= this.#stop())
  }

  async #stop (): Promise<void> {
    const { options: { commandTimeout }, settings: { name }, log } = this.#context
    // Ends BullMQ's search for lost jobs, whose timer close() leaves running.
    this.pause()
    const closed = this.#worker.close()
    await Promise.race([closed, this.#worker.delivered()])
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<'late'>((resolve) => { timer = setTimeout(resolve, commandTimeout, 'late') })
    if (await Promise.race([closed, late]) === 'late') {
      log.warn({ queue: name, backend: 'redis' }, 'Redis does not answer: jobs whose end could not be stored will run again')
    }
    clearTimeout(timer)
    clearInterval(this.#leases)
    for (const client of this.#clients) client.disconnect()
  }
}
