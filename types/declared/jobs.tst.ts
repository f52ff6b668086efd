import { describe, expect, test } from 'tstyche'
import { z } from 'zod'
import type { EnqueuedJob, JobDefinition, JobName, Jobs, JobToEnqueue, RequestJobs } from '../../lib/index.ts'
import type { OutboxOptions } from '../../lib/outbox/index.ts'

interface Mail { to: string, subject: string }
interface Customer { name: string }
interface Order { customer: Customer, at: number[] }

declare module '../../lib/index.ts' {
  interface JobTypes {
    mail: Mail
    count: number
    tidy: undefined
    anything: unknown
    clean: void
    perhaps: { a?: string } | undefined
    order: Order
  }
}

declare const jobs: Jobs
declare const request: RequestJobs
declare const text: string
declare const isMail: boolean
const mail = { to: 'ada@example.org', subject: 'Hi' }

describe('names', () => {
  test('those that are declared', () => {
    expect<JobName>().type.toBe<'mail' | 'count' | 'tidy' | 'anything' | 'clean' | 'perhaps' | 'order'>()
  })
})

describe('enqueue', () => {
  test('a name that is not declared does not compile', () => {
    expect(jobs.enqueue).type.toBeCallableWith('mail', mail)
    expect(jobs.enqueue).type.toBeCallableWith('mail', mail, { delay: 5 })
    expect(jobs.enqueue).type.toBeCallableWith('anything', [])
    expect(jobs.enqueue).type.toBeCallableWith('tidy', undefined)
    expect(jobs.enqueue).type.not.toBeCallableWith('mial', mail)
    expect(jobs.enqueue).type.not.toBeCallableWith(text, mail)
    expect(jobs.enqueue).type.toBeCallableWith(text as JobName, mail)
    expect(request.enqueue).type.not.toBeCallableWith('mial', mail)
    expect(request.enqueueMany).type.not.toBeCallableWith([{ job: 'mial', payload: mail }])
  })

  test('nor does another payload', () => {
    expect(jobs.enqueue).type.not.toBeCallableWith('mail', { to: 1, subject: 'Hi' })
    expect(jobs.enqueue).type.not.toBeCallableWith('mail', {})
    expect(jobs.enqueue).type.not.toBeCallableWith('count', 'one')
  })

  test('nor does a missing payload, unless the job works without one', () => {
    expect(jobs.enqueue).type.toBeCallableWith('tidy')
    expect(jobs.enqueue).type.toBeCallableWith('clean')
    expect(jobs.enqueue).type.toBeCallableWith('perhaps')
    expect(jobs.enqueue).type.toBeCallableWith('perhaps', { a: 'a' }, { delay: 5 })
    expect(jobs.enqueue).type.toBeCallableWith(jobs.define<undefined>('other', async () => {}))
    expect(jobs.enqueue).type.not.toBeCallableWith('mail')
    expect(jobs.enqueue).type.not.toBeCallableWith('anything')
    expect(jobs.enqueue).type.not.toBeCallableWith(isMail ? 'mail' : 'tidy')
    expect(jobs.enqueue).type.not.toBeCallableWith('tidy', 1)
    expect(request.enqueue).type.toBeCallableWith('tidy')
  })

  test('a definition and an inline function need no declared name', () => {
    const other = jobs.define<{ id: number }>('other', async () => {})
    expect(jobs.enqueue).type.toBeCallableWith(other, { id: 1 })
    expect(jobs.enqueue).type.not.toBeCallableWith(other, { id: 'one' })
    expect(jobs.enqueue).type.toBeCallableWith(async () => {}, { name: 'whatever' })
  })
})

describe('define', () => {
  test('by a declared name', () => {
    const definition = jobs.define('mail', async (payload) => {
      expect(payload).type.toBe<Mail>()
    })
    expect(definition).type.toBe<JobDefinition<Mail>>()
    jobs.define('mail', { attempts: 5 }, async function (payload, { progress }) {
      expect(payload).type.toBe<Mail>()
      progress(1)
    })
  })

  test('a handler of a declared job takes its payload', () => {
    // @ts-expect-error No overload matches this call
    jobs.define('mail', async (payload: { n: number }) => payload)
    // @ts-expect-error No overload matches this call
    jobs.define('mail', { attempts: 5 }, async (payload: { n: number }) => payload)
  })

  test('a schema of a declared job takes its payload', () => {
    const schema = z.object({ to: z.string(), subject: z.string().default('Hi'), at: z.coerce.date().optional() })
    jobs.define('mail', { schema }, async (payload) => {
      expect(payload).type.toBe<{ to: string, subject: string, at?: Date | undefined }>()
    })
    jobs.define('mail', { schema: { type: 'object', required: ['to'], properties: { to: { type: 'string' } } } }, async (payload) => {
      expect(payload.to).type.toBe<string>()
    })
    jobs.define('order', { schema: { type: 'object', properties: { customer: { type: 'object', properties: { name: { type: 'string' } } }, at: { type: 'array', items: { type: 'number' } } } } }, async () => {})
    jobs.declare('mail', { schema })
    // @ts-expect-error No overload matches this call
    jobs.define('mail', { schema: z.object({ n: z.number() }) }, async () => {})
    // @ts-expect-error No overload matches this call
    jobs.define('mail', { schema: { type: 'object', required: ['n'], properties: { n: { type: 'number' } } } }, async () => {})
    // @ts-expect-error No overload matches this call
    jobs.declare('mail', { schema: z.object({ n: z.number() }) })
    // @ts-expect-error No overload matches this call
    jobs.declare('mail', { schema: { type: 'object', required: ['n'], properties: { n: { type: 'number' } } } })
  })

  test('a schema that tells no type leaves that of the name', () => {
    const definition = jobs.define('mail', { schema: { $ref: 'mail#' } }, async (payload) => {
      expect(payload).type.toBe<Mail>()
    })
    expect(definition).type.toBe<JobDefinition<Mail>>()
    expect(jobs.declare('mail', { schema: { $ref: 'mail#' } })).type.toBe<JobDefinition<Mail>>()
  })

  test('by another one', () => {
    jobs.define('undeclared', { schema: z.object({ n: z.number() }) }, async (payload) => { expect(payload).type.toBe<{ n: number }>() })
    jobs.define<Mail>('undeclared', async (payload) => { expect(payload).type.toBe<Mail>() })
    jobs.define(text, { attempts: 5 }, async (payload: Mail) => payload)
    jobs.define('undeclared', async (payload) => { expect(payload).type.toBe<any>() })
  })
})

