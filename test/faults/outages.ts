import assert from 'node:assert/strict'
import type { Lab } from '../conformance/lab.ts'
import type { JobsProcess } from '../conformance/process/jobs-process.ts'
import { until } from '../conformance/until.ts'

const LANES = 4
// The capacity keeps the backlog at what workers keep up with.
const SETTINGS = { maxStalls: 1000, takes: 20, queue: { concurrency: 3, history: 100_000, capacity: 200 } }

/** Enqueues until the process ends; what fails while the server is away is enqueued anew. */
async function enqueueOn (process: JobsProcess): Promise<void> {
  for (;;) {
    const error = await process.enqueueForEver({ job: 'record' }).then(() => undefined, (error: Error & { code?: string }) => error)
    if (error?.message.startsWith('the process has ended')) return
    assert.equal(error?.code, 'FST_JOBS_BACKEND_UNAVAILABLE', error?.message)
  }
}

/**
 * Two processes enqueue and work while the server has its outages. After each they go on by themselves; in the end, every job
 * whose enqueue was acknowledged has been run.
 */
export async function surviveOutages (lab: Lab, outages: readonly (() => Promise<void>)[]): Promise<void> {
  const processes = await Promise.all([lab.process(SETTINGS), lab.process(SETTINGS)])
  const lanes = Promise.all(processes.flatMap((process) => Array.from({ length: LANES }, () => enqueueOn(process))))
  lanes.catch(() => {})
  await haveWorkedSince(lab, processes, 0)
  for (const outage of outages) {
    await outage()
    await haveWorkedSince(lab, processes, Date.now())
  }
  await Promise.all(processes.map((process) => process.kill()))
  await lanes
  const acknowledged = lab.ledger.lines('acknowledged').map(({ id }) => id)
  await lab.process(SETTINGS)
  await until(`all of ${acknowledged.length} acknowledged jobs have been run`, () => {
    const ended = new Set(lab.ledger.lines('end').map(({ id }) => id))
    return acknowledged.every((id) => ended.has(id))
  }, { progress: () => lab.ledger.length })
  assert.deepEqual(lab.ledger.lines('start').filter(({ attempt }) => attempt !== 1), [])
}

async function haveWorkedSince (lab: Lab, processes: readonly JobsProcess[], since: number): Promise<void> {
  await until('every process enqueues and works', () => {
    const lines = lab.ledger.lines().filter(({ at }) => at > since)
    return processes.every(({ pid }) => ['acknowledged', 'end'].every((event) => lines.some((line) => line.pid === pid && line.event === event)))
  })
}
