import { asFunction, type AwilixContainer } from 'awilix'
import type { FastifyBaseLogger } from 'fastify'
import type { ServiceContext } from '../../types/services.ts'
import { describe, InvalidOptionsError } from '../errors.ts'
import { logError } from '../log-error.ts'
import type { TimerHeap } from '../timer-heap.ts'

export interface ServiceHost {
  /** Services that sleep: what wakes each. */
  readonly sleepers: TimerHeap<() => void>
  readonly log: FastifyBaseLogger
  createScope (): AwilixContainer
}

/** What a service sees of its host, for as long as one run of it takes. */
export class RunContext implements ServiceContext {
  readonly signal: AbortSignal
  readonly #name: string
  readonly #host: ServiceHost
  #log: FastifyBaseLogger | undefined
  #scope: AwilixContainer | undefined

  constructor (name: string, signal: AbortSignal, host: ServiceHost) {
    this.#name = name
    this.signal = signal
    this.#host = host
  }

  get log (): FastifyBaseLogger {
    return (this.#log ??= this.#host.log.child({ service: this.#name }))
  }

  get diScope (): AwilixContainer {
    return (this.#scope ??= this.#host.createScope().register({
      signal: asFunction(() => this.signal).scoped(),
      log: asFunction(() => this.log).scoped()
    }))
  }

  readonly sleep = (delay: number): Promise<void> => {
    if (typeof delay !== 'number' || Number.isNaN(delay)) throw new InvalidOptionsError(`sleep of service '${this.#name}': it takes milliseconds, got ${describe(delay)}`)
    const { sleepers } = this.#host
    const { signal } = this
    return new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const wake = (): void => {
        sleepers.remove(timer)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const timer = sleepers.add(delay, wake)
      signal.addEventListener('abort', wake)
    })
  }

  /** Never rejects. */
  async end (): Promise<void> {
    if (this.#scope !== undefined) await disposeScope(this.#scope, this.log)
  }
}

export async function disposeScope (scope: AwilixContainer, log: FastifyBaseLogger): Promise<void> {
  try {
    await scope.dispose()
  } catch (thrown) {
    logError(log, 'error', thrown, {}, "disposing the service's scope failed")
  }
}
