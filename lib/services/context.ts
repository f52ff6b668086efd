import { asFunction, asValue, type AwilixContainer } from 'awilix'
import type { FastifyBaseLogger } from 'fastify'
import type { ServiceContext } from '../../types/services.ts'
import { DISPOSAL_GRACE } from '../attempt.ts'
import { describe, InvalidOptionsError } from '../errors.ts'
import { logError } from '../log-error.ts'
import type { TimerHeap } from '../timer-heap.ts'

export interface ServiceHost {
  /** What wakes each service that sleeps, or waits for its scope. */
  readonly sleepers: TimerHeap<() => void>
  readonly log: FastifyBaseLogger
  createScope (): AwilixContainer
}

/** What a service sees of its host, for as long as one run of it takes. */
export class RunContext implements ServiceContext {
  readonly signal: AbortSignal
  readonly sleep: ServiceContext['sleep']
  readonly #name: string
  readonly #host: ServiceHost
  #log: FastifyBaseLogger | undefined
  #scope: ServiceContext['diScope'] | undefined

  constructor (name: string, signal: AbortSignal, host: ServiceHost) {
    this.#name = name
    this.signal = signal
    this.#host = host
    this.sleep = sleepUntilAborted(name, signal, host)
  }

  get log (): FastifyBaseLogger {
    return (this.#log ??= this.#host.log.child({ service: this.#name }))
  }

  get diScope (): ServiceContext['diScope'] {
    return (this.#scope ??= this.#host.createScope().register({
      signal: asFunction(() => this.signal).scoped(),
      log: asFunction(() => this.log).scoped()
    }) as ServiceContext['diScope'])
  }

  /** The same for `stop`, whose signal is another one: what `start` has put into the scope is still there. */
  forStop (signal: AbortSignal): ServiceContext {
    const context = this
    return {
      signal,
      sleep: sleepUntilAborted(this.#name, signal, this.#host),
      get log () { return context.log },
      get diScope () { return context.diScope.register({ signal: asValue(signal) }) }
    }
  }

  /** Disposes the scope, and waits for that, though not for ever. Never rejects. */
  async end (): Promise<void> {
    const scope = this.#scope
    if (scope === undefined) return
    const { sleepers } = this.#host
    await new Promise<void>((resolve) => {
      const grace = sleepers.add(DISPOSAL_GRACE, () => {
        this.log.error(`disposing the service's scope took longer than ${DISPOSAL_GRACE} ms and is left to itself`)
        resolve()
      })
      disposeScope(scope, this.log).then(() => {
        sleepers.remove(grace)
        resolve()
      })
    })
  }
}

function sleepUntilAborted (name: string, signal: AbortSignal, { sleepers }: ServiceHost): ServiceContext['sleep'] {
  return function sleep (delay) {
    if (typeof delay !== 'number' || Number.isNaN(delay)) throw new InvalidOptionsError(`sleep of service '${name}': it takes milliseconds, got ${describe(delay)}`)
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
}

export async function disposeScope (scope: AwilixContainer, log: FastifyBaseLogger): Promise<void> {
  try {
    await scope.dispose()
  } catch (thrown) {
    logError(log, 'error', thrown, {}, "disposing the service's scope failed")
  }
}
