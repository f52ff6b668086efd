import assert from 'node:assert/strict'
import type { Case } from '../conformance/case.ts'
import type { Lab } from '../conformance/lab.ts'
import type { JobsProcess } from '../conformance/process/jobs-process.ts'
import type { LedgerLine } from '../conformance/process/ledger.ts'
import { until } from '../conformance/until.ts'

/** Lines of that job, once there are so many. */
function linesOf (lab: Lab, event: LedgerLine['event'], id: string, count: number): Promise<LedgerLine[]> {
  return until(`job ${id} has ${count} lines '${event}'`, () => {
    const lines = lab.ledger.lines(event).filter((line) => line.id === id)
    return lines.length >= count && lines
  }, { progress: () => lab.ledger.length })
}

async function hasSucceeded (process: JobsProcess, id: string): Promise<void> {
  await until(`job ${id} has succeeded`, async () => (await process.get(id))?.state === 'succeeded')
}

/** Processes that die at the worst moments; each case is one that engines got wrong. */
export const deaths: readonly Case[] = [
  {
    name: 'a job whose process is killed twice in a row still has all of its five attempts',
    async run (lab) {
      const watcher = await lab.process({ works: false, attempts: 5 })
      const { id } = await watcher.enqueue('hold')
      for (const count of [1, 2]) {
        const victim = await lab.process({ attempts: 5 })
        await linesOf(lab, 'start', id, count)
        await victim.kill()
      }
      await watcher.resume()
      const starts = await linesOf(lab, 'start', id, 3)
      assert.deepEqual(starts.map(({ attempt }) => attempt), [1, 1, 1])
      assert.equal((await watcher.get(id))!.attempts, 5)
      await watcher.release()
      await hasSucceeded(watcher, id)
    }
  },
  {
    name: 'a job that fails, is killed and fails again has used up two attempts',
    async run (lab) {
      const watcher = await lab.process({ works: false, attempts: 3 })
      const { id } = await watcher.enqueue('fail', { times: 1 })
      const first = await lab.process({ attempts: 3, backoff: 5000 })
      await until('it waits for its retry', async () => (await watcher.get(id))?.state === 'delayed')
      await first.kill()
      await watcher.resume()
      await hasSucceeded(watcher, id)
      assert.deepEqual(lab.ledger.lines('start').map(({ attempt }) => attempt), [1, 2])
    }
  },
  {
    name: 'a process killed after the side effect and before the acknowledgement: the job comes again, with the same id and attempt',
    async run (lab) {
      const watcher = await lab.process({ works: false })
      const { id } = await watcher.enqueue('die', { times: 1 })
      const victim = await lab.process()
      assert.equal(await victim.exit(), 'SIGKILL')
      await watcher.resume()
      const ends = await linesOf(lab, 'end', id, 2)
      assert.deepEqual(ends.map(({ pid, attempt }) => [pid, attempt]), [[victim.pid, 1], [watcher.pid, 1]])
      await hasSucceeded(watcher, id)
      assert.equal(lab.ledger.lines('end').length, 2)
    }
  },
  {
    name: 'what a process that stood still past its lease completes is not accepted, even when its handler pays no heed to the signal',
    async run (lab) {
      const stopped = await lab.process()
      const { id } = await stopped.enqueue('insist')
      await linesOf(lab, 'start', id, 1)
      stopped.stop()
      const worker = await lab.process()
      await linesOf(lab, 'start', id, 2)
      stopped.continue()
      await stopped.release()
      await linesOf(lab, 'end', id, 1)
      // Whatever it stores next comes after what it had to say about the job.
      const after = await stopped.enqueue('record')
      await linesOf(lab, 'end', after.id, 1)
      assert.equal((await worker.get(id))!.state, 'active')
      await worker.release()
      await hasSucceeded(worker, id)
      assert.deepEqual((await linesOf(lab, 'end', id, 2)).map(({ pid }) => pid), [stopped.pid, worker.pid])
      assert.equal((await worker.status()).queues.default!.deadLetters, 0)
    }
  }
]