describe('enqueueMany', () => {
  const other = jobs.define('other', { schema: z.object({ at: z.coerce.date(), copies: z.number().default(1) }) }, async () => {})

  test('each job has the payload of its name or definition', () => {
    expect(jobs.enqueueMany([{ job: 'mail', payload: mail }, { job: 'count', payload: 1, delay: 5 }, { job: other, payload: { at: '2026-11-21' } }])).type.toBe<Promise<EnqueuedJob[]>>()
    expect(jobs.enqueueMany).type.toBeCallableWith([])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mail', payload: 1 }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'count', payload: 1 }, { job: 'mail', payload: { to: 'ada' } }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mail', payload: mail }, { job: other, payload: { copies: 'two' } }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mail' }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mail', payload: mail, dealy: 1 }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mail', payload: { ...mail, extra: 1 } }])
  })

  test('a union of names is checked job by job', () => {
    jobs.enqueueMany([1, 2].map((n) => n > 1 ? { job: 'mail' as const, payload: mail } : { job: 'count' as const, payload: n }))
    jobs.enqueueMany([1, 2].map((n) => n > 1 ? { job: 'mail', payload: mail } : { job: 'count', payload: n }))
    // @ts-expect-error is not assignable
    jobs.enqueueMany([1, 2].map((n) => n > 1 ? { job: 'mail' as const, payload: n } : { job: 'count' as const, payload: mail }))
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: isMail ? 'mail' : 'count', payload: 1 }])
  })

  test('a job that works without a payload needs none', () => {
    expect(jobs.enqueueMany).type.toBeCallableWith([{ job: 'tidy' }, { job: 'clean', delay: 5 }, { job: 'perhaps', payload: { a: 'a' } }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'tidy', payload: 1 }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'anything' }])
  })

  test('a name that is not declared does not compile', () => {
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mial', payload: mail }])
    expect(jobs.enqueueMany).type.not.toBeCallableWith([{ job: 'mail', payload: mail }, { job: text, payload: mail }])
  })

  test('arrays that were made elsewhere', () => {
    const people = ['ada', 'grace']
    jobs.enqueueMany(people.map((to) => ({ job: 'mail', payload: { to, subject: 'Hi' } })))
    jobs.enqueueMany(people.map((to) => ({ job: other, payload: { at: to } })))
    // @ts-expect-error is not assignable
    jobs.enqueueMany(people.map((to) => ({ job: 'mail', payload: { to } })))
    // @ts-expect-error is not assignable
    jobs.enqueueMany(people.map((to) => ({ job: 'mial', payload: { to, subject: 'Hi' } })))
    // @ts-expect-error is not assignable
    jobs.enqueueMany(people.map((to) => ({ job: other, payload: { copies: to } })))
    const list: JobToEnqueue[] = [{ job: 'mail', payload: mail }]
    list.push({ job: other, payload: { at: 1 } })
    expect(jobs.enqueueMany).type.toBeCallableWith(list)
    // @ts-expect-error is not assignable
    list.push({ job: 'mail', payload: 1 })
    list.push({ job: 'tidy' })
    const mails: JobToEnqueue<Mail>[] = [{ job: 'mail', payload: mail }]
    expect(jobs.enqueueMany).type.toBeCallableWith(mails)
    // @ts-expect-error is not assignable
    mails.push({ job: 'count', payload: mail })
    // @ts-expect-error is not assignable
    mails.push({ job: 'anything', payload: 1 })
  })
})

describe('schedule', () => {
  const every = { every: 1000 }

  test('a name that is not declared does not compile', () => {
    expect(jobs.schedule).type.toBeCallableWith('a', every, 'mail', { payload: mail })
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'mial', { payload: mail })
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, text, { payload: mail })
  })

  test('nor does another payload, or none where one is needed', () => {
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'mail', { payload: { to: 1 } })
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'mail')
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'mail', {})
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'mail', { immediate: true })
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'mail', { payload: undefined })
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, 'count')
    expect(jobs.schedule).type.not.toBeCallableWith('a', every, isMail ? 'mail' : 'tidy')
    expect(jobs.schedule).type.toBeCallableWith('a', every, isMail ? 'perhaps' : 'tidy')
  })

  test('a job that works without a payload needs none', () => {
    expect(jobs.schedule).type.toBeCallableWith('a', every, 'tidy')
    expect(jobs.schedule).type.toBeCallableWith('a', every, 'tidy', { immediate: true })
    expect(jobs.schedule).type.toBeCallableWith('a', every, 'anything')
    expect(jobs.schedule).type.toBeCallableWith('a', every, 'anything', { payload: 1 })
    expect(jobs.schedule).type.toBeCallableWith('a', every, async () => {})
  })
})

describe('an outbox', () => {
  test('enqueues a declared job', () => {
    expect<OutboxOptions['job']>().type.toBe<JobName | JobDefinition<any> | undefined>()
  })
})
