import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry, type MetricObjectWithValues, type MetricValueWithName } from 'prom-client'
import { InvalidOptionsError } from '../errors.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Definition } from '../registry.ts'
import type { Runtime } from '../runtime.ts'
import { BUCKETS, type Buckets, type JobCounters } from './counters.ts'

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

const GAUGES: readonly [name: string, help: string, value: (runtime: Runtime, queue: string) => Promise<number> | number][] = [
  ['queue_depth', 'Jobs ready to run', async (runtime, queue) => (await runtime.queue(queue).backend.stats(queue)).waiting],
  ['queue_capacity', 'Jobs that may wait', (runtime, queue) => runtime.queue(queue).settings.capacity],
  ['delayed', 'Delayed jobs and retries', async (runtime, queue) => (await runtime.queue(queue).backend.stats(queue)).delayed],
  ['in_flight', 'Attempts running', (runtime, queue) => runtime.queue(queue).worker.inFlight]
]

export interface PublishedMetrics {
  readonly registry: Registry
  /** Takes the plugin's metrics out of a registry that others use too. */
  withdraw (): void
}

/** Publishes the runtime's counters: they are plain numbers, read when somebody scrapes. */
export function publishMetrics (runtime: Runtime, options: Exclude<ResolvedOptions['metrics'], false>): PublishedMetrics {
  const registry = options.registry ?? new Registry()
  const names: string[] = []
  const withdraw = (): void => {
    for (const name of names) registry.removeSingleMetric(name)
  }
  const named = (name: string): string => {
    const full = options.prefix + name
    if (registry.getSingleMetric(full) !== undefined) {
      withdraw()
      throw new InvalidOptionsError(`fastify-background-jobs options: 'metrics.registry' has a metric '${full}' already; give another 'metrics.prefix'`)
    }
    names.push(full)
    return full
  }

  for (const [name, help, value] of COUNTERS) {
    registry.registerMetric(new Counter({
      name: named(name),
      help,
      labelNames: LABELS,
      registers: [],
      collect () {
        this.reset()
        for (const definition of runtime.definitions()) this.inc(labelsOf(definition), value(definition.counters))
      }
    }))
  }
  for (const [name, help, value] of GAUGES) {
    registry.registerMetric(new Gauge({
      name: named(name),
      help,
      labelNames: ['queue'],
      registers: [],
      async collect () {
        for (const { name: queue } of runtime.queues) {
          try {
            this.set({ queue }, await value(runtime, queue))
          } catch {
            // A backend out of reach takes its own gauges away, not the whole scrape.
            this.remove({ queue })
          }
        }
      }
    }))
  }
  for (const [name, help, value] of HISTOGRAMS) registry.registerMetric(new BucketsHistogram(named(name), help, runtime, value))
  // A registry that another app has given its process metrics needs no second set.
  if (options.defaultMetrics && registry.getSingleMetric(PROCESS_METRIC) === undefined) {
    const before = new Set(registry.getMetricsAsArray().map(({ name }) => name))
    collectDefaultMetrics({ register: registry })
    names.push(...registry.getMetricsAsArray().map(({ name }) => name).filter((name) => !before.has(name)))
  }
  return { registry, withdraw }
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
