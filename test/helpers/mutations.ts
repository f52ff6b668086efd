import type { Consumer, Deliver, Delivery, EnvelopeOptions, JobEnvelope, Outcome, QueueSettings } from '../../lib/backends/index.ts'
import type { Change } from './durable-memory.ts'

/** Other envelopes are stored than were given. */
export function storing (alter: (job: JobEnvelope) => JobEnvelope): Change {
  return ({ enqueue }) => ({ enqueue: (queue, jobs, options) => enqueue(queue, jobs.map(alter), options) })
}

export function withoutOption (...names: (keyof EnvelopeOptions)[]): Change {
  return storing((job) => ({ ...job, options: Object.fromEntries(Object.entries(job.options ?? {}).filter(([name]) => !names.includes(name as never))) }))
}

export function withSettings (alter: (settings: QueueSettings) => QueueSettings): Change {
  return ({ open }) => ({ open: (context) => open({ ...context, queues: context.queues.map(alter) }) })
}

/** Other outcomes are stored than the core decided. */
export function settling (alter: (outcome: Outcome, envelope: JobEnvelope) => Outcome): Change {
  return ({ consume }) => ({
    consume (queue, options, deliver) {
      const altered = (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): void =>
        deliver(delivery, (handed, outcome) => settle(handed, alter(outcome, handed.envelope)))
      return consume(queue, options, altered as Deliver)
    }
  })
}

export function consuming (alter: (consumer: Consumer) => Partial<Consumer>): Change {
  return ({ consume }) => ({
    consume (...args) {
      const consumer = consume(...args)
      const plain: Consumer = { pause: () => consumer.pause(), resume: () => consumer.resume(), stop: () => consumer.stop() }
      return { ...plain, ...alter(plain) }
    }
  })
}
