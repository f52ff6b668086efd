import { CONTENDERS } from './contenders/contender.ts'
import { printTable, show, type Target } from './report.ts'
import { medians } from './rounds.ts'
import type { Settings } from './settings.ts'

const ROUNDS = 3
const BYTES_MAXIMUM = 300

/** Bytes that a waiting job takes beyond its payload, which all jobs share. */
export async function heap (settings: Settings): Promise<Target[]> {
  const result = await medians(CONTENDERS, ROUNDS, (contender) => ({
    kind: 'heap',
    contender,
    handler: 'null',
    concurrency: 1,
    capacity: settings.heapJobs,
    jobs: settings.heapJobs,
    bound: settings.bound
  }))
  printTable(`Heap: bytes a waiting job (${settings.heapJobs} jobs)`, ['', ...CONTENDERS],
    [['bytes', ...CONTENDERS.map((contender) => show(result[contender], 0))]])
  return [{ name: 'heap: our bytes a waiting job', value: result.ours.value, wanted: { max: BYTES_MAXIMUM } }]
}
