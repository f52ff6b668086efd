import { MemoryStorage, Queue, type Job } from '@platformatic/job-queue'
import type { Contender, ContenderOptions } from './contender.ts'

export function open ({ concurrency, handler }: ContenderOptions): Contender {
  const queue = new Queue<unknown, null>({ storage: new MemoryStorage(), concurrency })
  // a result has to be serialisable: undefined would count as a failure and be retried
  queue.execute(async (job: Job<unknown>) => {
    await handler(job.payload)
    return null
  })
  let id = 0
  return {
    enqueue: (payload) => queue.enqueue(String(id++), payload),
    pause: () => queue.stop(),
    resume: () => queue.start(),
    close: () => queue.stop()
  }
}
