import assert from 'node:assert/strict'
import { NOT_SUPPORTED, numbers } from './assertions.ts'
import type { Case } from './case.ts'
import type { Lab } from './lab.ts'
import type { JobsProcess } from './process/jobs-process.ts'
import { until } from './until.ts'

const TICKS = 100
/** In as many ticks' time, the processes have started. */
const LEAD = 10
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
    name: 'deployments of a schedule with immediate run its latest tick once, though its job and its unique key are gone',
    appliesTo: ({ capabilities }) => capabilities.durable && capabilities.unique && capabilities.inspect,
    async run (lab) {
      let runs = 0
      for (let deployment = 1; deployment <= 3; deployment++) {
        const app = await lab.app()
        app.jobs.define('work', { attempts: 1 }, async () => {
          runs++
          throw new Error('always')
        })
        app.jobs.schedule('monthly', { cron: '0 0 1 * *' }, 'work', { immediate: true })
        await app.ready()
        const { lastJobId } = await until('the tick is seen to', () => app.jobs.schedules.list().find(({ lastRun }) => lastRun !== undefined))
        await app.jobs.idle()
        // Removed, it gives back both its id and its key, a week before their time.
        assert.equal(await app.jobs.deadLetters.remove(lastJobId!), deployment === 1)
        await app.close()
      }
      assert.equal(runs, 1)
    }
  },
  {
    name: 'two services run schedules of the same name, with other jobs or in other queues',
    appliesTo: ({ capabilities }) => capabilities.durable && capabilities.unique,
    async run (lab) {
      const ran: string[] = []
      // The jobs that a service has, by their queues; the schedule enqueues the first one.
      for (const jobs of [{ report: 'default', clean: 'default' }, { clean: 'default', report: 'default' }, { report: 'other', clean: 'other' }]) {
        const app = await lab.app({ queues: { other: {} } })
        for (const [name, queue] of Object.entries(jobs)) {
          app.jobs.define(name, { queue }, async (_payload, { job }) => { ran.push(`${job.name} in ${job.queue}`) })
        }
        app.jobs.schedule('hourly', { every: 3_600_000 }, Object.keys(jobs)[0]!, { immediate: true, overlap: 'allow' })
        await app.ready()
        await until('its tick has run', () => ran.includes(`${Object.keys(jobs)[0]} in ${Object.values(jobs)[0]}`))
        await app.close()
      }
    }
  },
  {
    name: 'five processes run each of 100 ticks, as one job each, though one is killed and one is stopped and continued',
    appliesTo: ({ capabilities }) => capabilities.durable && capabilities.unique,
    async run (lab) {
      // A process that is busy for longer than a tick leaves ticks out, as it should: all of them may be, on a busy machine.
      for (const every of [100, 200, 400, 800]) {
        if (await ranEachOnce(lab, every)) return
      }
      assert.fail('at every pace each process was too late for some tick, or a tick ran twice: the backend hands jobs out twice, or this machine is too busy')
    }
  }
]

/** False where it proves nothing: the processes were not there for the first tick, ticks were left out and none was there for all of them in time, or one stood still past its lease. */
async function ranEachOnce (lab: Lab, every: number): Promise<boolean> {
  const processes = await lab.idleProcesses(5)
  const [killed, stopped, ...others] = processes as [JobsProcess, JobsProcess, ...JobsProcess[]]
  const startAt = Date.now() + LEAD * every
  const due = numbers(TICKS).map((tick) => startAt + (tick - 1) * every)
  await Promise.all(processes.map((process) => lab.startApp(process, {
    schedule: { rule: { every }, startAt, endAt: due.at(-1)!, overlap: 'allow' }
  })))
  if (Date.now() >= startAt) return leftOut(processes)
  const ticks = (): Set<number> => new Set(lab.ledger.lines('end').map(({ tick }) => tick!).filter((tick) => tick >= startAt))

  await until('a fifth of the ticks is over', () => Date.now() > due[TICKS / 5]!, { progress: Date.now })
  await killed.kill()
  stopped.stop()
  await until('three fifths of the ticks are over', () => Date.now() > due[TICKS * 3 / 5]!, { progress: Date.now })
  stopped.continue()
  await until('all ticks have run, or should have', () => ticks().size >= TICKS || Date.now() > due.at(-1)! + TOO_LATE, { progress: Date.now })
  await until('nothing is left', async () => {
    const statuses = await Promise.all([stopped, ...others].map((process) => process.status()))
    return statuses.every(({ queueDepth, inFlight, queues }) => queueDepth + inFlight + queues.default!.delayed === 0)
  }, { progress: () => lab.ledger.length })

  const ran = ticks()
  const starts = lab.ledger.lines('start').filter(({ tick }) => tick! >= startAt)
  assert.equal(new Set(starts.map(({ id }) => id)).size, ran.size, 'a job a tick')
  const disturbed = new Set(starts.filter(({ pid }) => pid === killed.pid || pid === stopped.pid).map(({ id }) => id))
  const twice = starts.filter(({ id }, index) => starts.findIndex((line) => line.id === id) !== index && !disturbed.has(id))
  // Another process that stood still past its lease. A backend that runs jobs twice by itself does so at every pace.
  if (twice.length > 0) return leftOut([stopped, ...others])
  const late = await Promise.all(others.map((process) => process.lateTicks()))
  if (ran.size < TICKS && !late.includes(0)) {
    return leftOut([stopped, ...others])
  }
  assert.deepEqual(due.filter((tick) => !ran.has(tick)), [])
  assert.equal(ran.size, TICKS)
  return true
}

async function leftOut (processes: readonly JobsProcess[]): Promise<false> {
  await Promise.all(processes.map((process) => process.kill()))
  return false
}
