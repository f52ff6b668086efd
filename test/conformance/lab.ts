import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Capabilities } from '../../lib/backends/index.ts'
import backgroundJobs, { type Backend, type BackgroundJobsOptions, type QueueOptions } from '../../lib/index.ts'
import { HeldJobs } from './held-jobs.ts'
import type { Fleet } from './process/fleet.ts'
import type { JobsProcess } from './process/jobs-process.ts'
import { Ledger } from './process/ledger.ts'
import type { ProcessSettings } from './process/settings.ts'
import type { ConformanceTarget } from './target.ts'

/** What a case works with: a store of its own, and the apps and processes on it. All of them end with the case. */
export class Lab {
  readonly space = `conformance${randomBytes(8).toString('hex')}`
  readonly ledger = new Ledger()
  readonly target: ConformanceTarget
  readonly capabilities: Capabilities
  readonly #fleet: Fleet
  readonly #apps: FastifyInstance[] = []
  readonly #held: HeldJobs[] = []
  readonly #processes: JobsProcess[] = []
  readonly #disposers: (() => Promise<void>)[] = []

  constructor (target: ConformanceTarget, fleet: Fleet) {
    this.target = target
    this.#fleet = fleet
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
  async process (settings: Partial<ProcessSettings> = {}): Promise<JobsProcess> {
    const [process] = await this.processes(1, settings)
    return process!
  }

  /** Several, whose apps start at the same time. */
  async processes (count: number, settings: Partial<ProcessSettings> = {}): Promise<JobsProcess[]> {
    const processes = await this.idleProcesses(count)
    await Promise.all(processes.map((process) => this.startApp(process, settings)))
    return processes
  }

  /** Without their apps yet. */
  async idleProcesses (count: number): Promise<JobsProcess[]> {
    const processes = await Promise.all(Array.from({ length: count }, () => this.#fleet.take()))
    this.#processes.push(...processes)
    return processes
  }

  startApp (process: JobsProcess, settings: Partial<ProcessSettings> = {}): Promise<void> {
    return process.start({ space: this.space, ledger: this.ledger.path, ...settings })
  }

  /** Runs when everything on the store has ended. */
  onDispose (disposer: () => Promise<void>): void {
    this.#disposers.push(disposer)
  }

  async dispose (): Promise<void> {
    for (const held of this.#held) held.endAll()
    await Promise.all(this.#processes.map((process) => this.#fleet.giveBack(process)))
    await Promise.allSettled(this.#apps.map((app) => app.close()))
    for (const disposer of this.#disposers) await disposer()
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
