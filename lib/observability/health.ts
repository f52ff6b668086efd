import type { QueueStats } from '../../types/backend.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Queue } from '../queue.ts'
import type { Runtime } from '../runtime.ts'
import type { Worker } from '../worker.ts'

export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy'

export interface Health {
  readonly status: HealthStatus
  /** What is not healthy, in words. */
  readonly reasons: readonly string[]
}

type Finding = readonly [HealthStatus, string]
type Thresholds = Exclude<ResolvedOptions['health'], false>

/** Whether the app is fit to take more work, and why not. */
export async function readiness (runtime: Runtime, thresholds: Thresholds): Promise<Health> {
  const { state } = runtime.lifecycle
  const findings: Finding[] = state === 'running' ? [] : [['unhealthy', `the app is ${state}`]]
  for (const { name, state } of runtime.services.all()) {
    if (state === 'failed') findings.push(['unhealthy', `service '${name}' has failed`])
    if (state === 'restarting') findings.push(['degraded', `service '${name}' has failed and will be restarted`])
  }
  // All at once: a server that does not answer makes the answer late once, not once a queue.
  const ofQueues = await Promise.all(runtime.queues.map((queue) => queueFindings(queue, thresholds)))
  findings.push(...ofQueues.flat())
  return { status: worst(findings), reasons: findings.map(([, reason]) => reason) }
}

async function queueFindings (queue: Queue, { degraded, unhealthy, stalledAfter }: Thresholds): Promise<Finding[]> {
  const { name, backend, settings: { capacity }, worker } = queue
  let stats: QueueStats
  try {
    stats = await backend.stats(name)
  } catch {
    return [['unhealthy', `backend '${backend.name}' of queue '${name}' is out of reach`]]
  }
  const findings: Finding[] = []
  // Delayed jobs and retries hold room too: an enqueue finds as little as if they waited.
  const depth = stats.waiting + stats.delayed
  if (depth / capacity >= unhealthy) findings.push(['unhealthy', `queue '${name}' is nearly full: ${depth} of ${capacity}`])
  else if (depth / capacity > degraded) findings.push(['degraded', `queue '${name}' is filling: ${depth} of ${capacity}`])
  const stalledFor = worker.paused || stats.paused ? 0 : stalledMilliseconds(stats, worker)
  if (stalledFor >= stalledAfter) {
    findings.push(['unhealthy', `queue '${name}' is stalled: jobs wait and none was picked up for ${Math.floor(stalledFor)} ms`])
  }
  return findings
}

// A queue without work picks nothing up either: the wait counts from when there was some.
function stalledMilliseconds ({ waiting, waitingSince }: QueueStats, { clock, sinceLastPickUp }: Worker): number {
  if (waitingSince !== undefined) return Math.min(sinceLastPickUp, clock.now() - waitingSince)
  return waiting === 0 ? 0 : sinceLastPickUp
}

function worst (findings: readonly Finding[]): HealthStatus {
  if (findings.some(([status]) => status === 'unhealthy')) return 'unhealthy'
  return findings.length > 0 ? 'degraded' : 'healthy'
}
