import fastify from 'fastify'
import backgroundJobs from '../../lib/index.ts'
import type { Contender, ContenderOptions } from './contender.ts'

export async function open ({ concurrency, capacity, handler }: ContenderOptions): Promise<Contender> {
  const app = fastify({ logger: false })
  await app.register(backgroundJobs, { queues: { default: { capacity, concurrency } } })
  app.jobs.define('noop', handler)
  await app.ready()
  app.jobs.pause()
  return {
    enqueue: (payload) => app.jobs.enqueue('noop', payload),
    room: () => undefined,
    pause: () => app.jobs.pause(),
    resume: () => app.jobs.resume(),
    close: () => app.close()
  }
}
