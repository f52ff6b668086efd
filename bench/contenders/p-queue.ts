import PQueue from 'p-queue'
import type { Contender, ContenderOptions } from './contender.ts'

export function open ({ concurrency, handler }: ContenderOptions): Contender {
  const queue = new PQueue({ concurrency, autoStart: false })
  return {
    enqueue: (payload) => { queue.add(() => handler(payload)); return undefined },
    room: (limit) => queue.size < limit ? undefined : queue.onSizeLessThan(limit),
    pause: () => queue.pause(),
    resume: () => queue.start(),
    close: () => queue.clear()
  }
}
