import { setImmediate } from 'node:timers/promises'
import { Counter, Gauge, type Metric, type Registry } from 'prom-client'
import { InvalidOptionsError } from '../errors.ts'

type Labelled = readonly [labels: Record<string, string>, value: number]
export type Series = Iterable<Labelled>

/** Puts metrics into a registry whose values are plain numbers elsewhere, read when somebody scrapes. */
export class Publisher {
  readonly #registry: Registry
  readonly #prefix: string
  readonly #names: string[] = []

  constructor (registry: Registry, prefix: string) {
    this.#registry = registry
    this.#prefix = prefix
  }

  counter (name: string, help: string, labelNames: readonly string[], series: () => Series): void {
    this.add(name, (name) => new Counter({
      name,
      help,
      labelNames,
      registers: [],
      collect () {
        this.reset()
        for (const [labels, value] of series()) this.inc(labels, value)
      }
    }))
  }

  gauge (name: string, help: string, labelNames: readonly string[], series: () => Series | Promise<Series>): void {
    this.add(name, (name) => new Gauge({
      name,
      help,
      labelNames,
      registers: [],
      async collect () {
        const found = await series()
        this.reset()
        for (const [labels, value] of found) this.set(labels, value)
      }
    }))
  }

  /** A series for each item. One whose value cannot be had is left out; the scrape goes on. `atOnce`: items that are asked in one turn of the event loop. */
  gaugeOfEach<Item> (
    name: string, help: string, labelNames: readonly string[], items: () => Iterable<Item>,
    labelsOf: (item: Item) => Record<string, string>, value: (item: Item) => number | undefined | Promise<number | undefined>,
    atOnce = Infinity
  ): void {
    const seriesOf = async (item: Item): Promise<Labelled[]> => {
      try {
        const found = await value(item)
        return found === undefined ? [] : [[labelsOf(item), found]]
      } catch {
        return []
      }
    }
    this.gauge(name, help, labelNames, async () => {
      const asked: Promise<Labelled[]>[] = []
      for (const item of items()) {
        asked.push(seriesOf(item))
        if (asked.length % atOnce === 0) await setImmediate()
      }
      const series = await Promise.all(asked)
      return series.flat()
    })
  }

  add (name: string, create: (name: string) => Metric): void {
    const full = this.#prefix + name
    if (this.#registry.getSingleMetric(full) !== undefined) {
      this.withdraw()
      throw new InvalidOptionsError(`fastify-background-jobs options: 'metrics.registry' has a metric '${full}' already; give another 'metrics.prefix'`)
    }
    this.#registry.registerMetric(create(full))
    this.#names.push(full)
  }

  /** What `register` adds goes when the rest goes. */
  include (register: (registry: Registry) => void): void {
    const before = new Set(this.#registry.getMetricsAsArray().map(({ name }) => name))
    register(this.#registry)
    this.#names.push(...this.#registry.getMetricsAsArray().map(({ name }) => name).filter((name) => !before.has(name)))
  }

  /** Takes these metrics out of a registry that others use too. */
  withdraw (): void {
    for (const name of this.#names) this.#registry.removeSingleMetric(name)
  }
}
