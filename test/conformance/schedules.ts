import assert from 'node:assert/strict'
import { NOT_SUPPORTED, numbers } from './assertions.ts'
import type { Case } from './case.ts'
import type { JobsProcess } from './process/jobs-process.ts'
import { until } from './until.ts'

const TICKS = 100
const EVERY = 100

export const schedules: readonly Case[] = [
  {
    name: 'a schedule enqueues one job a tick, or is refused where there are no unique keys',
    async run (lab) {
      const app = await lab.app()
      const ticks: number[] = []
      app.jobs.define('work', async (_payload, { job: { schedule } }) => { ticks.push(schedule!.at) })
      const register = (): void => app.jobs.schedule('often', { every: 50 }, 'work', { overlap: 'allow' })
      if (!lab.capabilities.unique) {
        assert.throws(register, { code: NOT_SUPPORTED })
        return
      }
      register()
      await app.ready()
      await until('some ticks have run', () => ticks.length >= 5)
      assert.equal(new Set(ticks).size, ticks.length)
      assert.deepEqual(ticks.filter((tick) => (tick - ticks[0]!) % 50 !== 0), [])
      assert.deepEqual(ticks.filter((tick) => tick > Date.now()), [])
    }
  },
  {
    name: "overlap 'skip' leaves ticks out while a run has not finished",
    async run (lab) {
      const app = await lab.app()
      const held = lab.heldJobs()
      app.jobs.define('work', async (_payload, { job: { schedule } }) => held.handler(schedule!.at))
      const register = (): void => app.jobs.schedule('often', { every: 50 }, 'work', { startAt: Date.now() + 50 })
      if (!lab.capabilities.unique || !lab.capabilities.inspect) {
        assert.throws(register, { code: NOT_SUPPORTED })
        return
      }
      register()
      await app.ready()
      await held.haveBegun(1)
      const first = held.begun[0] as number
      await until('some ticks have passed', () => Date.now() > first + 300)
      assert.deepEqual(held.begun, [first])
      held.end(first)
      await held.haveBegun(2)
      assert.ok(held.begun[1] as number > first + 250)
      assert.equal(held.most, 1)
    }
  },
  {
    name: 'five processes run each of 100 ticks, as one job each, though one is killed and one is stopped and continued',
    appliesTo: ({ capabilities }) => capabilities.durable && capabilities.unique,
    async run (lab) {
      const processes = await lab.idleProcesses(5)
      const [killed, stopped] = processes as [JobsProcess, JobsProcess]
      const startAt = Date.now() + 2000
      const schedule = { rule: { every: EVERY }, startAt, endAt: startAt + (TICKS - 1) * EVERY, overlap: 'allow' } as const
      await Promise.all(processes.map((process) => lab.startApp(process, { schedule })))

      const ticks = (): Set<number> => new Set(lab.ledger.lines('end').map(({ tick }) => tick!))
      await until('a fifth of the ticks has run', () => ticks().size >= TICKS / 5)
      await killed.kill()
      stopped.stop()
      await until('three fifths of the ticks have run', () => ticks().size >= TICKS * 3 / 5)
      stopped.continue()
      await until('all ticks have run', () => ticks().size >= TICKS, 40_000)
      await until('nothing is left', async () => {
        const statuses = await Promise.all(processes.slice(1).map((process) => process.status()))
        return statuses.every(({ queueDepth, inFlight, queues }) => queueDepth + inFlight + queues.default!.delayed === 0)
      })

      const lines = lab.ledger.lines('start')
      assert.deepEqual([...ticks()].sort(), numbers(TICKS).map((tick) => startAt + (tick - 1) * EVERY).sort())
      assert.equal(new Set(lines.map(({ id }) => id)).size, TICKS, 'jobs')
      const twice = lines.filter(({ id }, index) => lines.findIndex((line) => line.id === id) !== index)
      for (const { id } of twice) {
        const pids = lines.filter((line) => line.id === id).map(({ pid }) => pid)
        assert.ok(pids.includes(killed.pid) || pids.includes(stopped.pid), `${id} ran twice, in ${pids.join(' and ')}`)
      }
    }
  }
]
