import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Measurement, Task } from './children/measurement.ts'
import type { ContenderName } from './contenders/contender.ts'

const run = promisify(execFile)
const child = fileURLToPath(new URL('children/measurement.ts', import.meta.url))
const flags = ['--expose-gc', '--max-old-space-size=8192', '--disable-warning=ExperimentalWarning']

export type Medians<Name extends string = ContenderName> = Record<Name, Measurement>

// Ours is never cut short: its cost is a target itself.
function boundOf ({ contender, bound }: Task) {
  return contender === 'ours' ? Number.MAX_SAFE_INTEGER : bound
}

async function measure (task: Task): Promise<Measurement> {
  const { stdout } = await run(process.execPath, [...flags, child, JSON.stringify({ ...task, bound: boundOf(task) })])
  return JSON.parse(stdout) as Measurement
}

export function median (values: readonly number[]) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One child a measurement, the contenders in turn; one that exceeded the bound gets no further round. */
export async function medians<Name extends ContenderName> (
  names: readonly Name[], rounds: number, task: (name: Name) => Task
): Promise<Medians<Name>> {
  const measured = new Map<Name, Measurement[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, measurements] of measured) {
      if (!measurements.at(-1)?.exceeded) measurements.push(await measure(task(name)))
    }
  }
  const entries = Array.from(measured, ([name, measurements]) => [name, {
    value: median(measurements.map(({ value }) => value)),
    exceeded: measurements.some(({ exceeded }) => exceeded)
  }])
  return Object.fromEntries(entries) as Medians<Name>
}
