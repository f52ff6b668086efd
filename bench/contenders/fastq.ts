import fastq from 'fastq'
import type { Contender, ContenderOptions } from './contender.ts'

export function open ({ concurrency, handler }: ContenderOptions): Contender {
  const queue = fastq.promise(handler, concurrency)
  queue.pause()
  return {
    enqueue: (payload) => { queue.push(payload); return undefined },
    pause: () => queue.pause(),
    resume: () => queue.resume(),
    close: () => queue.kill()
  }
}
