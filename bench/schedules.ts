import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import type { SchedulesMeasurement, SchedulesTask } from './children/schedules.ts'
import { printTable, printTargets, type Target } from './report.ts'
import { median } from './rounds.ts'

const run = promisify(execFile)
const child = fileURLToPath(new URL('children/schedules.ts', import.meta.url))
const SCHEDULES = 10_000
/** Of a schedule with a cron pattern. */
const BYTES_MAXIMUM = 5000
/** Milliseconds to define all and start. */
const START_MAXIMUM = 1500

const { values } = parseArgs({ options: { rounds: { type: 'string' } } })
const rounds = Number(values.rounds ?? 3)

async function measure (task: SchedulesTask): Promise<SchedulesMeasurement> {
  const { stdout } = await run(process.execPath, ['--expose-gc', child, JSON.stringify(task)])
  return JSON.parse(stdout) as SchedulesMeasurement
}

console.log(`Node.js ${process.version}, ${cpus().length} × ${cpus()[0]!.model}`)
const targets: Target[] = []
const rows: string[][] = []
for (const [rule, timezone] of [['every', 'UTC'], ['equal', 'UTC'], ['different', 'UTC'], ['equal', 'America/New_York'], ['different', 'America/New_York']] as const) {
  const measured: SchedulesMeasurement[] = []
  for (let round = 0; round < rounds; round++) measured.push(await measure({ rule, timezone, schedules: SCHEDULES }))
  const of = (key: keyof SchedulesMeasurement) => median(measured.map((measurement) => measurement[key]))
  const name = rule === 'every' ? '{ every }' : `${rule} patterns, ${timezone}`
  rows.push([name, ...(['bytes', 'define', 'ready', 'tick', 'longest'] as const).map((key) => of(key).toFixed(0))])
  if (rule === 'every') continue
  targets.push({ name: `${name}: bytes a schedule`, value: of('bytes'), wanted: { max: BYTES_MAXIMUM } }, { name: `${name}: ms to define and start`, value: of('define') + of('ready'), wanted: { max: START_MAXIMUM } })
}
printTable(`${SCHEDULES} schedules`, ['', 'bytes each', 'define, ms', 'ready, ms', 'tick of all, ms', 'longest turn, ms'], rows)
printTargets(targets)
