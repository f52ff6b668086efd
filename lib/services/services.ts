import type { Service, ServiceOptions, ServiceStatus } from '../../types/services.ts'
import { ABORT_GRACE } from '../attempt.ts'
import type { Budget } from '../budget.ts'
import { InvalidOptionsError, kindOf } from '../errors.ts'
import { serializeError } from '../serialize-error.ts'
import { logError } from '../log-error.ts'
import { checkServiceOptions } from '../options.ts'
import { checkFunction, checkName } from '../validation.ts'
import { HostedService, type HostedServiceHost } from './hosted-service.ts'

/** The services of the app: started in the order in which they were registered, stopped in reverse. */
export class Services {
  readonly #host: HostedServiceHost
  readonly #services = new Map<string, HostedService>()
  readonly #errors: Error[] = []
  #open = true
  #stopped: Promise<void> | undefined

  constructor (host: HostedServiceHost) {
    this.#host = host
  }

  /** Throws FST_JOBS_INVALID_OPTIONS. */
  add (name: string, service: Service, options: ServiceOptions = {}): void {
    checkName(name, 'service name')
    const subject = `service '${name}'`
    if (!this.#open) throw new InvalidOptionsError(`${subject}: it came after 'ready'; register services while plugins are registered`)
    if (this.#services.has(name)) throw new InvalidOptionsError(`${subject}: there is one of that name already`)
    if (typeof service !== 'object' || service === null) throw new InvalidOptionsError(`${subject}: it must be an object with 'run' or 'start', got ${kindOf(service)}`)
    const methods = { run: service.run, start: service.start, stop: service.stop }
    for (const [method, given] of Object.entries(methods)) {
      if (given !== undefined) checkFunction(given, 1, `${subject}: option '${method}'`)
    }
    if (service.run === undefined && service.start === undefined) throw new InvalidOptionsError(`${subject}: it has neither 'run' nor 'start'; give it one`)
    checkServiceOptions(options, subject)
    if (options.restart !== undefined && options.onFailure !== 'restart') throw new InvalidOptionsError(`${subject}: option 'restart' needs onFailure: 'restart'`)
    this.#services.set(name, new HostedService(name, service, options, this.#host))
  }

  all (): Iterable<HostedService> {
    return this.#services.values()
  }

  status (): Record<string, ServiceStatus> {
    return Object.fromEntries(Array.from(this.all(), ({ name, state, restarts }) => [name, { state, restarts }]))
  }

  /** What went wrong with services: one error as it is, several as an AggregateError. */
  get error (): Error | undefined {
    const fatal = Array.from(this.all(), (service) => service.fatal).filter((error) => error !== undefined)
    const errors = [...fatal, ...this.#errors]
    return errors.length > 1 ? new AggregateError(errors, errors.map((error) => serializeError(error).message).join('; ')) : errors[0]
  }

  /** Rejects with what a service's `start` threw, once those before it are stopped. */
  async start (budget: () => Budget): Promise<void> {
    this.#open = false
    for (const service of this.all()) {
      // A close has begun meanwhile.
      if (service.isToldToStop) return
      try {
        await service.start()
      } catch (thrown) {
        if (service.state === 'stopped') return
        logError(this.#host.log, 'error', thrown, { service: service.name }, 'the service failed to start')
        await this.#stopWithin(budget())
        throw thrown
      }
    }
  }

  /** Whether a loop runs, or will be restarted. */
  get isRunning (): boolean {
    return Array.from(this.all()).some(({ isRunning }) => isRunning)
  }

  run (): void {
    for (const service of this.all()) service.run()
  }

  abort (): void {
    for (const service of this.all()) service.abort()
  }

  /** One after the other until it is late, then the rest at once. The same promise whenever it is called. Never rejects. */
  stop (budget: Budget): Promise<void> {
    this.#open = false
    this.#stopped ??= this.#stop(budget)
    return this.#stopped
  }

  async #stop (budget: Budget): Promise<void> {
    const late = budget.past(0)
    late.then(() => { for (const service of this.all()) service.cutShort() })
    const stops: Promise<void>[] = []
    for (const service of [...this.all()].reverse()) {
      const stop = service.stop().then((errors) => { this.#errors.push(...errors) })
      stops.push(stop)
      await Promise.race([stop, late])
    }
    await Promise.all(stops)
  }

  async #stopWithin (budget: Budget): Promise<void> {
    await Promise.race([this.stop(budget), budget.past(ABORT_GRACE)])
    budget.end()
  }

  /** Those that were told to stop and have not ended. */
  pending (): string[] {
    return Array.from(this.all()).filter(({ isPending }) => isPending).map(({ name }) => name)
  }
}
