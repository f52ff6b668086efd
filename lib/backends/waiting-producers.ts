import type { Clock, EnqueueResult } from '../../types/backend.ts'
import { KeepAlive } from '../keep-alive.ts'
import { LinkedList, type Linked } from '../linked-list.ts'
import { TimerHeap, type Timer } from '../timer-heap.ts'

export type Results = readonly EnqueueResult[]

/** An enqueue that waits for room. */
class Producer<Jobs> implements Linked<Producer<Jobs>> {
  prev: Producer<Jobs> | undefined
  next: Producer<Jobs> | undefined
  readonly jobs: Jobs
  readonly resolve: (results: Results | Promise<Results>) => void
  readonly reject: (reason: unknown) => void
  readonly timeout: number | undefined
  timer: Timer<Producer<Jobs>> | undefined
  forget: (() => void) | undefined

  constructor (jobs: Jobs, timeout: number | undefined, resolve: (results: Results | Promise<Results>) => void, reject: (reason: unknown) => void) {
    this.jobs = jobs
    this.timeout = timeout
    this.resolve = resolve
    this.reject = reject
  }
}

/**
 * The producers that wait for room, first come first served. As in System.Threading.Channels' BoundedChannel, a later
 * producer never overtakes: whoever finds one waiting waits behind it, and promotion is atomic with the read that made room.
 * `Jobs` is what the backend keeps of an enqueue.
 */
export class WaitingProducers<Jobs> {
  readonly #waiting = new LinkedList<Producer<Jobs>>()
  readonly #keepAlive = new KeepAlive(() => this.#waiting.size > 0)
  readonly #timeouts: TimerHeap<Producer<Jobs>>
  readonly #onGaveUp: () => void

  /** `onGaveUp`: those behind a producer that gave up may fit into the room that it could not use. */
  constructor (clock: Clock, onTimeout: (timeout: number) => Error, onGaveUp: () => void) {
    this.#onGaveUp = onGaveUp
    this.#timeouts = new TimerHeap(clock, (producer) => this.#giveUp(producer, onTimeout(producer.timeout!)))
  }

  /** Producers that wait. */
  get size (): number {
    return this.#waiting.size
  }

  /** What the first of them wants to enqueue; undefined where nobody waits. */
  get firstJobs (): Jobs | undefined {
    return this.#waiting.first?.jobs
  }

  /** What each of them wants to enqueue, the first one first. */
  * [Symbol.iterator] (): Generator<Jobs> {
    for (const { jobs } of this.#waiting) yield jobs
  }

  /** Waits behind the others. `timeout`: milliseconds, undefined for no limit. Rejects on timeout, with the signal's reason, and by `rejectAll`. */
  wait (jobs: Jobs, timeout: number | undefined, signal: AbortSignal | undefined): Promise<Results> {
    return new Promise((resolve, reject) => {
      const producer = new Producer(jobs, timeout, resolve, reject)
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

  /** The first one's jobs were taken. `results`: those of a queue that is elsewhere may still be on their way. */
  admitFirst (results: Results | Promise<Results>): void {
    const producer = this.#waiting.first!
    this.#leave(producer)
    producer.resolve(results)
  }

  /** All of them fail with this reason. */
  rejectAll (reason: unknown): void {
    for (let producer = this.#waiting.first; producer !== undefined; producer = this.#waiting.first) {
      this.#fail(producer, reason)
    }
    this.#keepAlive.release()
  }

  #giveUp (producer: Producer<Jobs>, reason: unknown): void {
    this.#fail(producer, reason)
    this.#onGaveUp()
  }

  #fail (producer: Producer<Jobs>, reason: unknown): void {
    this.#leave(producer)
    producer.reject(reason)
  }

  #leave (producer: Producer<Jobs>): void {
    this.#waiting.remove(producer)
    if (producer.timer !== undefined) this.#timeouts.remove(producer.timer)
    producer.forget?.()
  }
}
