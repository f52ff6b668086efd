import type { Test } from 'tap'
import Fastify from 'fastify'
import { redis, type RedisOptions } from '../../lib/backends/redis/index.ts'
import type { Backend, Delivery, Outcome, QueueSettings } from '../../types/backend.ts'
import type { EnvelopeOptions, JobEnvelope } from '../../types/job.ts'

/** A backend without an app, opened for a queue 'default' and closed when the test ends. */
export async function openBackend (t: Test, { url, prefix, connection }: RedisOptions, settings: Partial<QueueSettings> = {}) {
  const backend = redis({ url, prefix, connection, lease: 1000 }) as Backend & Required<Pick<Backend, 'find' | 'listDead' | 'retry' | 'remove' | 'cancel'>>
  const queue: QueueSettings = {
    name: 'default', capacity: 100, concurrency: 1, fullMode: 'reject', enqueueTimeout: undefined, history: 100, deadLetters: 100, maxPayloadBytes: 1000, ...settings
  }
  await backend.open({ queues: [queue, { ...queue, name: 'other' }], log: Fastify().log, clock: { now: Date.now } as never, stopping: new AbortController().signal, onDrop () {} })
  t.teardown(() => backend.close())
  return backend
}

/** Runs what the backend hands out; each delivery comes to the next outcome, and is kept. */
export function consume (t: Test, backend: Backend, outcomes: Outcome[]): Delivery[] {
  const deliveries: Delivery[] = []
  const consumer = backend.consume('default', { concurrency: 1 }, (async (delivery: Delivery) => {
    deliveries.push(delivery)
    return outcomes.shift() ?? { type: 'succeeded' }
  }) as never)
  t.teardown(() => consumer.stop())
  return deliveries
}

export function envelope (id: string, options?: EnvelopeOptions): JobEnvelope {
  return { id, name: 'work', payload: null, attempt: 1, enqueuedAt: Date.now(), correlationId: undefined, options }
}
