import type { Cradle } from '@fastify/awilix'
import type { AwilixContainer } from 'awilix'
import type { FastifyBaseLogger } from 'fastify'
import { describe, expect, test } from 'tstyche'
import { poll, type Jobs, type JobsStatus, type PollPass, type Service, type ServiceContext, type ServiceCradle, type ServiceOptions, type ServiceState, type ServiceStatus } from '../lib/index.ts'

declare const jobs: Jobs

describe('a service', () => {
  test('what its context has', () => {
    jobs.service('loop', {
      async run (context) {
        expect(context).type.toBe<ServiceContext>()
        expect(context.signal).type.toBe<AbortSignal>()
        expect(context.log).type.toBe<FastifyBaseLogger>()
        expect(context.diScope).type.toBe<AwilixContainer<Cradle & ServiceCradle>>()
        expect(context.sleep).type.toBe<(delay: number) => Promise<void>>()
        expect(context).type.not.toHaveProperty('job')
      },
      start (context) { expect(context).type.toBe<ServiceContext>() },
      stop (context) { expect(context).type.toBe<ServiceContext>() }
    })
  })

  test('it may be any of run, start and stop, synchronous or not, and take as little of the context as it needs', () => {
    expect(jobs.service('loop', { async run () {} })).type.toBe<void>()
    expect(jobs.service).type.toBeCallableWith('loop', { run: ({ signal }: { signal: AbortSignal }) => signal.aborted })
    expect(jobs.service).type.toBeCallableWith('listener', { start: async () => {}, stop: () => 1 })
    expect(jobs.service).type.toBeCallableWith('all', { start () {}, run () {}, stop () {} })
  })

  test('it may be an instance of a class, with methods of its own', () => {
    class Listener implements Service {
      port = 0
      async start ({ log }: ServiceContext): Promise<void> { log.info(this.address()) }
      async stop (): Promise<void> {}
      address (): string { return `:${this.port}` }
    }
    expect(jobs.service).type.toBeCallableWith('listener', new Listener())
  })

  test('what it cannot be', () => {
    expect(jobs.service).type.not.toBeCallableWith('nothing')
    expect(jobs.service).type.not.toBeCallableWith(1, { run () {} })
    expect(jobs.service).type.not.toBeCallableWith('function', () => {})
    expect(jobs.service).type.not.toBeCallableWith('text', { run: 'now' })
    expect(jobs.service).type.not.toBeCallableWith('typo', { runs () {} })
    expect(jobs.service).type.not.toBeCallableWith('greedy', { run ({ job }: { job: string }) { return job } })
  })
})

describe('the options of a service', () => {
  test('what to do when it fails', () => {
    expect<ServiceOptions['onFailure']>().type.toBe<'ignore' | 'restart' | 'close' | undefined>()
    expect(jobs.service).type.toBeCallableWith('a', { run () {} }, {})
    expect(jobs.service).type.toBeCallableWith('a', { run () {} }, { onFailure: 'close' as const })
    expect(jobs.service).type.not.toBeCallableWith('a', { run () {} }, { onFailure: 'panic' as const })
    expect(jobs.service).type.not.toBeCallableWith('a', { run () {} }, { onfailure: 'close' as const })
  })

  test('how it is restarted', () => {
    jobs.service('a', { run () {} }, { onFailure: 'restart', restart: { limit: 3, backoff: { type: 'fixed', delay: 100, max: 1000, jitter: 0 } } })
    jobs.service('a', { run () {} }, {
      onFailure: 'restart',
      restart: {
        backoff: (attempt, error) => {
          expect(attempt).type.toBe<number>()
          expect(error).type.toBe<unknown>()
          return attempt * 1000
        }
      }
    })
    expect(jobs.service).type.not.toBeCallableWith('a', { run () {} }, { onFailure: 'restart' as const, restart: { limit: '3' } })
    expect(jobs.service).type.not.toBeCallableWith('a', { run () {} }, { onFailure: 'restart' as const, restart: { backoff: async () => 1 } })
  })
})

describe('poll', () => {
  test('makes a service', () => {
    expect(poll(1000, () => {})).type.toBe<Service>()
    expect(jobs.service).type.toBeCallableWith('feed', poll(1000, async () => {}), { onFailure: 'restart' as const })
    expect(poll).type.not.toBeCallableWith('1 s', () => {})
    expect(poll).type.not.toBeCallableWith(1000)
  })

  test('what a pass gets: everything but sleep', () => {
    poll(1000, async (context) => {
      expect(context).type.toBe<Omit<ServiceContext, 'sleep'>>()
      expect(context.signal).type.toBe<AbortSignal>()
      expect(context.diScope).type.toBe<AwilixContainer<Cradle & ServiceCradle>>()
      expect(context).type.not.toHaveProperty('sleep')
    })
    expect<PollPass>().type.toBeCallableWith({} as ServiceContext)
  })
})

describe('the status of services', () => {
  test('by name', () => {
    expect<JobsStatus['services']>().type.toBe<Readonly<Record<string, ServiceStatus>>>()
    expect<ServiceStatus>().type.toBe<{ readonly state: ServiceState, readonly restarts: number }>()
    expect<ServiceState>().type.toBe<'registered' | 'starting' | 'running' | 'restarting' | 'completed' | 'failed' | 'stopping' | 'stopped'>()
  })
})
