import { setTimeout } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import backgroundJobs, { type DeadLetter, type EnqueuedJob, type JobContext, type JobsStatus, type JobView } from '../../../lib/index.ts'
import type { ConformanceTarget } from '../target.ts'
import type { Commands, JobToSend } from './commands.ts'
import { Ledger } from './ledger.ts'
import type { ProcessSettings } from './settings.ts'

/** The app of a process: jobs that write into the ledger, and the parent's commands. */
export class ProcessApp implements Commands {
  readonly #target: ConformanceTarget
  #app!: FastifyInstance
  #ledger!: Ledger
  #takes = 0
  #release!: () => void
  #released!: Promise<void>

  constructor (target: ConformanceTarget) {
    this.#target = target
  }

  async start ({ space, ledger, queue = {}, works = true, attempts = 3, backoff = 20, maxStalls, takes = 0, shutdown, schedule }: ProcessSettings): Promise<void> {
    this.#ledger = new Ledger(ledger)
    this.#takes = takes
    this.#released = new Promise<void>((resolve) => { this.#release = resolve })
    const app = this.#app = Fastify()
    await app.register(backgroundJobs, {
      backend: this.#target.connect(space),
      queues: { default: queue },
      retry: { attempts, backoff: { type: 'fixed', delay: backoff, jitter: 0 }, maxStalls },
      shutdown
    })
    app.jobs.define('record', async (payload, context) => this.#record(payload, context))
    app.jobs.define('hold', async (payload, context) => this.#record(payload, context, () => this.#held(context)))
    app.jobs.define('fail', async (payload: { times: number }, context) => this.#record(payload, context, () => {
      if (context.job.attempt <= payload.times) throw new Error(`attempt ${context.job.attempt} of ${payload.times} fails`)
    }))
    app.jobs.define('insist', async (payload, context) => this.#record(payload, context, () => this.#released))
    app.jobs.define('die', async (payload: { times: number }, context) => {
      await this.#record(payload, context)
      if (this.#ledger.lines('end').filter(({ id }) => id === context.job.id).length <= payload.times) process.kill(process.pid, 'SIGKILL')
    })
    app.jobs.define('freeze', async (payload, context) => this.#record(payload, context, () => {
      if (this.#ledger.lines('start').filter(({ id }) => id === context.job.id).length > 1) return this.#held(context)
      process.kill(process.pid, 'SIGSTOP')
    }))
    if (schedule !== undefined) {
      const { rule, ...options } = schedule
      app.jobs.schedule('schedule', rule, 'record', options)
    }
    if (!works) app.jobs.pause()
    await app.ready()
  }

  async enqueue ({ job, payload, ...options }: JobToSend): Promise<EnqueuedJob> {
    return this.#app.jobs.enqueue(job, payload, options)
  }

  async enqueueEach (jobs: readonly JobToSend[]): Promise<EnqueuedJob[]> {
    return Promise.all(jobs.map((job) => this.enqueue(job)))
  }

  async enqueueMany (jobs: readonly JobToSend[]): Promise<EnqueuedJob[]> {
    return this.#app.jobs.enqueueMany(jobs.map((job) => ({ payload: undefined, ...job })))
  }

  async enqueueForEver (job: JobToSend): Promise<void> {
    for (;;) {
      const { id } = await this.enqueue(job)
      this.#ledger.append({ event: 'acknowledged', id })
    }
  }

  async enqueueManyForEver (jobs: readonly JobToSend[]): Promise<void> {
    for (;;) {
      const [first] = await this.enqueueMany(jobs)
      this.#ledger.append({ event: 'acknowledged', id: first!.id })
    }
  }

  async get (id: string): Promise<JobView | undefined> {
    return this.#app.jobs.get(id)
  }

  async cancel (id: string): Promise<boolean> {
    return this.#app.jobs.cancel(id)
  }

  async resume (): Promise<void> {
    this.#app.jobs.resume()
  }

  async status (): Promise<JobsStatus> {
    return this.#app.jobs.status()
  }

  async idle (): Promise<void> {
    return this.#app.jobs.idle()
  }

  async lateTicks (): Promise<number> {
    return await this.#total('jobs_schedule_missed_total') + await this.#total('jobs_schedule_failed_total')
  }

  async stalled (): Promise<number> {
    return this.#total('jobs_stalled_total')
  }

  async deadLetters (): Promise<DeadLetter[]> {
    return this.#app.jobs.deadLetters.list()
  }

  async retry (id: string): Promise<boolean> {
    return this.#app.jobs.deadLetters.retry(id)
  }

  async release (): Promise<void> {
    this.#release()
  }

  async leave (): Promise<void> {}

  async close (): Promise<void> {
    await this.#app.close()
  }

  async #total (metric: string): Promise<number> {
    const { values } = await this.#app.jobs.metrics!.registry.getSingleMetric(metric)!.get()
    return values.reduce((sum, { value }) => sum + value, 0)
  }

  async #record (payload: unknown, { job: { id, attempt, schedule } }: JobContext, work?: () => unknown): Promise<void> {
    const line = { id, attempt, payload, ...(schedule !== undefined && { tick: schedule.at }) }
    this.#ledger.append({ event: 'start', ...line })
    if (this.#takes > 0) await setTimeout(this.#takes)
    await work?.()
    this.#ledger.append({ event: 'end', ...line })
  }

  async #held ({ job: { id, attempt }, signal }: JobContext): Promise<void> {
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        this.#ledger.append({ event: 'aborted', id, attempt })
        reject(signal.reason)
      })
    })
    await Promise.race([this.#released, aborted])
  }
}
