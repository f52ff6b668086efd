import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import type { RedisMeasurement, RedisTask } from './children/redis.ts'
import { printTable, printTargets, type Target } from './report.ts'
import { median } from './rounds.ts'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, rounds: { type: 'string' }, url: { type: 'string' } } })
const url = values.url ?? process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'
const rounds = Number(values.rounds ?? (values.quick ? 3 : 7))
const jobs = values.quick ? 20_000 : 50_000
const latencyJobs = values.quick ? 200 : 500
const contenders = ['ours', 'bullmq'] as const
type Figures = Record<string, number[]>

const run = promisify(execFile)
const child = fileURLToPath(new URL('children/redis.ts', import.meta.url))

async function measure (task: RedisTask): Promise<RedisMeasurement> {
  const { stdout } = await run(process.execPath, ['--disable-warning=ExperimentalWarning', child, JSON.stringify(task)])
  return JSON.parse(stdout) as RedisMeasurement
}

const tasks: [string, Pick<RedisTask, 'kind' | 'concurrency' | 'jobs'>][] = [
  ['concurrency 1', { kind: 'throughput', concurrency: 1, jobs: jobs / 5 }],
  ['concurrency 10', { kind: 'throughput', concurrency: 10, jobs }],
  ['concurrency 100', { kind: 'throughput', concurrency: 100, jobs }],
  ['idle', { kind: 'latency', concurrency: 10, jobs: latencyJobs }]
]
const measured: Record<(typeof contenders)[number], Figures> = { ours: {}, bullmq: {} }
for (let round = 0; round < rounds; round++) {
  for (const [name, task] of tasks) {
    // Whoever comes second in one round comes first in the next.
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      for (const [figure, value] of Object.entries(await measure({ contender, url, ...task }))) (measured[contender][`${name}: ${figure}`] ??= []).push(value)
    }
  }
}

const rows = Object.keys(measured.ours).map((name) => {
  const [ours, bullmq] = contenders.map((contender) => median(measured[contender][name]!)) as [number, number]
  return { name, ours, bullmq, ratio: ours / bullmq }
})
console.log(`Node.js ${process.version}, ${rounds} rounds`)
printTable('Jobs a second, and milliseconds from enqueue to start', ['', 'ours', 'bullmq', 'ours / bullmq'], rows.map(({ name, ours, bullmq, ratio }) =>
  [name, ...[ours, bullmq].map((value) => value.toFixed(value < 100 ? 2 : 0)), ratio.toFixed(2)]))
const ratioOf = (name: string): number => rows.find((row) => row.name === name)!.ratio
printTargets([
  { name: '100 enqueues in parallel / add', value: median(tasks.slice(0, 3).map(([name]) => ratioOf(`${name}: enqueued`))), wanted: { min: 0.9 } },
  { name: 'processing, concurrency 10', value: ratioOf('concurrency 10: processed'), wanted: { min: 0.9 } },
  { name: 'processing, concurrency 100', value: ratioOf('concurrency 100: processed'), wanted: { min: 0.9 } },
  { name: 'idle latency', value: ratioOf('idle: p50'), wanted: { max: 1.2 } }
] satisfies Target[])
