import { CONTENDERS, PEERS } from './contenders/contender.ts'
import { printTable, ratio, show, type Target } from './report.ts'
import { medians } from './rounds.ts'
import type { Settings } from './settings.ts'

const CAPACITY = 1000
const FASTQ_MINIMUM: Record<string, number> = { null: 0.3, setImmediate: 0.5 }
const PLATFORMATIC_MINIMUM = 5

/** A producer that is held back at 1000 waiting jobs. */
export async function throughput (settings: Settings): Promise<Target[]> {
  const rows: string[][] = []
  const targets: Target[] = []
  for (const [handler, jobs] of Object.entries(settings.boundedJobs)) {
    for (const concurrency of settings.concurrencies) {
      const result = await medians(CONTENDERS, settings.rounds, (contender) => ({
        kind: 'bounded',
        contender,
        handler,
        concurrency,
        capacity: CAPACITY,
        jobs: contender === 'platformatic' ? Math.min(jobs, settings.slowJobs) : jobs,
        bound: settings.bound
      }))
      const name = `${handler}, concurrency ${concurrency}`
      rows.push([
        name,
        ...CONTENDERS.map((contender) => show(result[contender])),
        ...PEERS.map((peer) => show(ratio(result.ours, result[peer])))
      ])
      targets.push(
        { name: `bounded, ${name}: ours / fastq`, ...ratio(result.ours, result.fastq), wanted: { min: FASTQ_MINIMUM[handler]! } },
        { name: `bounded, ${name}: ours / platformatic`, ...ratio(result.ours, result.platformatic), wanted: { min: PLATFORMATIC_MINIMUM } }
      )
    }
  }
  printTable(`Bounded producer (${CAPACITY} waiting): µs a job, and our throughput / theirs`,
    ['handler', ...CONTENDERS, ...PEERS.map((peer) => `/ ${peer}`)], rows)
  return targets
}
