import type { EnqueueResult } from '../../../types/backend.ts'
import type { JobEnvelope } from '../../../types/job.ts'
import { KeepAlive } from '../../keep-alive.ts'
import { LinkedList, type Linked } from '../../linked-list.ts'
import { TimerHeap, type Timer } from '../../timer-heap.ts'
import type { Clock } from '../../../types/backend.ts'

export type Results = readonly EnqueueResult[]

/** An enqueue that waits for room. */
class Producer implements Linked<Producer> {
  prev: Producer | undefined
  next: Producer | undefined
  readonly jobs: readonly JobEnvelope[]
  readonly resolve: (results: Results | Promise<Results>) => void
  readonly reject: (reason: unknown) => void
  timer: Timer<Producer> | undefined
  forget: (() => void) | undefined

  constructor (jobs: readonly JobEnvelope[], resolve: (results: Results | Promise<Results>) => void, reject: (reason: unknown) => void) {
    this.jobs = jobs
    this.resolve = resolve
    this.reject = reject
  }
}

/**
 * The producers that wait for room, first come first served. As in System.Threading.Channels' BoundedChannel, a later
 * producer never overtakes: whoever finds one waiting waits behind it, and promotion is atomic with the read that made room.
 */
export class WaitingProducers {
  readonly #waiting = new LinkedList<Producer>()
  readonly #keepAlive = new KeepAlive(() => this.#waiting.size > 0)
  readonly #timeouts: TimerHeap<Producer>
  readonly #onGaveUp: () => void

  /** `onGaveUp`: those behind a producer that gave up may fit into the room that it could not use. */
  constructor (clock: Clock, onTimeout: () => Error, onGaveUp: () => void) {
    this.#onGaveUp = onGaveUp
    this.#timeouts = new TimerHeap(clock, (producer) => this.#giveUp(producer, onTimeout()))
  }

  get size (): number {
    return this.#waiting.size
  }

  get firstJobs (): readonly JobEnvelope[] | undefined {
    return this.#waiting.first?.jobs
  }

  wait (jobs: readonly JobEnvelope[], timeout: number | undefined, signal: AbortSignal | undefined): Promise<Results> {
    return new Promise((resolve, reject) => {
      const producer = new Producer(jobs, resolve, reject)
      this.#waiting.push(producer)
      this.#keepAlive.hold()
      if (timeout !== undefined) producer.timer = this.#timeouts.add(timeout, producer)
      if (signal !== undefined) {
        const onAbort = (): void => this.#giveUp(producer, signal.reason)
        signal.addEventListener('abort', onAbort, { once: true })
        producer.forget = () => signal.removeEventListener('abort', onAbort)
      }
    })
  }

  /** `results`: those of a queue that is elsewhere may still be on their way. */
  admitFirst (results: Results | Promise<Results>): void {
    const producer = this.#waiting.first!
    this.#leave(producer)
    producer.resolve(results)
  }

  rejectAll (reason: unknown): void {
    for (let producer = this.#waiting.first; producer !== undefined; producer = this.#waiting.first) {
      this.#fail(producer, reason)
    }
    this.#keepAlive.release()
  }

  #giveUp (producer: Producer, reason: unknown): void {
    this.#fail(producer, reason)
    this.#onGaveUp()
  }

  #fail (producer: Producer, reason: unknown): void {
    this.#leave(producer)
    producer.reject(reason)
  }

  #leave (producer: Producer): void {
    this.#waiting.remove(producer)
    if (producer.timer !== undefined) this.#timeouts.remove(producer.timer)
    producer.forget?.()
  }
}
