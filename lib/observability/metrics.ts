import { collectDefaultMetrics, Histogram, Registry, type MetricObjectWithValues, type MetricValueWithName } from 'prom-client'
import type { QueueStats } from '../../types/backend.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Queue } from '../queue.ts'
import type { Definition } from '../registry.ts'
import type { Runtime } from '../runtime.ts'
import type { ScheduleCounts } from '../schedules/schedule.ts'
import type { HostedService } from '../services/hosted-service.ts'
import { BUCKETS, type Buckets, type JobCounters } from './counters.ts'
import { Publisher } from './publisher.ts'

export interface Published {
  readonly registry: Registry
  readonly publisher: Publisher
}

/** One of prom-client's default metrics, there on every platform. */
const PROCESS_METRIC = 'process_cpu_user_seconds_total'
const LABELS = ['queue', 'job'] as const

const COUNTERS: readonly [name: string, help: string, value: (counters: JobCounters) => number][] = [
  ['queued_total', 'Jobs taken into a queue', ({ queued }) => queued],
  ['started_total', 'Attempts started', ({ started }) => started],
  ['succeeded_total', 'Jobs that succeeded', ({ succeeded }) => succeeded],
  ['failed_total', 'Attempts that failed', ({ failed }) => failed],
  ['retried_total', 'Failed attempts that are tried again', ({ retried }) => retried],
  ['dead_lettered_total', 'Jobs that became dead letters', ({ deadLettered }) => deadLettered],
  ['dropped_total', 'Jobs that a full queue dropped', ({ dropped }) => dropped],
  ['rejected_total', 'Valid enqueues that were refused, gave up or found the app stopping', ({ rejected }) => rejected],
  ['discarded_total', 'Jobs in memory that ended with the process', ({ discarded }) => discarded]
]

const HISTOGRAMS: readonly [name: string, help: string, value: (counters: JobCounters) => Buckets][] = [
  ['wait_seconds', 'Time from due to started', ({ wait }) => wait],
  ['duration_seconds', 'Time an attempt took', ({ duration }) => duration]
]

const GAUGES: readonly [name: string, help: string, value: (queue: Queue, stats: () => Promise<QueueStats>) => Promise<number> | number][] = [
  ['queue_depth', 'Jobs ready to run', async (_queue, stats) => (await stats()).waiting],
  ['queue_capacity', 'Jobs that may wait', ({ settings }) => settings.capacity],
  ['delayed', 'Delayed jobs and retries', async (_queue, stats) => (await stats()).delayed],
  ['in_flight', 'Attempts running', ({ worker }) => worker.inFlight]
]

const SERVICE_COUNTERS: readonly [name: string, help: string, value: (service: HostedService) => number][] = [
  ['service_failures_total', 'Failures of a service', ({ failures }) => failures],
  ['service_restarts_total', 'Restarts of a service after a failure', ({ restarts }) => restarts]
]

const SCHEDULE_COUNTERS: readonly [name: string, help: string, value: (counts: ScheduleCounts) => number][] = [
  ['schedule_ticks_total', 'Ticks that enqueued a job', ({ ticks }) => ticks],
  ['schedule_missed_total', 'Ticks that passed by while the process slept or its clock was set', ({ missed }) => missed],
  ['schedule_skipped_total', 'Ticks left out since the run before had not finished', ({ skipped }) => skipped],
  ['schedule_failed_total', 'Times that a tick could not be enqueued', ({ failed }) => failed]
]

/** Publishes what the runtime counts. */
export function publishMetrics (runtime: Runtime, options: Exclude<ResolvedOptions['metrics'], false>): Published {
  const registry = options.registry ?? new Registry()
  const publisher = new Publisher(registry, options.prefix)
  for (const [name, help, value] of COUNTERS) {
    publisher.counter(name, help, LABELS, () => Array.from(runtime.definitions(), (definition) => [labelsOf(definition), value(definition.counters)]))
  }
  const stats = new SharedStats()
  for (const [name, help, value] of GAUGES) {
    publisher.gaugeOfEach(name, help, ['queue'], () => runtime.queues, (queue) => ({ queue: queue.name }), (queue) => value(queue, () => stats.of(queue)))
  }
  for (const [name, help, value] of HISTOGRAMS) publisher.add(name, (full) => new BucketsHistogram(full, help, runtime, value))
  publishServices(publisher, runtime)
  publishSchedules(publisher, runtime)
  // A registry that another app has given its process metrics needs no second set.
  if (options.defaultMetrics && registry.getSingleMetric(PROCESS_METRIC) === undefined) {
    publisher.include((register) => collectDefaultMetrics({ register }))
  }
  return { registry, publisher }
}

