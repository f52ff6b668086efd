import { describe, expect, test } from 'tstyche'
import type { FastifyInstance } from 'fastify'
import type { EnqueuedJob, JobsStatus, ScheduleView } from '../lib/index.ts'

declare const app: FastifyInstance
const { jobs } = app

interface Report { day: string }

describe('schedule', () => {
  const report = jobs.define<Report>('report', async () => {})

  test('a rule has every or cron', () => {
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, 'report')
    expect(jobs.schedule).type.toBeCallableWith('a', { cron: '0 2 * * *' }, 'report')
    expect(jobs.schedule).type.toBeCallableWith('a', { cron: '0 2 * * *', timezone: 'Europe/Berlin' }, report, { payload: { day: 'monday' } })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000, cron: '0 2 * * *' }, 'report')
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000, timezone: 'UTC' }, 'report')
    expect(jobs.schedule).type.not.toBeCallableWith('a', {}, 'report')
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 })
  })

  test('the payload is that of the definition', () => {
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, report, { payload: { day: 'monday' } })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, report, { payload: { day: 1 } })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, report, { immediate: true })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, report)
  })

  test('a job that works without a payload needs none', () => {
    const tidy = jobs.define<undefined>('tidy', async () => {})
    const perhaps = jobs.define<Report | undefined>('perhaps', async () => {})
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, tidy)
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, perhaps, { immediate: true })
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, perhaps, { payload: { day: 'monday' } })
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, jobs.define('any', async () => {}))
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, jobs.define<unknown>('unknown', async () => {}))
  })

  test('options', () => {
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, 'report', {
      overlap: 'allow', missed: 'runOnce', jitter: 5, startAt: new Date(), endAt: 5, immediate: true, priority: 1
    })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, 'report', { overlap: 'wait' })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, 'report', { missed: 'runAll' })
    expect(jobs.schedule).type.not.toBeCallableWith('a', { every: 1000 }, report, { queue: 'mail' })
  })

  test('an inline function', () => {
    expect(jobs.schedule).type.toBeCallableWith('a', { every: 1000 }, async () => {}, { queue: 'mail' })
    jobs.schedule('a', { every: 1000 }, async function ({ job }) {
      expect(this).type.toBe<FastifyInstance>()
      expect(job.schedule?.at).type.toBe<number | undefined>()
    })
  })

  test('looking at them and handling them', () => {
    expect(jobs.schedules.list()).type.toBe<ScheduleView[]>()
    expect(jobs.schedules.run('a')).type.toBe<Promise<EnqueuedJob>>()
    expect(jobs.schedules.pause).type.toBeCallableWith('a')
    expect(jobs.schedules.resume).type.toBeCallableWith('a')
    expect<JobsStatus['schedules']>().type.toBe<Readonly<Record<string, ScheduleView>>>()
  })
})
