import Fastify from 'fastify'
import backgroundJobs, { ManualClock } from '../../lib/index.ts'
import type { ScheduleRule } from '../../lib/index.ts'

export interface SchedulesTask {
  rule: 'every' | 'equal' | 'different'
  timezone: string
  schedules: number
}

/** Bytes a schedule, and milliseconds of processor time: a busy machine makes any other time long. */
export interface SchedulesMeasurement {
  bytes: number
  define: number
  ready: number
  tick: number
  /** The longest turn of the event loop in a tick of all. */
  longest: number
}

const MINUTE = 60_000
const TICKS = 3

/** All tick at every minute. */
function ruleOf ({ rule, timezone }: SchedulesTask, n: number): ScheduleRule {
  if (rule === 'every') return { every: MINUTE }
  if (rule === 'equal') return { cron: '* * * * *', timezone }
  // Each bit of n is a way to write two days of the month.
  const days = Array.from({ length: 14 }, (_, bit) => `${1 + bit * 2}${(n >> bit) & 1 ? '-' : ','}${2 + bit * 2}`)
  return { cron: `* * ${days.join(',')},29-31 * *`, timezone }
}

function processorTime (): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

async function timed (call: () => unknown): Promise<number> {
  const start = processorTime()
  await call()
  return processorTime() - start
}

const task = JSON.parse(process.argv[2]!) as SchedulesTask
let longest = 0
class WatchedClock extends ManualClock {
  override setTimeout (callback: () => void, delay: number): unknown {
    return super.setTimeout(() => {
      const start = processorTime()
      callback()
      longest = Math.max(longest, processorTime() - start)
    }, delay)
  }
}

const clock = new WatchedClock()
const app = Fastify()
await app.register(backgroundJobs, { clock, queues: { default: { capacity: task.schedules, history: 0 } } })
app.jobs.define('work', async () => {})
globalThis.gc!()
const before = process.memoryUsage().heapUsed
const define = await timed(() => {
  for (let n = 0; n < task.schedules; n++) app.jobs.schedule(`schedule-${n}`, ruleOf(task, n), 'work')
})
const ready = await timed(() => app.ready())
globalThis.gc!()
const bytes = (process.memoryUsage().heapUsed - before) / task.schedules
const tick = await timed(async () => {
  for (let n = 0; n < TICKS; n++) await clock.advance(MINUTE)
}) / TICKS
await app.close()
console.log(JSON.stringify({ bytes, define, ready, tick, longest } satisfies SchedulesMeasurement))
