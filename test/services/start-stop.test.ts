import { getEventListeners } from 'node:events'
import t from 'tap'
import { asFunction } from 'awilix'
import Fastify from 'fastify'
import backgroundJobs, { type Service, type ServiceContext, type ServiceOptions } from '../../lib/index.ts'
import { turns } from '../helpers/app.ts'

/** Mulberry32: the same numbers for the same seed, so that a failing round can be run again alone. */
function generator (seed: number): () => number {
  return function next () {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

type What = 'start' | 'started' | 'run' | 'ran' | 'stop' | 'stopped'
interface Event { readonly service: number, readonly what: What }

/** What one round has seen, and what is wrong with it. */
class Round {
  readonly events: Event[] = []
  readonly signals = new Set<AbortSignal>()
  readonly expected: Error[] = []
  readonly problems: string[] = []
  readonly random: () => number
  fatal = false
  scopes = 0

  constructor (seed: number) {
    this.random = generator(seed)
  }

  chance (probability: number): boolean {
    return this.random() < probability
  }

  record (service: number, what: What): void {
    this.events.push({ service, what })
  }

  check (holds: boolean, problem: string): void {
    if (!holds) this.problems.push(problem)
  }

  of (what: What): number[] {
    return this.events.filter((event) => event.what === what).map(({ service }) => service)
  }

  /** Takes part of a turn, a few turns, or no time at all; touches its scope, or not. */
  async dawdle ({ diScope }: ServiceContext): Promise<void> {
    if (this.chance(0.3)) diScope.resolve('thing')
    if (this.chance(0.5)) await turns(Math.floor(this.random() * 4))
  }

  maybeThrow (probability: number): void {
    if (this.chance(probability)) throw new Error('random')
  }

  service (index: number): [Service, ServiceOptions] {
    const onFailure = (['ignore', 'restart', 'close'] as const)[Math.floor(this.random() * 3)]!
    const options = { onFailure, ...(onFailure === 'restart' && { restart: { limit: Math.floor(this.random() * 3), backoff: () => 1 } }) }
    const hasRun = this.chance(0.7)
    const service: Service = {}
    if (!hasRun || this.chance(0.6)) service.start = (context) => this.#start(index, context)
    if (hasRun) service.run = (context) => this.#run(index, context, onFailure)
    if (this.chance(0.7)) service.stop = (context) => this.#stop(index, context)
    return [service, options]
  }

  #start (index: number, context: ServiceContext): unknown {
    this.record(index, 'start')
    this.signals.add(context.signal)
    this.maybeThrow(0.03)
    return this.dawdle(context).then(() => {
      this.maybeThrow(0.03)
      this.record(index, 'started')
    })
  }

  async #run (index: number, context: ServiceContext, onFailure: string): Promise<void> {
    this.record(index, 'run')
    this.signals.add(context.signal)
    this.check(!context.signal.aborted, `${index} runs although it was told to stop`)
    try {
      await this.dawdle(context)
      if (this.chance(0.2)) return
      if (this.chance(0.8)) await context.sleep(Infinity)
      if (this.chance(0.3)) context.signal.throwIfAborted()
      this.maybeThrow(0.5)
    } catch (error) {
      const { aborted, reason } = context.signal
      if (aborted && error !== reason) this.expected.push(error as Error)
      if (!aborted && onFailure === 'close') this.fatal = true
      throw error
    } finally {
      this.record(index, 'ran')
    }
  }

  async #stop (index: number, context: ServiceContext): Promise<void> {
    this.record(index, 'stop')
    this.check(!context.signal.aborted, `the signal of ${index}'s stop aborted in time`)
    try {
      await this.dawdle(context)
      this.maybeThrow(0.2)
    } catch (error) {
      this.expected.push(error as Error)
      throw error
    } finally {
      this.record(index, 'stopped')
    }
  }

  /** The invariants that only the order of events shows. */
  checkOrder (services: readonly Service[]): void {
    const [start, started, stop] = [this.of('start'), this.of('started'), this.of('stop')]
    this.check(start.every((service, index) => index === 0 || service > start[index - 1]!), 'started twice, or not in the order of registration')
    this.check(stop.every((service, index) => index === 0 || service < stop[index - 1]!), 'stopped twice, or not in reverse')
    services.forEach((service, index) => {
      if (service.start === undefined || service.stop === undefined) return
      this.check(stop.includes(index) === started.includes(index), `${index} is not stopped exactly when it was started`)
    })
    const failed = start.find((service) => !started.includes(service))
    this.check(failed === undefined || start.at(-1) === failed, 'something was started after a start that failed')
    this.check(failed === undefined || this.of('run').length === 0, 'something ran although a start failed')
    const lastStart = this.events.findLastIndex(({ what }) => what === 'started')
    this.check(!this.events.some(({ what }, index) => index < lastStart && (what === 'run' || what === 'stop')), 'something ran or stopped while others were started')
    this.#checkPairs('start', 'started', failed)
    this.#checkPairs('stop', 'stopped')
    for (const service of stop) {
      const [stopped, ran] = [this.events.findIndex((event) => event.service === service && event.what === 'stop'), this.events.findLastIndex((event) => event.service === service && event.what === 'ran')]
      this.check(ran < stopped, `${service} was stopped while it ran`)
    }
    this.check(this.of('run').length === this.of('ran').length, 'something still runs')
  }

  #checkPairs (begin: What, end: What, failed?: number): void {
    const both = this.events.filter(({ what, service }) => (what === begin || what === end) && service !== failed)
    this.check(both.every(({ what, service }, index) => index % 2 === 0 ? what === begin : what === end && service === both[index - 1]!.service), `two ${begin} at once`)
  }
}