function publishServices (publisher: Publisher, { services }: Runtime): void {
  // One that completed is neither up nor down.
  publisher.gauge('service_up', '1 while a service runs, 0 while it does not', ['service'], () =>
    Array.from(services.all()).filter(({ state }) => state !== 'completed').map(({ name, state }) => [{ service: name }, state === 'running' ? 1 : 0]))
  for (const [name, help, value] of SERVICE_COUNTERS) {
    publisher.counter(name, help, ['service'], () => Array.from(services.all(), (service) => [{ service: service.name }, value(service)]))
  }
}

function publishSchedules (publisher: Publisher, { scheduler }: Runtime): void {
  for (const [name, help, value] of SCHEDULE_COUNTERS) {
    publisher.counter(name, help, ['schedule'], () => Array.from(scheduler.all(), ({ name, counts }) => [{ schedule: name }, value(counts)]))
  }
  publisher.gauge('schedule_last_success_timestamp_seconds', 'When a job of the schedule last succeeded in this instance', ['schedule'], () =>
    scheduler.list().flatMap(({ name, lastSuccess }) => lastSuccess === undefined ? [] : [[{ schedule: name }, lastSuccess / 1000]]))
}

/** One question to a backend for all the gauges of a scrape: prom-client collects them at the same time. */
class SharedStats {
  readonly #asked = new Map<Queue, Promise<QueueStats>>()

  of (queue: Queue): Promise<QueueStats> {
    let answer = this.#asked.get(queue)
    if (answer === undefined) {
      answer = this.#ask(queue).finally(() => this.#asked.delete(queue))
      this.#asked.set(queue, answer)
    }
    return answer
  }

  async #ask ({ backend, name }: Queue): Promise<QueueStats> {
    return backend.stats(name)
  }
}

function labelsOf ({ queue, name }: Definition): { queue: string, job: string } {
  return { queue, job: name }
}

/** prom-client's histograms can only observe; this one shows what was counted elsewhere. */
class BucketsHistogram extends Histogram<string> {
  readonly #shape
  readonly #runtime: Runtime
  readonly #value: (counters: JobCounters) => Buckets

  constructor (name: string, help: string, runtime: Runtime, value: (counters: JobCounters) => Buckets) {
    super({ name, help, labelNames: LABELS, buckets: [...BUCKETS], registers: [] })
    this.#shape = { name, help }
    this.#runtime = runtime
    this.#value = value
  }

  override async get (): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    const values = [...this.#runtime.definitions()].flatMap((definition) => this.#series(definition))
    // prom-client's own histograms answer so; its types ask for more, and for an enum that does not exist at run time.
    return { ...this.#shape, type: 'histogram', aggregator: 'sum', values } as unknown as MetricObjectWithValues<MetricValueWithName<string>>
  }

  // prom-client's text format asks this method of histograms.
  getForPromString (): Promise<MetricObjectWithValues<MetricValueWithName<string>>> {
    return this.get()
  }

  #series (definition: Definition): MetricValueWithName<string>[] {
    const { counts, count, sum } = this.#value(definition.counters)
    const { name } = this.#shape
    const labels = labelsOf(definition)
    let cumulative = 0
    const buckets = counts.map((inBucket, index) => {
      cumulative += inBucket
      return { metricName: `${name}_bucket`, labels: { le: BUCKETS[index] ?? '+Inf', ...labels }, value: cumulative }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum / 1000 },
      { metricName: `${name}_count`, labels, value: count }
    ]
  }
}
