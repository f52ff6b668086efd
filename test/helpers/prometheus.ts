export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Exposition {
  /** Metric name to type. */
  readonly types: ReadonlyMap<string, string>
  readonly samples: readonly Sample[]
  /** The value of the one series of that name that has these labels; undefined when there is none. */
  value (name: string, labels?: Record<string, string>): number | undefined
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\.)*)"(?:,|$)/y

/** Parses the Prometheus text format, strictly: throws on a malformed line and on a series that is there twice. */
export function parseExposition (text: string): Exposition {
  const types = new Map<string, string>()
  const samples: Sample[] = []
  const seen = new Set<string>()
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line)
    if (type !== null) {
      if (types.has(type[1]!)) throw new Error(`metric ${type[1]} is described twice`)
      types.set(type[1]!, type[2]!)
    }
    if (line === '' || line.startsWith('#')) continue
    const sample = parseSample(line)
    const key = sample.name + JSON.stringify(Object.entries(sample.labels).sort())
    if (seen.has(key)) throw new Error(`duplicate series: ${line}`)
    seen.add(key)
    samples.push(sample)
  }
  return {
    types,
    samples,
    value (name, labels = {}) {
      const found = samples.filter((sample) => sample.name === name && hasLabels(sample, labels))
      if (found.length > 1) throw new Error(`${found.length} series of ${name} have the labels ${JSON.stringify(labels)}`)
      return found[0]?.value
    }
  }
}

function hasLabels (sample: Sample, labels: Record<string, string>): boolean {
  return Object.entries(labels).every(([label, value]) => sample.labels[label] === value)
}

function parseSample (line: string): Sample {
  const match = SAMPLE.exec(line)
  if (match === null) throw new Error(`malformed line: ${line}`)
  const value = match[3] === '+Inf' ? Infinity : Number(match[3])
  // prom-client writes Nan; Prometheus reads it in any case.
  if (Number.isNaN(value) && !/^nan$/i.test(match[3]!)) throw new Error(`malformed value: ${line}`)
  return { name: match[1]!, labels: parseLabels(match[2] ?? '', line), value }
}

function parseLabels (text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  LABEL.lastIndex = 0
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text)
    if (match === null) throw new Error(`malformed labels: ${line}`)
    labels[match[1]!] = match[2]!.replaceAll(/\\(.)/g, (_, escaped) => escaped === 'n' ? '\n' : escaped)
  }
  return labels
}

/** Throws unless every histogram's buckets are cumulative and agree with its count and sum. */
export function checkHistograms ({ types, samples, value }: Exposition): number {
  let checked = 0
  for (const [name, type] of types) {
    if (type !== 'histogram') continue
    for (const { labels, value: count } of samples.filter((sample) => sample.name === `${name}_count`)) {
      const buckets = samples.filter((sample) => sample.name === `${name}_bucket` && hasLabels(sample, labels))
      const bounds = buckets.map((bucket) => bucket.labels.le === '+Inf' ? Infinity : Number(bucket.labels.le))
      if (bounds.some((bound, index) => index > 0 && bound <= bounds[index - 1]!)) throw new Error(`${name}: bounds do not rise: ${bounds}`)
      if (buckets.some((bucket, index) => index > 0 && bucket.value < buckets[index - 1]!.value)) throw new Error(`${name}: buckets are not cumulative`)
      if (bounds.at(-1) !== Infinity || buckets.at(-1)!.value !== count) throw new Error(`${name}: +Inf is not the count`)
      const sum = value(`${name}_sum`, labels)!
      if (!(sum >= 0) || (count === 0 && sum !== 0)) throw new Error(`${name}: a sum of ${sum} for ${count} observations`)
      const least = buckets.reduce((total, bucket, index) => total + (index === 0 ? 0 : (bucket.value - buckets[index - 1]!.value) * bounds[index - 1]!), 0)
      if (sum < least) throw new Error(`${name}: a sum of ${sum} is less than its buckets say, ${least}`)
      checked++
    }
  }
  return checked
}
