import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { SQLITE_CONTENDERS, type SqliteContender, type SqliteContenderName, type Synchronous } from '../contenders/sqlite.ts'

export interface SqliteTask {
  kind: 'enqueue' | 'work' | 'latency'
  contender: SqliteContenderName
  synchronous: Synchronous
  jobs: number
}

/** `value`: microseconds a job; of a latency the median, and `p99` beside it. */
export interface SqliteMeasurement {
  value: number
  p99?: number
}

const CONCURRENCY = 100
const payload = { to: 'someone@example.com', subject: 'hello' }

async function enqueue (contender: SqliteContender, jobs: number) {
  let left = jobs
  async function send () {
    while (left-- > 0) {
      const stored = contender.enqueue(payload)
      if (stored !== undefined) await stored
    }
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: CONCURRENCY }, send))
  return { value: (performance.now() - start) * 1000 / jobs }
}

async function work (contender: SqliteContender, jobs: number) {
  await contender.fill(payload, jobs)
  const start = performance.now()
  contender.start()
  await contender.finished()
  return { value: (performance.now() - start) * 1000 / jobs }
}

async function latency (contender: SqliteContender, jobs: number) {
  contender.start()
  const latencies: number[] = []
  for (let n = 0; n < jobs; n++) {
    const start = performance.now()
    const began = new Promise<void>((resolve) => { onJob = resolve })
    contender.enqueue(payload)
    await began
    latencies.push((performance.now() - start) * 1000)
    if (n % 10 === 0) await setTimeout(1)
  }
  latencies.sort((a, b) => a - b)
  return { value: latencies[jobs >> 1]!, p99: latencies[Math.floor(jobs * 0.99)]! }
}

let onJob = () => {}

async function measure ({ contender, synchronous }: SqliteTask, run: (contender: SqliteContender) => Promise<SqliteMeasurement>) {
  const folder = await mkdtemp(join(tmpdir(), 'bench-sqlite-'))
  const opened = await SQLITE_CONTENDERS[contender]({ path: join(folder, 'jobs.db'), synchronous, concurrency: CONCURRENCY, handler: () => onJob() })
  const result = await run(opened)
  await opened.close()
  await rm(folder, { recursive: true })
  return result
}

const runs = { enqueue, work, latency }
const task = JSON.parse(process.argv[2]!) as SqliteTask
for (const jobs of [Math.ceil(task.jobs / 10), task.jobs]) {
  const result = await measure(task, (contender) => runs[task.kind](contender, jobs))
  globalThis.gc!()
  await setImmediate()
  // The first run warms up.
  if (jobs === task.jobs) console.log(JSON.stringify(result))
}
