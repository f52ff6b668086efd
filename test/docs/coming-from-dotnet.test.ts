import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CronRule } from '../../lib/schedules/cron.ts'
import type { BackgroundJobsOptions, ScheduleOptions } from '../../lib/index.ts'
import { buildApp, deferred, now, turns } from '../helpers/app.ts'
import { ManualClock } from '../helpers/clock.ts'
import { problemOf } from '../helpers/cron.ts'
import { root } from '../helpers/example.ts'

const MINUTE = 60_000
const page = await readFile(join(root, 'docs/coming-from-dotnet.md'), 'utf8')

function ticks (pattern: string, timezone: string, from: string, to: string): string[] {
  const rule = new CronRule(pattern, timezone)
  const found: string[] = []
  for (let tick = rule.next(Date.parse(from)); tick !== undefined && tick <= Date.parse(to); tick = rule.next(tick)) found.push(new Date(tick).toISOString().slice(5, 16))
  return found
}

const spring = (pattern: string): string[] => ticks(pattern, 'Europe/Berlin', '2026-03-28T23:30:00Z', '2026-03-29T12:00:00Z')
const autumn = (pattern: string): string[] => ticks(pattern, 'Europe/Berlin', '2026-10-24T23:30:00Z', '2026-10-25T12:00:00Z')

/** How many jobs of a queue with one slot run when the app closes while the first one of three does. */
async function ranOfThree (t: Test, shutdown: BackgroundJobsOptions['shutdown']): Promise<number> {
  const app = await buildApp(t, { shutdown, queues: { default: { concurrency: 1 } } })
  const gate = deferred()
  let ran = 0
  app.jobs.define('work', async () => {
    ran++
    await gate.promise
  })
  await app.ready()
  for (let n = 0; n < 3; n++) await app.jobs.enqueue('work', n)
  await turns()
  const closed = app.close()
  await turns()
  gate.resolve()
  await closed
  return ran
}

/** When the attempts of a job that always fails began, in milliseconds after the first one. */
async function attemptsOf (t: Test, options: { attempts?: number }): Promise<number[]> {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const began: number[] = []
  app.jobs.define('work', options, async () => {
    began.push(clock.monotonic())
    throw new Error('always')
  })
  await app.ready()
  await app.jobs.enqueue('work', null)
  await clock.advance(60 * MINUTE)
  return began.map((time) => time - began[0]!)
}

/** How many runs of a schedule, a tick every 10 minutes, began; with `held` none of them ends. */
async function runsOf (t: Test, options: ScheduleOptions<undefined>, act: (clock: ManualClock) => Promise<void>, held = false): Promise<number> {
  const clock = new ManualClock()
  const app = await buildApp(t, { clock })
  const gate = deferred()
  let runs = 0
  app.jobs.schedule('tick', { cron: '*/10 * * * *' }, async () => {
    runs++
    if (held) await gate.promise
  }, options)
  await app.ready()
  await act(clock)
  const began = runs
  gate.resolve()
  return began
}

