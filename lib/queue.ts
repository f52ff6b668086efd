import type { Backend, QueueSettings } from '../types/backend.ts'
import { NobodyWorksError } from './errors.ts'
import type { Definition } from './registry.ts'
import type { Worker } from './worker.ts'

/** A queue of the app: its settings, where its jobs live, and who works on them. */
export class Queue {
  readonly name: string
  readonly settings: QueueSettings
  readonly backend: Backend
  /** Whether this process works on it. */
  readonly works: boolean
  /** Bounds of the buckets in which the times of its jobs are counted, in seconds. */
  readonly buckets: readonly number[]
  worker!: Worker
  /** What every inline function of this queue counts as. */
  delegates!: Definition

  constructor (settings: QueueSettings, backend: Backend, works: boolean, buckets: readonly number[]) {
    this.name = settings.name
    this.settings = settings
    this.backend = backend
    this.works = works
    this.buckets = buckets
  }

  /** Attempts that run at once in this process. */
  get concurrency (): number {
    return this.works ? this.settings.concurrency : 0
  }

  /** Whether there is something to do here now, or may be at any time: other processes enqueue, too. */
  get isBusy (): boolean {
    if (!this.works) return false
    if (this.backend.capabilities.durable || this.worker.inFlight > 0) return true
    return !this.worker.paused && this.#holdsJobs()
  }

  #holdsJobs (): boolean {
    try {
      const stats = this.backend.stats(this.name)
      // Where jobs live in this process, a backend answers at once.
      if ('waiting' in stats) return stats.waiting + stats.delayed > 0
      stats.catch(() => {})
    } catch {
      // Nobody knows.
    }
    return false
  }

  /** Throws FST_JOBS_INVALID_OPTIONS when its jobs would never be run. */
  assertIsWorkedOn (subject: string): void {
    if (!this.works && !this.backend.capabilities.durable) throw new NobodyWorksError(subject, this.name)
  }

  /** Bytes of a payload's JSON text that an enqueue takes. */
  get maxPayloadBytes (): number {
    const { delegates, maxPayloadBytes = Infinity } = this.backend.capabilities
    // Where jobs can be inline functions, payloads stay objects.
    return delegates ? Infinity : Math.min(this.settings.maxPayloadBytes, maxPayloadBytes)
  }
}
