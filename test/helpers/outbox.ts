import type { Test } from 'tap'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { BackgroundJobsOptions } from '../../lib/index.ts'
import outbox, { type OutboxEvent, type OutboxOptions } from '../../lib/outbox/index.ts'
import type { EventResult, NewEvent, OpenStore, OutboxStats } from '../../lib/outbox/store.ts'
import { until as untilIt, type Wait } from '../conformance/until.ts'
import { buildApp } from './app.ts'

/** An app with an outbox, not ready yet. */
export async function outboxApp (t: Test, options: OutboxOptions, jobs: BackgroundJobsOptions = {}, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = await buildApp(t, jobs, server)
  await app.register(outbox, options)
  return app
}

/** Asks again and again until the answer is not false; for what other processes do. */
export function until<T> (ask: () => T | Promise<T>, wait?: Wait): Promise<Exclude<T, false | null | undefined>> {
  return untilIt(`${ask}`, ask, wait)
}

export function event (id: string, given: Partial<OutboxEvent> = {}): OutboxEvent {
  return { id, type: 'thing.happened', key: '', payload: { secret: 'payload' }, createdAt: 0, attempt: 1, ...given }
}

/** A store that hands out what a test tells it to, and keeps what it is told. */
export class ScriptedStore implements OpenStore {
  /** What the next batches hand out. */
  readonly batches: OutboxEvent[][] = []
  readonly results: EventResult[] = []
  readonly holds: number[] = []
  readonly added: NewEvent[] = []
  /** How many events the next prunings find. */
  readonly prunings: number[] = []
  readonly pruned: { age: number, limit: number }[] = []
  readonly pruneSignals: (AbortSignal | undefined)[] = []
  current: OutboxStats = { pending: 0, parked: 0, oldestSeconds: 0 }
  readonly damaged = new Map<string, Error>()
  isLost = false
  isClosed = false

  readonly open = async (): Promise<this> => this

  add (_tx: unknown, create: () => NewEvent): string {
    const added = create()
    this.added.push(added)
    return added.id
  }

  async batch ({ limit, hold }: { limit: number, hold: number }, work: Parameters<OpenStore['batch']>[1]): Promise<readonly EventResult[]> {
    this.holds.push(hold)
    const store = this
    const events = this.batches.shift() ?? []
    const results = await work(events.slice(0, limit), { damaged: this.damaged, get isLost () { return store.isLost } })
    this.results.push(...results)
    return results
  }

  async prune (age: number, limit: number, signal?: AbortSignal): Promise<number> {
    this.pruned.push({ age, limit })
    this.pruneSignals.push(signal)
    return this.prunings.shift() ?? 0
  }

  async stats (): Promise<OutboxStats> {
    return this.current
  }

  async listParked (): Promise<[]> {
    return []
  }

  async retryParked (): Promise<boolean> {
    return false
  }

  async removeParked (): Promise<boolean> {
    return false
  }

  close (): void {
    this.isClosed = true
  }
}
