import type { Backend } from '../types/backend.ts'
import type { DeadLetter, JobView } from '../types/job.ts'
import type { JobsStatus, QueueStatus } from '../types/jobs.ts'
import { NotSupportedError, stoppingError, UniqueKeyTakenError } from './errors.ts'
import type { Queue } from './queue.ts'
import type { Runtime } from './runtime.ts'

type Inspectable = Backend & Required<Pick<Backend, 'find' | 'listDead' | 'retry' | 'remove' | 'cancel'>>

/** Questions about jobs and queues, put to every backend of the app. */
export class Inspection {
  readonly #runtime: Runtime

  constructor (runtime: Runtime) {
    this.#runtime = runtime
  }

  async status (): Promise<JobsStatus> {
    const { lifecycle, queues, scheduler, services } = this.#runtime
    // The backends are closed in the end.
    const rows = await Promise.all((lifecycle.state === 'stopped' ? [] : queues).map(async (queue) => [queue.name, await queueStatus(queue)] as const))
    return {
      isRunning: lifecycle.state === 'running',
      isStopping: lifecycle.state === 'stopping',
      isStopped: lifecycle.state === 'stopped',
      queueDepth: sum(rows, ({ queueDepth }) => queueDepth),
      inFlight: sum(rows, ({ inFlight }) => inFlight),
      queues: Object.fromEntries(rows),
      schedules: Object.fromEntries(scheduler.list().map((schedule) => [schedule.name, schedule])),
      services: services.status()
    }
  }

  async get (id: string): Promise<JobView | undefined> {
    this.#runtime.lifecycle.assertNotStopped(`get('${id}')`)
    const view = await this.#first((backend) => backend.find(id))
    if (view === undefined) return undefined
    const definition = this.#runtime.definitionOf(view.name, view.queue)
    // Only the process with the handler knows how often a declared job is tried.
    return { ...view, attempts: view.attempts ?? (definition.isDeclared ? undefined : definition.attempts) }
  }

  async cancel (id: string): Promise<boolean> {
    this.#runtime.lifecycle.assertNotStopped(`cancel('${id}')`)
    if (this.#interrupt(id)) return true
    const cancelled = await this.#first(async (backend) => await backend.cancel(id) || undefined) === true
    if (cancelled) this.#runtime.idle.check()
    // It may have begun to run here while the backend was asked.
    return cancelled || this.#interrupt(id)
  }

  async listDead ({ queue, limit = 100 }: { queue?: string, limit?: number } = {}): Promise<DeadLetter[]> {
    this.#runtime.lifecycle.assertNotStopped('deadLetters.list()')
    const lists = await Promise.all(this.#runtime.queuesNamed(queue).map((one) => inspectable(one).listDead(one.name, { limit })))
    return lists.flat().sort((a, b) => a.finishedAt! - b.finishedAt!).slice(0, limit)
  }

  async retry (id: string): Promise<boolean> {
    this.#runtime.lifecycle.assertNotStopped(`deadLetters.retry('${id}')`)
    if (!this.#runtime.lifecycle.accepts) throw stoppingError(id)
    const answer = await this.#first(async (backend) => await backend.retry(id) || undefined)
    if (typeof answer === 'object') throw new UniqueKeyTakenError(id, answer.heldBy)
    return answer === true
  }

  async remove (id: string): Promise<boolean> {
    this.#runtime.lifecycle.assertNotStopped(`deadLetters.remove('${id}')`)
    return await this.#first(async (backend) => await backend.remove(id) || undefined) === true
  }

  /** Cancels a job that runs in this process. */
  #interrupt (id: string): boolean {
    return this.#runtime.queues.some(({ worker }) => worker.cancel(id))
  }

  async #first<T> (ask: (backend: Inspectable) => T | Promise<T>): Promise<T | undefined> {
    const queues = this.#runtime.oneQueueABackend()
    const open = queues.filter(({ backend }) => backend.capabilities.inspect)
    const failures: unknown[] = []
    for (const queue of open.length > 0 ? open : queues) {
      try {
        const answer = await ask(inspectable(queue))
        if (answer !== undefined) return answer
      } catch (error) {
        failures.push(error)
      }
    }
    // One that is out of reach does not hide the jobs of the others, but it may hold the one that nobody else knows.
    if (failures.length > 0) throw failures[0]
    return undefined
  }
}

function inspectable ({ backend, name }: Queue): Inspectable {
  if (!backend.capabilities.inspect) throw new NotSupportedError(backend.name, name, 'looking at jobs')
  return backend as Inspectable
}

async function queueStatus ({ name, settings, backend, concurrency, worker }: Queue): Promise<QueueStatus> {
  const { waiting, delayed, dead, paused = false } = await backend.stats(name)
  return {
    capacity: settings.capacity,
    concurrency,
    paused: worker.paused || paused,
    queueDepth: waiting,
    delayed,
    inFlight: worker.inFlight,
    deadLetters: dead
  }
}

function sum (rows: readonly (readonly [string, QueueStatus])[], value: (status: QueueStatus) => number): number {
  return rows.reduce((total, [, status]) => total + value(status), 0)
}
