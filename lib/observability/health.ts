import type { Clock, QueueStats } from '../../types/backend.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Queue } from '../queue.ts'
import type { Runtime } from '../runtime.ts'
import type { Worker } from '../worker.ts'
import { inTime, LATE } from './shared-answer.ts'

export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy'

export interface Health {
  readonly status: HealthStatus
  /** What is not healthy, in words. */
  readonly reasons: readonly string[]
}

interface Finding {
  readonly status: 'degraded' | 'unhealthy'
  readonly reason: string
  /** Absent: the lifecycle, a service or a worker of this instance. */
  readonly about?: 'capacity' | 'backend'
  /** All instances have it at once. */
  readonly shared?: boolean
}

type HealthSettings = Exclude<ResolvedOptions['health'], false>

/** Milliseconds that a backend has to answer: a probe waits for a second, as Kubernetes has it by default. */
const PATIENCE = 500

/** Everything that is not well with the app's background work. */
export async function health (runtime: Runtime, settings: HealthSettings): Promise<Health> {
  return summary(await findingsOf(runtime, settings))
}

/**
 * Whether this instance should get requests. What all instances suffer from makes it no worse than degraded, unless the settings say
 * otherwise: it would take all of them out at once.
 */
export async function readiness (runtime: Runtime, settings: HealthSettings): Promise<Health> {
  const findings = await findingsOf(runtime, settings)
  return summary(findings.map((finding) => counts(finding, settings) ? finding : { ...finding, status: 'degraded' }))
}

function counts ({ about, shared }: Finding, { ready: { capacity, backend } }: HealthSettings): boolean {
  switch (about) {
    case 'capacity': return capacity === 'memory' ? !shared : capacity
    case 'backend': return backend || !shared
    default: return !shared
  }
}

async function findingsOf (runtime: Runtime, settings: HealthSettings): Promise<Finding[]> {
  const { state } = runtime.lifecycle
  const findings: Finding[] = state === 'running' ? [] : [{ status: 'unhealthy', reason: `the app is ${state}` }]
  for (const { name, state } of runtime.services.all()) {
    if (state === 'failed') findings.push({ status: 'unhealthy', reason: `service '${name}' has failed` })
    if (state === 'restarting') findings.push({ status: 'degraded', reason: `service '${name}' has failed and will be restarted` })
  }
  // All at once: a server that does not answer makes the answer late once, not once a queue.
  const ofQueues = await Promise.all(runtime.queues.map((queue) => queueFindings(queue, settings, runtime.clock)))
  return [...findings, ...ofQueues.flat()]
}

async function queueFindings (queue: Queue, settings: HealthSettings, clock: Clock): Promise<Finding[]> {
  const { name, backend } = queue
  const lost = (reason: string): Finding[] => [{ status: 'unhealthy', about: 'backend', shared: backend.capabilities.durable, reason: `backend '${backend.name}' of queue '${name}' ${reason}` }]
  try {
    const stats = await inTime(statsOf(queue), PATIENCE, clock)
    if (stats === LATE) return lost(`has not answered within ${PATIENCE} ms`)
    return [...capacityFindings(queue, stats, settings), ...stalledFindings(queue, stats, settings)]
  } catch {
    return lost('is out of reach')
  }
}

async function statsOf ({ backend, name }: Queue): Promise<QueueStats> {
  return backend.stats(name)
}

function capacityFindings ({ name, backend, settings: { capacity } }: Queue, { waiting, delayed }: QueueStats, { degraded, unhealthy }: HealthSettings): Finding[] {
  // Delayed jobs and retries hold room too: an enqueue finds as little as if they waited.
  const depth = waiting + delayed
  const finding = { about: 'capacity', shared: backend.capabilities.durable } as const
  if (depth / capacity >= unhealthy) return [{ ...finding, status: 'unhealthy', reason: `queue '${name}' is nearly full: ${depth} of ${capacity}` }]
  if (depth / capacity > degraded) return [{ ...finding, status: 'degraded', reason: `queue '${name}' is filling: ${depth} of ${capacity}` }]
  return []
}

function stalledFindings ({ name, backend, concurrency, works, worker }: Queue, stats: QueueStats, { stalledAfter }: HealthSettings): Finding[] {
  if (!works || worker.paused || stats.paused) return []
  const stalledFor = stalledMilliseconds(stats, worker)
  if (stalledFor < stalledAfter) return []
  // Where every slot is taken, others may pick up what waits in a shared queue; all of them may be as busy.
  const shared = backend.capabilities.durable && worker.inFlight >= concurrency
  return [{ status: 'unhealthy', shared, reason: `queue '${name}' is stalled: jobs wait and none was picked up for ${Math.floor(stalledFor)} ms` }]
}

// A queue without work picks nothing up either: the wait counts from when there was some.
function stalledMilliseconds ({ waiting, waitingSince }: QueueStats, { clock, sinceLastPickUp }: Worker): number {
  if (waitingSince !== undefined) return Math.min(sinceLastPickUp, clock.now() - waitingSince)
  return waiting === 0 ? 0 : sinceLastPickUp
}

function summary (findings: readonly Finding[]): Health {
  const reasons = findings.map(({ reason }) => reason)
  if (findings.some(({ status }) => status === 'unhealthy')) return { status: 'unhealthy', reasons }
  return { status: findings.length > 0 ? 'degraded' : 'healthy', reasons }
}
