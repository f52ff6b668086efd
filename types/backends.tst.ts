import { Cluster, Redis } from 'ioredis'
import { describe, expect, test } from 'tstyche'
import { redis } from '../lib/backends/redis/index.ts'
import { sqlite } from '../lib/backends/sqlite/index.ts'
import { memory, type Backend, type BackgroundJobsOptions, type Capabilities, type Delivery } from '../lib/index.ts'

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

describe('what a backend says', () => {
  test('the optional parts of the contract', () => {
    expect<Pick<Capabilities, 'fullModes'>>().type.toBeAssignableFrom({ fullModes: ['wait', 'reject'] as const })
    expect<Pick<Delivery, 'stalls' | 'stalled' | 'problem' | 'signal'>>().type.toBeAssignableFrom({ stalls: 1, stalled: true, problem: new Error('torn') })
  })
})
