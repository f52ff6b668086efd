import type { Capabilities, Delivery, JobEnvelope, Outcome } from '../../lib/backends/index.ts'
import { memory, type Backend } from '../../lib/index.ts'

export interface Leased {
  readonly backend: Backend
  /** Takes the lease of the running delivery of that job away. */
  loseLease (id: string): void
  /** Gives out deliveries whose lease is lost already. */
  expired: boolean
  /** What every delivery says besides. */
  also: Partial<Delivery>
  readonly outcomes: Outcome[]
  /** Stores what another version of the app would have enqueued. */
  store (job: Pick<JobEnvelope, 'id' | 'name' | 'payload'> & Partial<JobEnvelope>): Promise<unknown>
}

/** What a durable backend shows to the core, over the memory backend: leases, promises, nothing that ends with the process. */
export function leased (): Leased {
  const inner = memory({ serialize: true })
  const { consume } = inner
  const leases = new Map<string, AbortController>()
  const leased: Leased = {
    expired: false,
    also: {},
    outcomes: [],
    loseLease: (id) => leases.get(id)!.abort(),
    store: (job) => inner.enqueue('default', [{ attempt: 1, enqueuedAt: Date.now(), correlationId: undefined, options: undefined, ...job }], {}),
    backend: Object.assign(inner, {
      name: 'leased',
      capabilities: { ...inner.capabilities, durable: true } satisfies Capabilities,
      abandon: () => [],
      consume: ((queue, options, deliver) => {
        async function handOver (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): Promise<void> {
          const { envelope } = delivery
          const lease = new AbortController()
          if (leased.expired) lease.abort()
          leases.set(envelope.id, lease)
          const outcome = await deliver({ envelope, signal: lease.signal, dueAt: (delivery as Delivery).dueAt, ...leased.also })
          leased.outcomes.push(outcome)
          settle(delivery, outcome)
        }
        return consume.call(inner, queue, options, handOver as never)
      }) satisfies Backend['consume'] as Backend['consume']
    })
  }
  return leased
}
