import type { Clock } from '../../types/backend.ts'
import type { Jobs } from '../../types/jobs.ts'
import { Publisher } from '../observability/publisher.ts'
import { SharedAnswer } from '../observability/shared-answer.ts'
import type { Relay } from './relay.ts'
import type { OpenStore, OutboxStats } from './store.ts'

type JobsMetrics = NonNullable<Jobs['metrics']>

const LABELS = ['outbox']

const COUNTERS: readonly [name: string, help: string, value: (counters: Relay['counters']) => number][] = [
  ['outbox_published_total', 'Events published', ({ published }) => published],
  ['outbox_failed_total', 'Attempts to publish an event that failed', ({ failed }) => failed],
  ['outbox_parked_total', 'Events parked after their last attempt', ({ parked }) => parked]
]

const GAUGES: readonly [name: string, help: string, value: (stats: OutboxStats) => number][] = [
  ['outbox_pending', 'Events to be published', ({ pending }) => pending],
  ['outbox_parked', 'Events parked', ({ parked }) => parked],
  ['outbox_oldest_pending_seconds', 'Age of the oldest event to be published', ({ oldestSeconds }) => oldestSeconds]
]

/** An outbox as its metrics see it. */
export class Source {
  readonly labels: { readonly outbox: string }
  readonly counters: Relay['counters']
  readonly #stats: SharedAnswer<OutboxStats>

  constructor (name: string, { counters }: Pick<Relay, 'counters'>, store: OpenStore, clock: Clock) {
    this.labels = { outbox: name }
    this.counters = counters
    this.#stats = new SharedAnswer(() => store.stats(), clock)
  }

  stats (): Promise<OutboxStats> {
    return this.#stats.get()
  }
}

/** The outboxes of one app, which share their metrics. */
class OutboxMetrics {
  readonly sources = new Set<Source>()
  readonly publisher: Publisher

  constructor ({ registry, prefix }: JobsMetrics) {
    this.publisher = new Publisher(registry, prefix)
    for (const [name, help, value] of COUNTERS) {
      this.publisher.counter(name, help, LABELS, () => Array.from(this.sources, ({ labels, counters }) => [labels, value(counters)]))
    }
    for (const [name, help, value] of GAUGES) {
      this.publisher.gaugeOfEach(name, help, LABELS, () => this.sources, ({ labels }) => labels, async (source) => value(await source.stats()))
    }
  }
}

const published = new WeakMap<JobsMetrics, OutboxMetrics>()

/** Publishes the metrics of an outbox beside those of the jobs; returns what withdraws them. */
export function publishMetrics (metrics: JobsMetrics, source: Source): () => void {
  let shared = published.get(metrics)
  if (shared === undefined) published.set(metrics, shared = new OutboxMetrics(metrics))
  const { publisher, sources } = shared
  sources.add(source)
  return function withdraw () {
    sources.delete(source)
    if (sources.size > 0) return
    publisher.withdraw()
    published.delete(metrics)
  }
}