const rows: Record<string, (t: Test) => Promise<unknown>> = {
  async 'A queue is full' (t) {
    for (const fullMode of [undefined, 'reject'] as const) {
      const app = await buildApp(t, { queues: { default: { capacity: 1, fullMode } } })
      app.jobs.define('work', async () => {})
      await app.jobs.enqueue('work', 1)
      const second = app.jobs.enqueue('work', 2)
      if (fullMode === undefined) {
        t.equal(await now(second), 'pending')
        await Promise.all([t.rejects(second, { code: 'FST_JOBS_STOPPING' }), app.close()])
      } else {
        await t.rejects(second, { code: 'FST_JOBS_QUEUE_FULL' })
      }
    }
  },
  async 'No bound is given' (t) {
    t.equal((await (await buildApp(t)).jobs.status()).queues.default!.capacity, 1000)
  },
  async 'Jobs at once' (t) {
    t.equal((await (await buildApp(t)).jobs.status()).queues.default!.concurrency, 10)
  },
  async 'The end of a queue' (t) {
    t.equal(await ranOfThree(t, undefined), 1)
    t.equal(await ranOfThree(t, { mode: 'drain' }), 1)
    t.equal(await ranOfThree(t, { mode: 'drainQueued' }), 3)
  },
  async Attempts (t) {
    t.equal((await attemptsOf(t, {})).length, 3)
  },
  async 'Wait before the retries' (t) {
    const began = await attemptsOf(t, { attempts: 9 })
    const waits = began.slice(1).map((time, index) => time - began[index]!)
    const longest = [2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]
    t.equal(waits.length, longest.length)
    t.ok(waits.every((wait, index) => wait <= longest[index]! + 1 && wait >= 0.8 * longest[index]!), String(waits))
  },
  async 'After the last attempt' (t) {
    const app = await buildApp(t, { queues: { default: { capacity: 2000 } } })
    app.jobs.define('work', { attempts: 1 }, async () => { throw new Error('always') })
    await app.ready()
    for (let n = 0; n < 1001; n++) await app.jobs.enqueue('work', n)
    await app.jobs.idle()
    t.match(await app.jobs.deadLetters.list({ limit: 1 }), [{ payload: 1 }])
    t.equal((await app.jobs.status()).queues.default!.deadLetters, 1000)
  },
  async 'Time zone of a cron pattern' (t) {
    const app = await buildApp(t)
    app.jobs.schedule('tick', { cron: '0 2 * * *' }, async () => {})
    t.match(app.jobs.schedules.list(), [{ timezone: 'UTC' }])
  },
  async 'Fields of a cron pattern' (t) {
    for (const pattern of ['* * * * *', '* * * * * *']) t.equal(problemOf(pattern), undefined)
    for (const pattern of ['* * * *', '* * * * * * *']) t.match(problemOf(pattern), /five fields, or six with seconds/)
  },
  async 'Numbers of weekdays' (t) {
    for (const [number, name] of ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'].entries()) {
      const november = ['UTC', '2026-11-01T12:00:00Z', '2026-12-01T12:00:00Z'] as const
      t.same(ticks(`0 0 * * ${number}`, ...november), ticks(`0 0 * * ${name}`, ...november))
    }
    t.same(ticks('0 0 * * 0', 'UTC', '2026-11-01T12:00:00Z', '2026-11-09T00:00:00Z'), ['11-08T00:00'])
  },
  async 'Day of month and weekday' (t) {
    const november = ['UTC', '2026-11-07T00:00:00Z', '2026-11-21T00:00:00Z'] as const
    t.same(ticks('0 0 16 * 5', ...november), ['11-13T00:00', '11-16T00:00', '11-20T00:00'])
    t.same(ticks('0 0 13 * +5', ...november), ['11-13T00:00'])
    t.same(ticks('0 0 16 * +5', ...november), [])
  },
  async '`0/5`, `FRI-MON`, `L-3`' (t) {
    for (const pattern of ['0/5 * * * *', '0 0 * * FRI-MON', '0 0 L-3 * *']) t.type(problemOf(pattern), 'string', pattern)
  },
  async 'Ticks that were missed' (t) {
    const sleep = (clock: ManualClock): Promise<void> => clock.sleep(55 * MINUTE)
    t.equal(await runsOf(t, {}, sleep), 0)
    t.equal(await runsOf(t, { missed: 'runOnce' }, sleep), 1)
    t.equal(await runsOf(t, { immediate: true }, () => turns()), 1)
  },
  async 'The run before is unfinished' (t) {
    const half = (clock: ManualClock): Promise<void> => clock.advance(30 * MINUTE)
    t.equal(await runsOf(t, {}, half, true), 1)
    t.equal(await runsOf(t, { overlap: 'allow' }, half, true), 3)
  },
  async 'The hour that spring leaves out' (t) {
    t.same(spring('30 2 * * *'), ['03-29T01:00'])
    t.same(spring('0,30 2 * * *'), [])
  },
  async 'The hour that autumn repeats' (t) {
    t.same(autumn('30 2 * * *'), ['10-25T00:30'])
    t.same(autumn('0,30 2 * * *'), ['10-25T00:00', '10-25T00:30', '10-25T01:00', '10-25T01:30'])
  },
  async 'A service throws' (t) {
    const app = await buildApp(t)
    app.jobs.service('worker', { async run () { throw new Error('broken') } })
    await app.ready()
    await turns()
    t.equal((await app.inject('/health/ready')).statusCode, 503)
    t.match((await app.jobs.status()).services, { worker: { state: 'failed' } })
    const closing = await buildApp(t)
    t.teardown(() => closing.close().catch(() => {}))
    const closed = deferred()
    closing.addHook('onClose', async () => closed.resolve())
    closing.jobs.service('worker', { async run () { throw new Error('broken') } }, { onFailure: 'close' })
    await closing.ready()
    await closed.promise
    await t.rejects(closing.close(), { message: 'broken' })
  },
  async 'Time to stop' (t) {
    const clock = new ManualClock()
    const app = await buildApp(t, { clock })
    app.jobs.define('work', (_payload, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))))
    await app.ready()
    await app.jobs.enqueue('work', null)
    await turns()
    const closed = app.close()
    await clock.advance(29_999)
    t.equal(await now(closed), 'pending')
    await clock.advance(1)
    await closed
  },
  async 'Order of services' (t) {
    const app = await buildApp(t)
    const calls: string[] = []
    for (const name of ['a', 'b']) app.jobs.service(name, { async start () { calls.push(`start ${name}`) }, async stop () { calls.push(`stop ${name}`) } })
    await app.ready()
    await app.close()
    t.same(calls, ['start a', 'start b', 'stop b', 'stop a'])
  }
}

t.test('each row of the page has a test of what happens here', async (t) => {
  const shown = Array.from(page.matchAll(/^\| (.+?) \|/gm), ([, title]) => title!).filter((title) => title !== '| there')
  t.same(shown, Object.keys(rows))
})

for (const [title, check] of Object.entries(rows)) t.test(title, async (t) => { await check(t) })
