import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { Queue, Worker } from 'bullmq'
import fastify from 'fastify'
import { Redis } from 'ioredis'
import { redis } from '../../lib/backends/redis/index.ts'
import backgroundJobs from '../../lib/index.ts'

export interface RedisTask {
  contender: 'ours' | 'bullmq'
  url: string
  /** 'latency': the jobs come one after the other, 10 ms apart. */
  kind: 'throughput' | 'latency'
  concurrency: number
  jobs: number
}

/** Jobs a second; milliseconds from the enqueue's call to the handler's. */
export type RedisMeasurement = { enqueued: number, processed: number } | { p50: number, p99: number }

interface Contender {
  enqueue (payload: unknown): Promise<unknown>
  /** Begins to take jobs. */
  start (): Promise<void>
  close (): Promise<void>
}

const PARALLEL = 100
const HISTORY = 1000
const RETENTION = 7 * 86_400
const WARM_UP_JOBS = 3000
const payload = { to: 'someone@example.com', subject: 'hello' }

async function ours ({ url, concurrency, jobs }: RedisTask, prefix: string, handler: () => Promise<void>): Promise<Contender> {
  const app = fastify()
  await app.register(backgroundJobs, { backend: redis({ url, prefix }), queues: { default: { capacity: 10 * jobs + 100_000, concurrency, history: HISTORY } } })
  app.jobs.define('noop', handler)
  app.jobs.pause()
  await app.ready()
  return {
    enqueue: (payload) => app.jobs.enqueue('noop', payload),
    start: async () => app.jobs.resume(),
    close: () => app.close()
  }
}

async function bullmq ({ url, concurrency }: RedisTask, prefix: string, handler: () => Promise<void>): Promise<Contender> {
  const connect = () => new Redis(url, { maxRetriesPerRequest: null })
  const clients = [connect(), connect()]
  const queue = new Queue('default', { connection: clients[0]!, prefix })
  const worker = new Worker('default', handler, {
    connection: clients[1]!, prefix, concurrency, autorun: false, removeOnComplete: { count: HISTORY, age: RETENTION }
  })
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
  return {
    enqueue: (payload) => queue.add('noop', payload),
    start: async () => { worker.run() },
    async close () {
      await Promise.all([worker.close(), queue.close()])
      for (const client of clients) client.disconnect()
    }
  }
}

let count = 0
let goal = Infinity
let onGoal: () => void = () => {}
let startedAt = 0

async function handler (): Promise<void> {
  startedAt = performance.now()
  if (++count === goal) onGoal()
}

function reached (jobs: number): Promise<void> {
  return new Promise((resolve) => {
    goal = jobs
    onGoal = resolve
    if (count >= jobs) resolve()
  })
}

async function enqueueAll (contender: Contender, jobs: number): Promise<void> {
  let left = jobs
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    while (left-- > 0) await contender.enqueue(payload)
  }))
}

async function throughput (contender: Contender, jobs: number): Promise<RedisMeasurement> {
  await enqueueAll(contender, WARM_UP_JOBS)
  let start = performance.now()
  await enqueueAll(contender, jobs)
  const enqueueing = performance.now() - start
  const warm = reached(WARM_UP_JOBS)
  await contender.start()
  await warm
  start = performance.now()
  await reached(WARM_UP_JOBS + jobs)
  const processing = performance.now() - start
  return { enqueued: jobs * 1000 / enqueueing, processed: jobs * 1000 / processing }
}

async function latency (contender: Contender, jobs: number): Promise<RedisMeasurement> {
  await contender.start()
  const latencies: number[] = []
  for (let job = 0; job < jobs; job++) {
    await setTimeout(10)
    const start = performance.now()
    const done = reached(count + 1)
    await contender.enqueue(payload)
    await done
    if (job >= jobs / 10) latencies.push(startedAt - start)
  }
  latencies.sort((a, b) => a - b)
  return { p50: latencies[Math.floor(latencies.length * 0.5)]!, p99: latencies[Math.floor(latencies.length * 0.99)]! }
}

async function removeKeys (url: string, prefix: string): Promise<void> {
  const client = new Redis(url)
  for await (const keys of client.scanStream({ match: `${prefix}:*`, count: 1000 }) as AsyncIterable<string[]>) {
    if (keys.length > 0) await client.unlink(...keys)
  }
  client.disconnect()
}

const task = JSON.parse(process.argv[2]!) as RedisTask
const prefix = `bench_${randomBytes(6).toString('hex')}`
const contender = await (task.contender === 'ours' ? ours : bullmq)(task, prefix, handler)
const measurement = await (task.kind === 'latency' ? latency : throughput)(contender, task.jobs)
await contender.close()
await removeKeys(task.url, prefix)
process.stdout.write(JSON.stringify(measurement))
process.exit()
