import type { Backend, BackendContext, Capabilities, Clock, Consumer, Deliver, EnqueueLimits, EnqueueResult, QueueStats, RetryAnswer } from '../../../types/backend.ts'
import type { DeadLetter, JobEnvelope, JobView } from '../../../types/job.ts'
import { decodePayload, encodePayload, logFields } from '../../envelope.ts'
import { InvalidOptionsError } from '../../errors.ts'
import { object, optionsCheck } from '../../validation.ts'
import { MemoryConsumer } from './consumer.ts'
import { MemoryQueue } from './queue.ts'
import { RecordIndex } from './record-index.ts'

const checkOptions = optionsCheck(object({ serialize: { type: 'boolean' } }))

/** The options of `memory()`. */
export interface MemoryOptions {
  /**
   * Sends every payload through JSON, as a durable backend would: what would not survive there shows here, and a handler
   * never shares an object with the code that enqueued it.
   * @default false
   */
  serialize?: boolean
}

/** Jobs in this process's memory: no infrastructure, at most once across a crash. The default backend. */
export function memory (options: MemoryOptions = {}): Backend {
  checkOptions(options, 'options of memory()')
  return new MemoryBackend(options.serialize ?? false)
}

class MemoryBackend implements Backend {
  readonly name = 'memory'
  readonly capabilities: Capabilities
  readonly #queues = new Map<string, MemoryQueue>()
  readonly #records = new RecordIndex()
  readonly #serialize: boolean
  #clock!: Clock

  constructor (serialize: boolean) {
    this.#serialize = serialize
    this.capabilities = { durable: false, delegates: !serialize, delay: true, priority: true, unique: true, inspect: true }
  }

  async open ({ queues, clock, log, stopping, onDrop }: BackendContext): Promise<void> {
    if (this.#queues.size > 0) throw new InvalidOptionsError("backend 'memory': another app has opened it; call memory() once for each app")
    this.#clock = clock
    for (const settings of queues) {
      this.#queues.set(settings.name, new MemoryQueue(settings, {
        clock,
        records: this.#records,
        storePayloads: this.#serialize,
        onDrop,
        onDeadLetterLost ({ envelope }) {
          log.warn(logFields(envelope, settings.name), 'too many dead letters, the oldest one is forgotten')
        }
      }))
    }
    stopping.addEventListener('abort', () => {
      for (const queue of this.#queues.values()) queue.rejectProducers(stopping.reason)
    }, { once: true })
  }

  offer (queue: string, job: JobEnvelope): EnqueueResult | undefined {
    // What serialising refuses is a rejected enqueue, like everything that waits.
    return this.#serialize ? undefined : this.#queue(queue).offer(job)
  }

  enqueue (queue: string, jobs: readonly JobEnvelope[], limits: EnqueueLimits): Promise<readonly EnqueueResult[]> {
    const target = this.#queue(queue)
    if (this.#serialize) {
      try {
        for (const job of jobs) job.payload = decodePayload(`job '${job.name}'`, encodePayload(`job '${job.name}'`, job.payload, target.settings.maxPayloadBytes))
      } catch (error) {
        return Promise.reject(error)
      }
    }
    return target.enqueue(jobs, limits)
  }

  consume (queue: string, { concurrency }: { concurrency: number }, deliver: Deliver): Consumer {
    return new MemoryConsumer(this.#queue(queue), this.#clock, concurrency, deliver)
  }

  stats (queue: string): QueueStats {
    return this.#queue(queue).stats()
  }

  find (id: string): JobView | undefined {
    return this.#records.find(id)?.view()
  }

  listDead (queue: string, { limit }: { limit: number }): DeadLetter[] {
    const letters: DeadLetter[] = []
    for (const record of this.#queue(queue).deadLetters()) {
      if (letters.length === limit) break
      letters.push(record.deadLetter(record.envelope.payload))
    }
    return letters
  }

  retry (id: string): RetryAnswer {
    const record = this.#records.find(id)
    return record !== undefined && record.queue.retry(record)
  }

  remove (id: string): boolean {
    const record = this.#records.find(id)
    return record !== undefined && record.queue.removeDead(record)
  }

  cancel (id: string): boolean {
    const record = this.#records.find(id)
    return record !== undefined && record.queue.cancel(record)
  }

  abandon (queue: string): Iterable<JobEnvelope> {
    return this.#queue(queue).unfinished()
  }

  async close (): Promise<void> {
    for (const queue of this.#queues.values()) queue.close()
  }

  #queue (name: string): MemoryQueue {
    return this.#queues.get(name)!
  }
}
