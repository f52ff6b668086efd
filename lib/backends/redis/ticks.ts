import type { RedisQueueBackend } from 'bullmq'
import type { JobEnvelope } from '../../../types/job.ts'
import { storedId } from './job-id.ts'
import { run } from './scripts.ts'

/** Where a queue remembers the latest tick of each schedule: no job has this id. */
const TICKS = 'ticks'

/** A job whose tick the queue remembers. */
export function hasTick ({ options }: JobEnvelope): boolean {
  return options?.tickKey !== undefined
}

/** Keeps the job out, and answers which job it is a duplicate of, when its tick has been enqueued before. */
export function claimTick (transaction: object, scripts: RedisQueueBackend, job: JobEnvelope): void {
  const { uniqueFor = 0 } = job.options!
  run(transaction, 'jobsClaimTick', keysOf(scripts, job), [...tickOf(job), uniqueFor])
}

/** Comes after what adds the job. */
export function rememberTick (transaction: object, scripts: RedisQueueBackend, job: JobEnvelope): void {
  run(transaction, 'jobsRememberTick', keysOf(scripts, job), [...tickOf(job), storedId(job.id)])
}

function keysOf (scripts: RedisQueueBackend, { id }: JobEnvelope): string[] {
  return [scripts.toKey(TICKS), scripts.toKey(storedId(id))]
}

function tickOf ({ options }: JobEnvelope): [key: string, at: number] {
  return [options!.tickKey!, options!.schedule!.at]
}
