import { InvalidOptionsError, type BackendContext, type Capabilities, type Consumer, type Deliver, type EnqueueLimits, type EnqueueResult, type JobEnvelope, type QueueStats } from '../../lib/backends/index.ts'
import type { Backend } from '../../lib/index.ts'
import { ArrayQueue } from './array-queue.ts'

/** The smallest whole backend: jobs as JSON text, in an array a queue. They end with the process. */
export function arrays (): Backend {
  return new ArrayBackend()
}

class ArrayBackend implements Backend {
  readonly name = 'arrays'
  readonly capabilities: Capabilities = {
    durable: false,
    delegates: false,
    delay: true,
    priority: false,
    unique: false,
    inspect: false,
    fullModes: ['wait', 'reject']
  }

  readonly #queues = new Map<string, ArrayQueue>()
  /** Of the jobs that have not ended. */
  readonly #ids = new Set<string>()

  async open ({ queues, clock, stopping }: BackendContext): Promise<void> {
    if (this.#queues.size > 0) throw new InvalidOptionsError("backend 'arrays': another app has opened it; call arrays() once for each app")
    for (const settings of queues) this.#queues.set(settings.name, new ArrayQueue(settings, clock, this.#ids))
    stopping.addEventListener('abort', () => {
      for (const { producers } of this.#queues.values()) producers.rejectAll(stopping.reason)
    }, { once: true })
  }

  async enqueue (queue: string, jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<readonly EnqueueResult[]> {
    return this.#queues.get(queue)!.enqueue(jobs, limits)
  }

  consume (queue: string, { concurrency }: { concurrency: number }, deliver: Deliver): Consumer {
    return this.#queues.get(queue)!.consume(concurrency, deliver)
  }

  stats (queue: string): QueueStats {
    return this.#queues.get(queue)!.stats()
  }

  abandon (queue: string): Iterable<JobEnvelope> {
    return this.#queues.get(queue)!.unfinished()
  }

  async close (): Promise<void> {
    for (const queue of this.#queues.values()) queue.close()
  }
}
