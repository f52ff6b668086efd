import { queue as createQueue } from 'async'
import type { Contender, ContenderOptions } from './contender.ts'

export function open ({ concurrency, handler }: ContenderOptions): Contender {
  const queue = createQueue(async (payload: unknown) => await handler(payload), concurrency)
  queue.pause()
  return {
    enqueue: (payload) => { queue.push(payload); return undefined },
    pause: () => queue.pause(),
    resume: () => queue.resume(),
    close: () => queue.kill()
  }
}
