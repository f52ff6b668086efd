import type { QueueOptions, ScheduleOptions, ScheduleRule, ShutdownOptions } from '../../../lib/index.ts'

/**
 * The app of a process. Its jobs are 'record', 'hold' (until released, or told to stop), 'insist' (until released, whatever it
 * is told), 'fail' (`{ times }`) and 'die' (`{ times }`: kills its process after its work, before anybody knows),
 * 'freeze' (the first attempt stops its process, and returns as soon as that is continued; others hold).
 */
export interface ProcessSettings {
  /** The store. */
  readonly space: string
  /** Path of the ledger that its jobs write. */
  readonly ledger: string
  /** Of the queue 'default'. */
  readonly queue?: Omit<QueueOptions, 'backend'>
  /** False: it only enqueues. Default true. */
  readonly works?: boolean
  /** Of every job. Default 3. */
  readonly attempts?: number
  /** Milliseconds between attempts. Default 20. */
  readonly backoff?: number
  readonly maxStalls?: number
  /** Milliseconds that every job takes at least. Default 0. */
  readonly takes?: number
  readonly shutdown?: ShutdownOptions
  /** Enqueues 'record' by that rule. */
  readonly schedule?: ScheduleOptions & { readonly rule: ScheduleRule }
}