async function play (seed: number): Promise<string[]> {
  const round = new Round(seed)
  const app = Fastify({ logger: false })
  await app.register(backgroundJobs, { services: { exitCode: false }, shutdown: { mode: round.chance(0.3) ? 'stop' : 'drain' } })
  app.diContainer.register({ thing: asFunction(() => { round.scopes++; return {} }, { lifetime: 'SCOPED', dispose: () => { round.scopes-- } }) })
  const services: Service[] = []
  for (let index = 0; index < Math.floor(round.random() * 6); index++) {
    const [service, options] = round.service(index)
    services.push(service)
    app.jobs.service(`s${index}`, service, options)
  }
  const broken = new Error('another plugin')
  if (round.chance(0.1)) app.addHook('onReady', async () => { throw broken })
  const closes = await startAndClose()
  round.checkOrder(services)
  await checkEnd()
  return round.problems.map((problem) => `seed ${seed}: ${problem} ${round.events.map(({ service, what }) => `${what} ${service}`).join(', ')}`)

  async function startAndClose (): Promise<PromiseSettledResult<unknown>[]> {
    if (!round.chance(0.1)) {
      const ready = Promise.resolve(app.ready()).catch(() => {})
      if (!round.chance(0.3)) await ready
      await turns(Math.floor(round.random() * 4))
      if (round.chance(0.3)) await new Promise((resolve) => setTimeout(resolve, round.random() * 5))
    }
    const closing = [app.close()]
    if (round.chance(0.3)) closing.push(app.close())
    return Promise.allSettled(closing)
  }

  async function checkEnd (): Promise<void> {
    const { length } = round.events
    await turns(3)
    round.check(round.events.length === length, 'something happened after the close')
    round.check(round.scopes === 0, `${round.scopes} scopes are not disposed`)
    for (const signal of round.signals) {
      round.check(signal.aborted, 'a signal has not aborted')
      round.check(getEventListeners(signal, 'abort').length === 0, 'a listener is left')
    }
    const status = await app.jobs.status()
    round.check(status.isStopped, 'not stopped')
    for (const { state } of Object.values(status.services)) round.check(['stopped', 'failed', 'completed'].includes(state), `a service is ${state}`)
    checkErrors(closes[0]!)
  }

  function checkErrors (close: PromiseSettledResult<unknown>): void {
    // The app may have been closed by a failure, before anybody else closed it. What a close says then, or while ready fails, is Fastify's doing.
    if (round.fatal) return
    const told = close.status === 'fulfilled' || close.reason === broken ? [] : close.reason instanceof AggregateError ? close.reason.errors : [close.reason]
    round.check(told.length === round.expected.length && round.expected.every((error) => told.includes(error)), `close told ${told.length} errors of ${round.expected.length}: ${told.map(({ message }) => message)}`)
  }
}

t.test('in six hundred random rounds, every service that was started is stopped once, in reverse, and nothing is left', async (t) => {
  const unhandled: unknown[] = []
  const onUnhandled = (reason: unknown): void => { unhandled.push(reason) }
  process.on('unhandledRejection', onUnhandled)
  t.teardown(() => process.off('unhandledRejection', onUnhandled))
  const first = Number(process.env.START_STOP_SEED ?? 1)
  const problems: string[] = []
  for (let seed = first; seed < first + 600; seed += 10) {
    // However long all of them take: it is ten rounds without an end that hang.
    t.setTimeout(60_000)
    const rounds = await Promise.all(Array.from({ length: 10 }, (_, index) => play(seed + index)))
    problems.push(...rounds.flat())
  }
  t.same(problems, [])
  t.same(unhandled, [])
})
