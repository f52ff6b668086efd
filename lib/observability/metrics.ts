import { collectDefaultMetrics, Histogram, Registry, type MetricObjectWithValues, type MetricValueWithName } from 'prom-client'
import type { QueueStats } from '../../types/backend.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Queue } from '../queue.ts'
import type { Definition } from '../registry.ts'
import type { Runtime } from '../runtime.ts'
import type { ScheduleCounts } from '../schedules/schedule.ts'
import type { HostedService } from '../services/hosted-service.ts'
import { VERSION } from '../version.ts'
import type { Buckets, JobCounters } from './counters.ts'
import { Publisher } from './publisher.ts'
import { SharedAnswer } from './shared-answer.ts'

export interface Published {
  readonly registry: Registry
  readonly publisher: Publisher
}

/** Before the first tick of a cron pattern its interval takes a tenth of a millisecond to find. */
const INTERVALS_AT_ONCE = 50
/** One of prom-client's default metrics, there on every platform. */
const PROCESS_METRIC = 'process_cpu_user_seconds_total'
// Not 'job': Prometheus gives every series a label of that name.
const LABELS = ['queue', 'job_name'] as const

const COUNTERS: readonly [name: string, help: string, value: (counters: JobCounters) => number][] = [
  ['queued_total', 'Jobs taken into a queue', ({ queued }) => queued],
  ['started_total', 'Attempts started', ({ started }) => started],
  ['succeeded_total', 'Jobs that succeeded', ({ succeeded }) => succeeded],
  ['failed_total', 'Attempts that failed', ({ failed }) => failed],
  ['retried_total', 'Failed attempts that are tried again', ({ retried }) => retried],
  ['dead_lettered_total', 'Jobs that became dead letters', ({ deadLettered }) => deadLettered],
  ['dropped_total', 'Jobs that a full queue dropped', ({ dropped }) => dropped],
  ['rejected_total', 'Valid enqueues that were refused, gave up or found the app stopping', ({ rejected }) => rejected],
  ['discarded_total', 'Jobs in memory that ended with the process', ({ discarded }) => discarded],
  ['stalled_total', 'Times that a job taken here had lost the process that ran it before', ({ stalled }) => stalled]
]

const HISTOGRAMS: readonly [name: string, help: string, value: (counters: JobCounters) => Buckets][] = [
  ['wait_seconds', 'Time from due to started', ({ wait }) => wait],
  ['duration_seconds', 'Time an attempt took', ({ duration }) => duration]
]

type Stats = () => Promise<QueueStats>

const GAUGES: readonly [name: string, help: string, value: (queue: Queue, stats: Stats) => Promise<number | undefined> | number][] = [
  ['queue_depth', 'Jobs ready to run', async (_queue, stats) => (await stats()).waiting],
  ['queue_capacity', 'Jobs that may wait', ({ settings }) => settings.capacity],
  ['oldest_waiting_seconds', 'How long the job that waits longest has been ready to run', async ({ worker }, stats) => oldestSeconds(await stats(), worker.clock.now())],
  ['delayed', 'Delayed jobs and retries', async (_queue, stats) => (await stats()).delayed],
  ['dead_letters', 'Dead letters kept', async (_queue, stats) => (await stats()).dead],
  ['in_flight', 'Attempts running', ({ worker }) => worker.inFlight],
  ['concurrency', 'Attempts that this instance runs at once', ({ concurrency }) => concurrency],
  ['paused', '1 while the queue is paused, in this instance or in the store', async ({ worker }, stats) => worker.paused || (await stats()).paused === true ? 1 : 0]
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
  for (const [name, help, value] of HISTOGRAMS) publisher.add(name, (full) => new BucketsHistogram(full, help, options.buckets, runtime, value))
  publishQueues(publisher, runtime)
  publishServices(publisher, runtime)
  publishSchedules(publisher, runtime)
  publisher.gauge('info', 'Always 1; the labels say which version of fastify-background-jobs runs on which version of Node.js', ['version', 'node'],
    () => [[{ version: VERSION, node: process.versions.node }, 1]])
  // A registry that another app has given its process metrics needs no second set.
  if (options.defaultMetrics && registry.getSingleMetric(PROCESS_METRIC) === undefined) {
    publisher.include((register) => collectDefaultMetrics({ register }))
  }
  return { registry, publisher }
}

function publishQueues (publisher: Publisher, { clock, queues }: Runtime): void {
  const answers = new Map(queues.map((queue) => [queue, new SharedAnswer(() => queue.backend.stats(queue.name), clock)]))
  for (const [name, help, value] of GAUGES) {
    publisher.gaugeOfEach(name, help, ['queue'], () => answers, ([{ name: queue }]) => ({ queue }), ([queue, answer]) => value(queue, () => answer.get()))
  }
  // Two backends may have one name, and one backend may have trouble with one queue.
  publisher.gaugeOfEach('backend_up', '1 while the backend says what is in the queue, 0 while it does not', ['queue', 'backend'], () => answers,
    ([{ name: queue, backend }]) => ({ queue, backend: backend.name }), ([, answer]) => answer.get().then(() => 1, () => 0))
}

function oldestSeconds ({ waiting, waitingSince }: QueueStats, now: number): number | undefined {
  if (waitingSince === undefined) return waiting === 0 ? 0 : undefined
  // Clocks of two machines differ.
  return Math.max(0, now - waitingSince) / 1000
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
  publisher.gaugeOfEach('schedule_interval_seconds', 'Time between the tick before the next one and the next one', ['schedule'], () => scheduler.all(),
    ({ name }) => ({ schedule: name }), ({ interval }) => interval === undefined ? undefined : interval / 1000, INTERVALS_AT_ONCE)
}

function labelsOf ({ queue, name }: Definition): { queue: string, job_name: string } {
  return { queue, job_name: name }
}

/** prom-client's histograms can only observe; this one shows what was counted elsewhere. */
class BucketsHistogram extends Histogram<string> {
  readonly #shape
  readonly #bounds: readonly number[]
  readonly #runtime: Runtime
  readonly #value: (counters: JobCounters) => Buckets

  constructor (name: string, help: string, bounds: readonly number[], runtime: Runtime, value: (counters: JobCounters) => Buckets) {
    super({ name, help, labelNames: LABELS, buckets: [...bounds], registers: [] })
    this.#shape = { name, help }
    this.#bounds = bounds
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
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[index] ?? '+Inf', ...labels }, value: cumulative }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum / 1000 },
      { metricName: `${name}_count`, labels, value: count }
    ]
  }
}
