import assert from 'node:assert/strict'
import { NOT_SUPPORTED, numbers } from './assertions.ts'
import type { Case } from './case.ts'
import type { Lab } from './lab.ts'
import type { JobsProcess } from './process/jobs-process.ts'
import { until } from './until.ts'

const TICKS = 100
/** Milliseconds after the last tick: leases of those that did not end have ended long since. */
const TOO_LATE = 10_000

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
      // A process that is busy for longer than a tick leaves ticks out, as it should: all of them may be, on a busy machine.
      for (const every of [100, 200, 400]) {
        if (await ranEachOnce(lab, every)) return
      }
      assert.fail('every process was too late for some tick, however slow they came: this machine is too busy')
    }
  }
]

/** False where it proves nothing: ticks were left out, and no process was there for all of them in time. */
async function ranEachOnce (lab: Lab, every: number): Promise<boolean> {
  const processes = await lab.idleProcesses(5)
  const [killed, stopped, ...others] = processes as [JobsProcess, JobsProcess, ...JobsProcess[]]
  const startAt = Date.now() + 2000
  const due = numbers(TICKS).map((tick) => startAt + (tick - 1) * every)
  await Promise.all(processes.map((process) => lab.startApp(process, {
    schedule: { rule: { every }, startAt, endAt: due.at(-1)!, overlap: 'allow' }
  })))
  const ticks = (): Set<number> => new Set(lab.ledger.lines('end').map(({ tick }) => tick!).filter((tick) => tick >= startAt))

  await until('a fifth of the ticks is over', () => Date.now() > due[TICKS / 5]!, 60_000)
  await killed.kill()
  stopped.stop()
  await until('three fifths of the ticks are over', () => Date.now() > due[TICKS * 3 / 5]!, 60_000)
  stopped.continue()
  await until('all ticks have run, or should have', () => ticks().size >= TICKS || Date.now() > due.at(-1)! + TOO_LATE, 90_000)
  await until('nothing is left', async () => {
    const statuses = await Promise.all([stopped, ...others].map((process) => process.status()))
    return statuses.every(({ queueDepth, inFlight, queues }) => queueDepth + inFlight + queues.default!.delayed === 0)
  })

  const ran = ticks()
  const starts = lab.ledger.lines('start').filter(({ tick }) => tick! >= startAt)
  assert.equal(new Set(starts.map(({ id }) => id)).size, ran.size, 'a job a tick')
  const twice = starts.filter(({ id }, index) => starts.findIndex((line) => line.id === id) !== index)
  for (const { id } of twice) {
    const pids = starts.filter((line) => line.id === id).map(({ pid }) => pid)
    assert.ok(pids.includes(killed.pid) || pids.includes(stopped.pid), `${id} ran twice, in ${pids.join(' and ')}`)
  }
  const late = await Promise.all(others.map((process) => process.lateTicks()))
  if (ran.size < TICKS && !late.includes(0)) {
    await Promise.all([stopped, ...others].map((process) => process.kill()))
    return false
  }
  assert.deepEqual(due.filter((tick) => !ran.has(tick)), [])
  assert.equal(ran.size, TICKS)
  return true
}
