import { Worker, type Job, type JobJson, type WorkerOptions } from 'bullmq'
import type { Deliver, Outcome } from '../../../types/backend.ts'
import type { FetchingBackend } from './fetching.ts'
import { RunningJob } from './running-job.ts'

/** Milliseconds between two attempts to get a job while Redis answers with errors. */
const ERROR_DELAY = 1000

/** BullMQ's Worker, delivering to the core. */
export class JobWorker extends Worker<any, any, string, FetchingBackend> {
  /** What runs, by the stored id. */
  readonly jobs = new Map<string, RunningJob>()
  /** Leases that ended without being lost are used again: to make and watch one takes longer than to deliver a job. */
  readonly #leases: AbortController[] = []
  readonly #deliver: Deliver
  readonly #onTaken: () => void
  #onDelivered = (): void => {}
  #renewing = false

  constructor (queue: string, options: WorkerOptions, backend: FetchingBackend, deliver: Deliver, onTaken: () => void) {
    super(queue, async (job) => (job as RunningJob).outcome, { ...options, autorun: false }, () => backend)
    this.#deliver = deliver
    this.#onTaken = onTaken
  }

  /** Resolves when everything that runs has its outcome. */
  async delivered (): Promise<void> {
    if (this.jobs.size > 0) await new Promise<void>((resolve) => { this.#onDelivered = resolve })
  }

  /**
   * In place of BullMQ's renewal, which goes by the time of day, and no longer knows a job that runs here anew once its run
   * without a lease ends.
   */
  async renewLeases (): Promise<void> {
    const { lockDuration } = this.opts
    // While Redis is away nobody says that a lease was lost.
    const now = performance.now()
    const lostBefore = now - lockDuration!
    for (const { delivery } of this.jobs.values()) if (delivery.leasedAt < lostBefore) delivery.loseLease()
    if (this.#renewing || this.jobs.size === 0) return
    this.#renewing = true
    try {
      const jobs = [...this.jobs.values()].filter(({ delivery }) => !delivery.signal.aborted)
      const lost = new Set(await this.extendJobLocks(jobs.map(({ id }) => id!), jobs.map(({ token }) => token!), lockDuration!))
      // One that has ended meanwhile has no lock, and its signal may be another job's by now.
      for (const { id, delivery } of jobs.filter((job) => this.jobs.get(job.id!) === job)) {
        delivery.leasedAt = now
        if (!lost.has(id!)) continue
        delivery.loseLease()
        this.emit('error', new Error(`the lock of job ${id} was lost`))
      }
    } catch (error) {
      this.emit('error', error as Error)
    } finally {
      this.#renewing = false
    }
  }

  protected override createJob (_json: JobJson, id: string): RunningJob {
    return new RunningJob(this as never, id, this.backend.takeRecord(id), this.#leases.pop() ?? new AbortController())
  }

  /** BullMQ goes on fetching when it is paused while it waits for a job. */
  protected override async moveToActive (token: string, name?: string): Promise<Job> {
    // Until the connection is there, a pause may come.
    await this.backend.client
    if (this.#takesNone) {
      // Its wake-up was taken for this.
      await this.backend.wakeWorkers()
      return undefined as never
    }
    try {
      return await super.moveToActive(token, name!)
    } catch (error) {
      // BullMQ would try again at once.
      if (!this.#takesNone) await this.delay(ERROR_DELAY)
      throw error
    }
  }

  protected override async nextJobFromJobData (json?: JobJson, id?: string, token?: string): Promise<Job> {
    const job = await super.nextJobFromJobData(json, id, token)
    if (job === undefined) return undefined as never
    if (!this.#takesNone) {
      this.#onTaken()
      const taken = job as RunningJob
      // At once: BullMQ looks for another one first. It runs none that has failed already.
      if (taken.deferredFailure === undefined) taken.outcome = this.#run(taken)
      return job
    }
    if ((job as RunningJob).delivery.stalled) await this.backend.keepStalled(job as RunningJob)
    await this.backend.moveJobFromActiveToWait(job.id!, token!)
    await this.backend.wakeWorkers()
    return undefined as never
  }

  get #takesNone (): boolean {
    return this.paused || this.closing !== undefined
  }

  async #run (job: RunningJob): Promise<Outcome> {
    const id = job.id!
    const { delivery } = job
    // Who runs it here already lost its lease to this run.
    this.jobs.get(id)?.delivery.loseLease()
    this.jobs.set(id, job)
    const outcome = await this.#deliver(delivery)
    // A job that lost its lease may run here once more already.
    if (this.jobs.get(id) === job) this.jobs.delete(id)
    if (!delivery.signal.aborted) this.#leases.push(delivery.lease)
    if (this.jobs.size === 0) this.#onDelivered()
    return outcome
  }
}
