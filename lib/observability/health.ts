import type { ResolvedOptions } from '../options.ts'
import type { Queue } from '../queue.ts'
import type { Runtime } from '../runtime.ts'

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
  for (const queue of runtime.queues) findings.push(...await queueFindings(queue, thresholds))
  return { status: worst(findings), reasons: findings.map(([, reason]) => reason) }
}

async function queueFindings (queue: Queue, { degraded, unhealthy, stalledAfter }: Thresholds): Promise<Finding[]> {
  const { name, backend, settings: { capacity }, worker } = queue
  let waiting: number
  try {
    waiting = (await backend.stats(name)).waiting
  } catch {
    return [['unhealthy', `backend '${backend.name}' of queue '${name}' is out of reach`]]
  }
  const findings: Finding[] = []
  const depth = waiting / capacity
  if (depth >= unhealthy) findings.push(['unhealthy', `queue '${name}' is nearly full: ${waiting} of ${capacity}`])
  else if (depth > degraded) findings.push(['degraded', `queue '${name}' is filling: ${waiting} of ${capacity}`])
  if (waiting > 0 && worker.sinceLastPickUp >= stalledAfter) {
    findings.push(['unhealthy', `queue '${name}' is stalled: jobs wait and none was picked up for ${Math.floor(worker.sinceLastPickUp)} ms`])
  }
  return findings
}

function worst (findings: readonly Finding[]): HealthStatus {
  if (findings.some(([status]) => status === 'unhealthy')) return 'unhealthy'
  return findings.length > 0 ? 'degraded' : 'healthy'
}
