import type { RetryAnswer } from '../../../types/backend.ts'
import type { DeadLetter, JobView } from '../../../types/job.ts'
import { KeyTaken } from './bounded-backend.ts'
import { jobId, storedId } from './job-id.ts'
import type { RedisQueue } from './queue.ts'
import { StoredJob } from './record.ts'
import { CANCELLED, run, SCORES_PER_MILLISECOND } from './scripts.ts'
import { answers, type JobStore } from './store.ts'

/** The jobs of one queue, one by one. */
export class Inspector {
  readonly #queue: RedisQueue
  readonly #store: JobStore
  readonly #lease: number

  constructor (queue: RedisQueue, lease: number) {
    this.#queue = queue
    this.#store = queue.store
    this.#lease = lease
  }

  async find (id: string): Promise<JobView | undefined> {
    const stored = storedId(id)
    const { keys } = this.#store.scripts
    const [hash, place, score] = await this.#store.command((client) => run(client, 'jobsFind', [
      this.#key(stored), keys.completed!, keys.failed!, keys.delayed!, keys.prioritized!, keys.active!, keys.wait!
    ], [stored])) as [string[], number?, string?]
    if (place === undefined) return undefined
    const job = new StoredJob(stored, hash)
    const state = ([job.completedAs, 'dead', 'delayed', 'waiting', 'active', 'waiting'] as const)[place]!
    return job.view(this.#store.settings.name, state, state === 'delayed' ? Math.floor(Number(score) / SCORES_PER_MILLISECOND) : undefined)
  }

  async listDead (limit: number): Promise<DeadLetter[]> {
    if (limit === 0) return []
    const ids = await this.#store.command((client) => client.zrange(this.#store.scripts.keys.failed!, 0, limit - 1))
    const hashes = await this.#store.command((client) => {
      const transaction = client.multi()
      for (const id of ids) transaction.hgetall(this.#key(id))
      return answers(transaction)
    })
    return ids.map((id, index) => new StoredJob(id, flattened(hashes[index])))
      .filter(({ exists }) => exists)
      .map((job) => job.deadLetter(this.#store.settings.name))
  }

  async retry (id: string): Promise<RetryAnswer> {
    return this.#store.command(async () => {
      try {
        await this.#store.scripts.retryFinishedJob({ id: storedId(id), opts: {} } as never, 'failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
        return true
      } catch (error) {
        if (error instanceof KeyTaken) return { heldBy: jobId(error.holder) }
        // BullMQ's codes are numbers: there is none, or somebody else was faster.
        if (typeof (error as { code?: unknown }).code === 'number') return false
        throw error
      }
    })
  }

  async remove (id: string): Promise<boolean> {
    const stored = storedId(id)
    const { keys } = this.#store.scripts
    return await this.#store.command((client) => run(client, 'jobsForget', [keys.failed!, this.#key(stored), keys.de!, keys.events!], [stored])) === 1
  }

  /** The job is taken as by a worker and completed: BullMQ does the rest. */
  async cancel (id: string): Promise<boolean> {
    const stored = storedId(id)
    const { scripts, settings: { history } } = this.#store
    const { keys } = scripts
    const token = `cancel:${stored}`
    return this.#store.command(async (client) => {
      const taken = await run(client, 'jobsTakeBack', [keys.prioritized!, keys.delayed!, keys.wait!, keys.active!, this.#key(stored)], [stored, token, this.#lease])
      if (taken !== 1) return false
      await scripts.moveToCompleted({ id: stored, opts: { attempts: 0 } } as never, JSON.parse(CANCELLED), { count: history }, token, false)
      this.#queue.roomMayCome()
      return true
    })
  }

  #key (stored: string): string {
    return this.#store.scripts.toKey(stored)
  }
}

function flattened (hash: unknown): string[] {
  return Object.entries(hash as Record<string, string>).flat()
}
