import type { Handler } from '../handlers.ts'

export interface ContenderOptions {
  concurrency: number
  /** Jobs that may wait. */
  capacity: number
  handler: Handler
}

/** One queue under measurement, opened paused. */
export interface Contender {
  /** What the producer awaits before its next job, if anything. */
  enqueue (payload: unknown): Promise<unknown> | undefined
  /** The queue's own bound; without it the producer counts outstanding jobs. */
  room?: (limit: number) => Promise<void> | undefined
  pause (): unknown
  resume (): unknown
  close (): unknown
}

export const PEERS = ['fastq', 'async', 'p-queue', 'platformatic'] as const
export const CONTENDERS = ['ours', ...PEERS] as const
export type ContenderName = typeof CONTENDERS[number]

export async function openContender (name: ContenderName, options: ContenderOptions): Promise<Contender> {
  const { open } = await import(`./${name}.ts`) as { open: (options: ContenderOptions) => Contender | Promise<Contender> }
  return await open(options)
}
