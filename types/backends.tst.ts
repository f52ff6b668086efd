import { Cluster, Redis } from 'ioredis'
import { describe, expect, test } from 'tstyche'
import { redis } from '../lib/backends/redis/index.ts'
import { sqlite } from '../lib/backends/sqlite/index.ts'
import type * as backend from '../lib/backends/index.ts'
import type { Capabilities, Delivery } from '../lib/backends/index.ts'
import type * as main from '../lib/index.ts'
import { memory, type Backend, type BackgroundJobsOptions } from '../lib/index.ts'

describe('every backend is one', () => {
  test('memory, SQLite and Redis', () => {
    expect(memory()).type.toBe<Backend>()
    expect(sqlite({ path: 'jobs.db' })).type.toBe<Backend>()
    expect(redis({ url: 'redis://localhost' })).type.toBe<Backend>()
    expect<BackgroundJobsOptions>().type.toBeAssignableFrom({ backend: sqlite({ path: 'jobs.db' }), queues: { emails: { backend: redis({}) } } })
  })
})

describe('options', () => {
  test('of SQLite', () => {
    expect(sqlite).type.toBeCallableWith({ path: 'jobs.db', synchronous: 'NORMAL', pollInterval: 100, lease: 1000, busyTimeout: 0, retention: 0 })
    expect(sqlite).type.not.toBeCallableWith({})
    expect(sqlite).type.not.toBeCallableWith({ path: 'jobs.db', synchronous: 'OFF' })
  })

  test('of Redis: a URL, options of ioredis, or a client', () => {
    expect(redis).type.toBeCallableWith({ connection: { host: 'localhost', port: 6379, tls: {} }, prefix: 'app', lease: 1000 })
    expect(redis).type.toBeCallableWith({ connection: new Redis() })
    expect(redis).type.toBeCallableWith({ connection: new Cluster([]) })
    expect(redis).type.not.toBeCallableWith({ connection: 'redis://localhost' })
  })

  test('how many stalls a job may have', () => {
    expect<BackgroundJobsOptions>().type.toBeAssignableFrom({ retry: { maxStalls: 3 } })
    expect<BackgroundJobsOptions>().type.not.toBeAssignableFrom({ retry: { maxStalls: 'few' } })
  })
})

describe('the types for authors of backends', () => {
  test('come from /backend, which has the others of the contract, too', () => {
    expect<backend.Backend>().type.toBe<Backend>()
    expect<backend.QueueSettings['fullMode']>().type.toBe<backend.FullMode>()
    expect<backend.JobEnvelope['options']>().type.toBe<backend.EnvelopeOptions | undefined>()
    expect<Parameters<backend.Deliver>[0]>().type.toBe<backend.Delivery>()
    expect<ReturnType<backend.Backend['consume']>>().type.toBe<backend.Consumer>()
    expect<Parameters<backend.Backend['open']>>().type.toBe<[context: backend.BackendContext]>()
    expect<Awaited<ReturnType<NonNullable<backend.Backend['find']>>>>().type.toBe<backend.JobView | undefined>()
    expect<backend.RetryAnswer>().type.toBe<boolean | { readonly heldBy: string }>()
  })

  test('and are not those of an app', () => {
    // @ts-expect-error has no exported member
    expect<main.BackendContext>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.Capabilities>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.Consumer>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.Deliver>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.Delivery>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.EnqueueResult>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.EnvelopeOptions>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.JobEnvelope>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.Outcome>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.QueueSettings>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.QueueStats>().type.toBe<any>()
    // @ts-expect-error has no exported member
    expect<main.RetryAnswer>().type.toBe<any>()
  })
})

describe('what a backend says', () => {
  test('the optional parts of the contract', () => {
    expect<Pick<Capabilities, 'fullModes'>>().type.toBeAssignableFrom({ fullModes: ['wait', 'reject'] as const })
    expect<Pick<Delivery, 'stalls' | 'stalled' | 'problem' | 'signal'>>().type.toBeAssignableFrom({ stalls: 1, stalled: true, problem: new Error('torn') })
  })
})
