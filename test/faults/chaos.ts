import assert from 'node:assert/strict'
import type { Lab } from '../conformance/lab.ts'
import type { JobsProcess } from '../conformance/process/jobs-process.ts'
import { until } from '../conformance/until.ts'
import { setTimeout } from 'node:timers/promises'
import { randomFrom } from './random.ts'

const FAULTS = 6
/** Milliseconds. */
const MOST_BETWEEN_FAULTS = 400
const MOST_STANDSTILL = 2500
/** More than the faults of a round can cause: a job must not die of them. */
const MAX_STALLS = 1000
const LANES = 4
/** A backlog that workers keep up with: what is left after the faults says nothing more when there is more of it. */
const CAPACITY = 200
/** Milliseconds of a job: whenever a process is killed, it is in the middle of some. */
const TAKES = 20

/**
 * Processes that enqueue and work are killed, or stopped and continued, at random moments; new ones come. In the end, every job
 * whose enqueue was acknowledged has been run to its end, by an attempt that no killed process had used up, and nothing is left.
 */
export async function chaos (lab: Lab, seed: number): Promise<void> {
  const random = randomFrom(seed)
  const join = async (): Promise<JobsProcess> => {
    const process = await lab.process({ maxStalls: MAX_STALLS, takes: TAKES, queue: { concurrency: 3, history: 10_000, capacity: CAPACITY } })
    for (let lane = 0; lane < LANES; lane++) {
      const job = lane === 0 ? { job: 'fail', payload: { times: 1 } } as const : { job: 'record' } as const
      process.enqueueForEver(job).catch(() => {})
    }
    return process
  }
  const processes = await Promise.all([join(), join(), join()])
  for (let fault = 0; fault < FAULTS; fault++) {
    await setTimeout(random() * MOST_BETWEEN_FAULTS)
    const index = Math.floor(random() * processes.length)
    const victim = processes[index]!
    if (random() < 0.6) {
      await victim.kill()
      processes[index] = await join()
    } else {
      victim.stop()
      await setTimeout(random() * MOST_STANDSTILL)
      victim.continue()
    }
  }
  await Promise.all(processes.map((process) => process.kill()))

  const acknowledged = lab.ledger.lines('acknowledged').map(({ id }) => id)
  assert.ok(acknowledged.length > 0, 'something was enqueued')
  const heir = await lab.process({ maxStalls: MAX_STALLS, queue: { concurrency: 10, history: 10_000, capacity: CAPACITY } })
  const missing = (): string[] => {
    const ended = new Set(lab.ledger.lines('end').map(({ id }) => id))
    return acknowledged.filter((id) => !ended.has(id))
  }
  await until(`all of ${acknowledged.length} acknowledged jobs have been run to their end, seed ${seed}`, async () => {
    if (missing().length > 0) return false
    const { queues: { default: queue } } = await heir.status()
    return queue!.queueDepth + queue!.delayed + queue!.inFlight === 0
  }, { progress: () => lab.ledger.length })
  assert.deepEqual(await heir.deadLetters(), [], `no dead letters, seed ${seed}`)
  // 'fail' fails once; nothing else may have used up an attempt.
  assert.deepEqual(lab.ledger.lines('start').filter(({ attempt, payload }) => attempt! > (payload === null || payload === undefined ? 1 : 2)), [], `seed ${seed}`)
}
