import assert from 'node:assert/strict'
import { durable, type Case } from './case.ts'
import { ended, hasState, inspectable, started } from './process/watching.ts'
import { until, untilThereAre } from './until.ts'

export const stalls: readonly Case[] = [
  {
    name: 'the job of a killed process is run by another one, without having lost an attempt',
    appliesTo: durable,
    async run (lab) {
      const [killed, worker] = await Promise.all([lab.process({ attempts: 1 }), lab.process({ attempts: 1, works: false })])
      const { id } = await killed.enqueue('hold')
      await started(lab, 1)
      await killed.kill()
      await worker.resume()
      const [, line] = await started(lab, 2)
      assert.deepEqual([line!.id, line!.pid, line!.attempt], [id, worker.pid, 1])
      await worker.release()
      await ended(lab, 1)
      await until('it is over', async () => (await worker.status()).inFlight === 0)
      assert.equal((await worker.status()).queues.default!.deadLetters, 0)
    }
  },
  {
    name: 'the first delivery after a loss tells of it, and no later one',
    appliesTo: durable,
    async run (lab) {
      const shutdown = { mode: 'stop', timeout: 1000 } as const
      const [killed, second, third] = await Promise.all([lab.process(), lab.process({ works: false, shutdown }), lab.process({ works: false })])
      await killed.enqueue('hold')
      await started(lab, 1)
      await killed.kill()
      await second.resume()
      await started(lab, 2)
      assert.equal(await second.stalled(), 1)
      // What is cut off goes back.
      await second.close()
      await third.resume()
      await started(lab, 3)
      assert.equal(await third.stalled(), 0)
      await third.release()
      await ended(lab, 1)
    }
  },
  {
    name: 'a job that kills its process more often than maxStalls allows is a dead letter',
    appliesTo: inspectable,
    async run (lab) {
      const watcher = await lab.process({ works: false, maxStalls: 1 })
      const { id } = await watcher.enqueue('hold')
      for (const count of [1, 2]) {
        const victim = await lab.process({ maxStalls: 1 })
        await started(lab, count)
        await victim.kill()
      }
      await watcher.resume()
      await hasState(watcher, id, 'dead')
      const [letter] = await watcher.deadLetters()
      assert.deepEqual([letter!.id, letter!.attempt, letter!.error!.code], [id, 1, 'FST_JOBS_STALLED'])
      assert.equal(lab.ledger.lines('start').length, 2)
      assert.equal(await watcher.retry(id), true)
      await started(lab, 3)
      await watcher.release()
      await hasState(watcher, id, 'succeeded')
    }
  },
  {
    name: 'the job of a process that stood still past its lease is run by another one; continued, it is told to stop, and changes nothing',
    appliesTo: inspectable,
    async run (lab) {
      const [stopped, worker] = await Promise.all([lab.process({ attempts: 1 }), lab.process({ attempts: 1, works: false })])
      const { id } = await stopped.enqueue('hold')
      await started(lab, 1)
      stopped.stop()
      await worker.resume()
      const [, second] = await started(lab, 2)
      assert.deepEqual([second!.id, second!.pid, second!.attempt], [id, worker.pid, 1])
      stopped.continue()
      const [aborted] = await until('the first one was told to stop', () => {
        const lines = lab.ledger.lines('aborted')
        return lines.length > 0 && lines
      })
      assert.equal(aborted!.pid, stopped.pid)
      assert.equal((await worker.get(id))!.state, 'active')
      await worker.release()
      await hasState(worker, id, 'succeeded')
      assert.deepEqual(lab.ledger.lines('end').map(({ pid }) => pid), [worker.pid])
      assert.equal(lab.ledger.lines('start').length, 2)
    }
  },
  {
    name: 'what a process that stood still past its lease comes to before it can notice is not stored',
    appliesTo: inspectable,
    async run (lab) {
      const [frozen, worker] = await Promise.all([lab.process(), lab.process({ works: false })])
      const { id } = await frozen.enqueue('freeze')
      await started(lab, 1)
      await worker.resume()
      await started(lab, 2)
      frozen.continue()
      await ended(lab, 1)
      // Whatever it stores next comes after what it had to say about the job.
      await frozen.enqueue('record')
      await ended(lab, 2)
      assert.equal((await worker.get(id))!.state, 'active')
      await worker.release()
      await hasState(worker, id, 'succeeded')
      assert.deepEqual(lab.ledger.lines('end').filter((line) => line.id === id).map(({ pid }) => pid), [frozen.pid, worker.pid])
    }
  },
  {
    name: 'whatever an enqueue acknowledged before its process was killed is run',
    appliesTo: durable,
    async run (lab) {
      const producer = await lab.process({ works: false })
      producer.enqueueForEver({ job: 'record' }).catch(() => {})
      await untilThereAre(50, 'enqueues were acknowledged', () => lab.ledger.lines('acknowledged').length)
      await producer.kill()
      const acknowledged = lab.ledger.lines('acknowledged').map(({ id }) => id)
      await lab.process()
      await until('all have run', () => {
        const ran = new Set(lab.ledger.lines('end').map(({ id }) => id))
        return acknowledged.every((id) => ran.has(id))
      }, { progress: () => lab.ledger.length })
    }
  },
  {
    name: 'a retry that one process left is made by another one, in its time',
    appliesTo: durable,
    async run (lab) {
      const first = await lab.process({ backoff: 500 })
      await first.enqueue('fail', { times: 1 })
      const [failed] = await started(lab, 1)
      await until('it waits for its retry', async () => (await first.status()).queues.default!.delayed === 1)
      await first.kill()
      const second = await lab.process()
      const [, retried] = await started(lab, 2)
      assert.deepEqual([retried!.pid, retried!.attempt], [second.pid, 2])
      assert.ok(retried!.at - failed!.at >= 500, `after ${retried!.at - failed!.at} ms, not before 500`)
      await ended(lab, 1)
    }
  }
]
