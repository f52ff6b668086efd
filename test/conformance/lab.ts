import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type Backend, type BackgroundJobsOptions, type Capabilities, type QueueOptions } from '../../lib/index.ts'
import { HeldJobs } from './held-jobs.ts'
import { spawnProcess, type JobsProcess } from './process/jobs-process.ts'
import { Ledger } from './process/ledger.ts'
import type { ProcessSettings } from './process/settings.ts'
import type { ConformanceTarget } from './target.ts'

/** What a case works with: a store of its own, and the apps and processes on it. All of them end with the case. */
export class Lab {
  readonly space = `conformance${randomBytes(8).toString('hex')}`
  readonly ledger = new Ledger()
  readonly target: ConformanceTarget
  readonly capabilities: Capabilities
  readonly #targetUrl: string
  readonly #apps: FastifyInstance[] = []
  readonly #held: HeldJobs[] = []
  readonly #processes: Promise<JobsProcess>[] = []

  /** `targetUrl`: where child processes find the target. */
  constructor (target: ConformanceTarget, targetUrl: string) {
    this.target = target
    this.#targetUrl = targetUrl
    this.capabilities = this.connect().capabilities
  }

  connect (): Backend {
    return this.target.connect(this.space)
  }

  /** An app with the plugin on a connection of its own, not ready yet. */
  async app (options: BackgroundJobsOptions = {}): Promise<FastifyInstance> {
    const app = Fastify()
    this.#apps.push(app)
    await app.register(backgroundJobs, {
      backend: this.connect(),
      retry: { attempts: 3, backoff: { type: 'fixed', delay: 20, jitter: 0 } },
      shutdown: { timeout: 2000 },
      ...options,
      queues: this.#withFullModes({ default: {}, ...options.queues })
    })
    return app
  }

  /** Handlers that end when they are told, at the latest when the case ends. */
  heldJobs (): HeldJobs {
    const held = new HeldJobs()
    this.#held.push(held)
    return held
  }

  /** A process of its own with an app on this store, ready. */
  async process (settings: ProcessSettings = {}): Promise<JobsProcess> {
    const process = await this.spawn()
    await process.start(settings)
    return process
  }

  /** The same, its app not started yet. */
  async spawn (): Promise<JobsProcess> {
    const process = spawnProcess({ target: this.#targetUrl, space: this.space, ledger: this.ledger.path })
    this.#processes.push(process)
    return process
  }

  async dispose (): Promise<void> {
    for (const held of this.#held) held.endAll()
    await Promise.allSettled(this.#processes.map(async (process) => (await process).kill()))
    await Promise.allSettled(this.#apps.map((app) => app.close()))
    await this.target.remove(this.space)
    await this.ledger.remove()
  }

  // A backend without 'wait', the default, could not be registered.
  #withFullModes (queues: Record<string, QueueOptions>): Record<string, QueueOptions> {
    const { fullModes = ['wait'] } = this.capabilities
    const fullMode = fullModes.includes('wait') ? 'wait' : fullModes[0]
    return Object.fromEntries(Object.entries(queues).map(([name, options]) => [name, { fullMode, ...options }]))
  }
}
