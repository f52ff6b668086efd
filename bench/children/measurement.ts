import { memoryUsage } from 'node:process'
import { setImmediate } from 'node:timers/promises'
import { openContender, type Contender, type ContenderName } from '../contenders/contender.ts'
import { handlers } from '../handlers.ts'
import { BoundExceeded, Tally } from '../tally.ts'

export interface Task {
  kind: 'bounded' | 'backlog' | 'heap'
  contender: ContenderName
  handler: string
  concurrency: number
  /** 'bounded': jobs that may wait; otherwise the jobs that wait before the drain. */
  capacity: number
  /** Jobs in all. */
  jobs: number
  /** Milliseconds. */
  bound: number
}

/** `value`: microseconds or bytes a job, at least so much when `exceeded`. */
export interface Measurement {
  value: number
  exceeded: boolean
}

const WARM_UP_JOBS = 20_000
const WARM_UP_BACKLOG = 1000
const payload = { to: 'someone@example.com', subject: 'hello' }

async function produce (contender: Contender, tally: Tally, jobs: number, limit: number) {
  const before = tally.count
  const outstanding = (limit: number, enqueued: number) =>
    enqueued - tally.count < limit ? undefined : tally.reached(enqueued - limit + 1)
  const room = contender.room ?? outstanding
  for (let i = 0; i < jobs; i++) {
    const wait = room(limit, before + i)
    if (wait !== undefined) await wait
    const accepted = contender.enqueue(payload)
    if (accepted !== undefined) await accepted
  }
  return before + jobs
}

async function bounded (contender: Contender, tally: Tally, jobs: number, capacity: number) {
  await contender.resume()
  const start = performance.now()
  await tally.reached(await produce(contender, tally, jobs, capacity))
  const elapsed = performance.now() - start
  await setImmediate()
  await contender.pause()
  return elapsed
}

async function backlog (contender: Contender, tally: Tally, jobs: number, size: number) {
  let elapsed = 0
  for (let left = jobs; left > 0; left -= size) {
    const start = performance.now()
    const total = await produce(contender, tally, size, Infinity)
    await contender.resume()
    await tally.reached(total)
    elapsed += performance.now() - start
    await setImmediate()
    await contender.pause()
  }
  return elapsed
}

async function throughput (contender: Contender, tally: Tally, task: Task): Promise<Measurement> {
  const drain = task.kind === 'bounded' ? bounded : backlog
  await drain(contender, tally, WARM_UP_JOBS, Math.min(task.capacity, WARM_UP_BACKLOG))
  gc!()
  tally.limit(task.bound)
  try {
    const elapsed = await drain(contender, tally, task.jobs, task.capacity)
    return { value: elapsed * 1000 / task.jobs, exceeded: false }
  } catch (error) {
    if (!(error instanceof BoundExceeded)) throw error
    return { value: task.bound * 1000 / task.jobs, exceeded: true }
  }
}

async function heapUsed () {
  await setImmediate()
  gc!()
  const { heapUsed, external } = memoryUsage()
  return heapUsed + external
}

async function heap (contender: Contender, tally: Tally, task: Task): Promise<Measurement> {
  const before = await heapUsed()
  await produce(contender, tally, task.jobs, Infinity)
  return { value: (await heapUsed() - before) / task.jobs, exceeded: false }
}

const task = JSON.parse(process.argv[2]!) as Task
const tally = new Tally()
const contender = await openContender(task.contender, {
  concurrency: task.concurrency, capacity: task.capacity, handler: handlers[task.handler]!(tally)
})
const measurement = await (task.kind === 'heap' ? heap : throughput)(contender, tally, task)
if (!measurement.exceeded) await contender.close()
process.stdout.write(JSON.stringify(measurement))
process.exit()
