import { CONTENDERS, PEERS } from './contenders/contender.ts'
import { handlers } from './handlers.ts'
import { printTable, ratio, show, type Target } from './report.ts'
import { medians } from './rounds.ts'
import type { Settings } from './settings.ts'

const P_QUEUE_FROM = 20_000
const P_QUEUE_MINIMUM = 1
const PLATFORMATIC_MINIMUM = 5
const GROWTH_MAXIMUM = 1.5

/** All jobs are enqueued into a paused queue, which then drains; both are timed. */
export async function backlog (settings: Settings): Promise<Target[]> {
  const rows: string[][] = []
  const targets: Target[] = []
  for (const handler of Object.keys(handlers)) {
    for (const concurrency of settings.concurrencies) {
      const costs: number[] = []
      for (const size of settings.backlogs) {
        const result = await medians(CONTENDERS, settings.rounds, (contender) => ({
          kind: 'backlog',
          contender,
          handler,
          concurrency,
          capacity: size,
          jobs: Math.max(1, Math.round((contender === 'platformatic' ? settings.slowJobs : settings.backlogJobs) / size)) * size,
          bound: settings.bound
        }))
        costs.push(result.ours.value)
        const name = `${handler}, concurrency ${concurrency}, ${size} jobs`
        rows.push([
          name,
          ...CONTENDERS.map((contender) => show(result[contender])),
          ...PEERS.map((peer) => show(ratio(result.ours, result[peer])))
        ])
        targets.push({ name: `backlog, ${name}: ours / platformatic`, ...ratio(result.ours, result.platformatic), wanted: { min: PLATFORMATIC_MINIMUM } })
        if (size >= P_QUEUE_FROM) {
          targets.push({ name: `backlog, ${name}: ours / p-queue`, ...ratio(result.ours, result['p-queue']), wanted: { min: P_QUEUE_MINIMUM } })
        }
      }
      targets.push({
        name: `backlog, ${handler}, concurrency ${concurrency}: our cost at ${settings.backlogs.at(-1)} / at ${settings.backlogs[0]}`,
        value: costs.at(-1)! / costs[0]!,
        wanted: { max: GROWTH_MAXIMUM }
      })
    }
  }
  printTable(`Backlog, enqueue and drain (bound ${settings.bound / 1000} s): µs a job, and our throughput / theirs`,
    ['handler', ...CONTENDERS, ...PEERS.map((peer) => `/ ${peer}`)], rows)
  return targets
}
