import assert from 'node:assert/strict'
import { INVALID_PAYLOAD, numbers } from './assertions.ts'
import { durable, type Case } from './case.ts'
import { ended, hasState, inspectable, started, type Two } from './process/watching.ts'
import { inTime, until } from './until.ts'

export const processes: readonly Case[] = [
  {
    name: 'what one process enqueues, another one runs',
    appliesTo: durable,
    async run (lab) {
      const [producer, worker] = await Promise.all([lab.process({ works: false }), lab.process()])
      const { id } = await producer.enqueue('record', { from: 'there' })
      const [line] = await ended(lab, 1)
      assert.deepEqual([line!.id, line!.pid, line!.attempt, line!.payload], [id, worker.pid, 1, { from: 'there' }])
    }
  },
  {
    name: 'two processes share the jobs, and each job runs once',
    appliesTo: durable,
    async run (lab) {
      const workers = await lab.processes(2) as Two
      const enqueued = await Promise.all(workers.map((worker) => worker.enqueueEach(numbers(60).map((payload) => ({ job: 'record', payload })))))
      const ids = enqueued.flat().map(({ id }) => id)
      await ended(lab, 120)
      await until('nothing is left', async () => {
        const { queueDepth, inFlight } = await workers[0]!.status()
        return queueDepth + inFlight === 0
      }, { progress: () => lab.ledger.length })
      assert.deepEqual(lab.ledger.lines('start').map(({ id }) => id).sort(), ids.sort())
    }
  },
  {
    name: 'a process ends by itself when its app has closed',
    appliesTo: durable,
    async run (lab) {
      const worker = await lab.process()
      await worker.enqueue('record')
      await ended(lab, 1)
      await worker.close()
      await worker.leave()
      assert.equal(await worker.exit(), 0, worker.output)
    }
  },
  {
    name: '200 concurrent enqueues of one key from two processes are one job, until it has ended',
    appliesTo: ({ capabilities }) => capabilities.durable && capabilities.unique,
    async run (lab) {
      const processes = await lab.processes(2) as Two
      const jobs = numbers(100).map((payload) => ({ job: 'hold', payload, uniqueKey: 'key', uniqueFor: 300 } as const))
      const answers = (await Promise.all(processes.map((process) => process.enqueueEach(jobs)))).flat()
      assert.equal(answers.filter(({ status }) => status === 'enqueued').length, 1)
      assert.equal(answers.filter(({ status }) => status === 'duplicate').length, 199)
      assert.equal(new Set(answers.map(({ id }) => id)).size, 1)
      await started(lab, 1)
      for (const process of processes) await process.release()
      const [end] = await ended(lab, 1)
      await until('the key is free', async () => (await processes[1].enqueue('hold', 'next', { uniqueKey: 'key' })).status === 'enqueued')
      assert.ok(Date.now() - end!.at >= 300, 'not before uniqueFor had passed')
      await ended(lab, 2)
      assert.deepEqual(lab.ledger.lines('start').map(({ payload }) => payload === 'next'), [false, true])
    }
  },
  {
    name: 'concurrent enqueues of one id from two processes are one job',
    appliesTo: durable,
    async run (lab) {
      const processes = await lab.processes(2) as Two
      const jobs = numbers(50).map((payload) => ({ job: 'record', payload, id: `id-${payload}` } as const))
      const answers = await Promise.all(processes.map((process) => process.enqueueEach(jobs)))
      for (const index of jobs.keys()) {
        assert.deepEqual(answers.map((jobs) => jobs[index]!.id), [jobs[index]!.id, jobs[index]!.id])
        assert.deepEqual(answers.map((jobs) => jobs[index]!.status).sort(), ['duplicate', 'enqueued'])
      }
      await ended(lab, 50)
      await until('nothing is left', async () => (await processes[0].status()).inFlight === 0)
      assert.equal(lab.ledger.lines('start').length, 50)
    }
  },
  {
    name: 'an enqueue that waits for room is let in when another process makes some',
    appliesTo: ({ capabilities: { durable, fullModes } }) => durable && fullModes?.includes('wait') !== false,
    async run (lab) {
      const queue = { capacity: 2, concurrency: 1 }
      const [producer, worker] = await lab.processes(2, { works: false, queue }) as Two
      const enqueued = producer.enqueueEach(numbers(6).map((payload) => ({ job: 'record', payload })))
      await until('the queue is full', async () => (await worker.status()).queueDepth === 2)
      await worker.resume()
      await inTime('all are enqueued', enqueued, { progress: () => lab.ledger.length })
      await ended(lab, 6)
      assert.deepEqual(lab.ledger.lines('start').map(({ payload }) => payload), numbers(6))
    }
  },
  {
    name: 'two processes together fill a queue to its capacity, not beyond',
    appliesTo: ({ capabilities: { durable, fullModes } }) => durable && fullModes?.includes('reject') !== false,
    async run (lab) {
      const settings = { works: false, queue: { capacity: 10, fullMode: 'reject' } } as const
      const processes = await lab.processes(2, settings) as Two
      const taken = await Promise.all(processes.flatMap((process) => numbers(20).map((payload) => process.enqueue('record', payload).then(() => true, () => false))))
      assert.equal(taken.filter(Boolean).length, 10)
      assert.equal((await processes[0].status()).queueDepth, 10)
    }
  },
  {
    name: 'a job that waits can be looked at and cancelled from another process',
    appliesTo: inspectable,
    async run (lab) {
      const [one, other] = await lab.processes(2, { works: false }) as Two
      const { id } = await one.enqueue('record', 'cancelled')
      await one.enqueue('record', 'stays')
      assert.equal((await other.get(id))!.state, 'waiting')
      assert.equal(await other.cancel(id), true)
      assert.equal((await one.get(id))!.state, 'cancelled')
      await one.resume()
      const [line] = await ended(lab, 1)
      assert.equal(line!.payload, 'stays')
    }
  },
  {
    name: 'a dead letter that one process retries is run by another one',
    appliesTo: inspectable,
    async run (lab) {
      const [watcher, worker] = await Promise.all([lab.process({ works: false }), lab.process()])
      const { id } = await watcher.enqueue('fail', { times: 1 }, { attempts: 1 })
      await hasState(watcher, id, 'dead')
      assert.equal(await watcher.retry(id), true)
      const [, line] = await started(lab, 2)
      assert.deepEqual([line!.id, line!.pid, line!.attempt], [id, worker.pid, 1])
    }
  },
  {
    name: 'idle() waits for the jobs that another process runs',
    appliesTo: durable,
    async run (lab) {
      const [watcher, worker] = await Promise.all([lab.process({ works: false }), lab.process()])
      await watcher.enqueue('hold')
      await started(lab, 1)
      let idle = false
      const waits = watcher.idle().then(() => { idle = true })
      await watcher.status()
      assert.equal(idle, false)
      await worker.release()
      await inTime('it was idle', waits)
      assert.equal(lab.ledger.lines('end').length, 1)
    }
  },
  {
    name: 'a payload that is refused hurts neither the process nor the queue',
    appliesTo: durable,
    async run (lab) {
      const worker = await lab.process()
      await assert.rejects(worker.enqueue('record', 'a\0b'), { code: INVALID_PAYLOAD })
      await worker.enqueue('record', 'good')
      const [line] = await ended(lab, 1)
      assert.equal(line!.payload, 'good')
    }
  }
]
