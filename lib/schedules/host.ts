import type { EnqueuedJob } from '../../types/jobs.ts'
import type { JobView } from '../../types/job.ts'
import type { EnqueueOptions } from '../../types/options.ts'
import type { TickToEnqueue } from '../enqueuer.ts'
import { TickTakenError } from '../errors.ts'
import { logError } from '../log-error.ts'
import type { Queue } from '../queue.ts'
import type { Runtime } from '../runtime.ts'
import type { ScheduleHost } from './schedule.ts'
import type { TickNames } from './tick-names.ts'

/** What a tick enqueues. */
export interface Target {
  /** The name of the job. */
  readonly job: string
  readonly queue: Queue
  enqueue (options: EnqueueOptions, tick: TickToEnqueue): Promise<EnqueuedJob>
}

/** How the schedule of that name acts on its app. */
export function createHost (runtime: Runtime, name: string, { job, queue, enqueue }: Target, names: TickNames): ScheduleHost {
  const log = runtime.log.child({ schedule: name })
  const isOwn = (found: JobView): boolean => found.name === job && found.queue === queue.name
  return {
    enqueue,
    shared: queue.backend.capabilities.durable,
    async isUnfinished (id) {
      const found = await queue.backend.find!(id)
      return found !== undefined && isOwn(found) && (found.state === 'waiting' || found.state === 'delayed' || found.state === 'active')
    },
    async assertOwn (id) {
      const found = await queue.backend.find?.(id)
      // The backend may have forgotten the job, or may be unable to look for it.
      if (found === undefined ? names.tickOf(id) !== undefined : isOwn(found)) return
      const other = found === undefined ? 'another job' : `job '${found.name}' (queue '${found.queue}')`
      throw new TickTakenError(`'${name}' (job '${job}', queue '${queue.name}')`, id, other)
    },
    onHandled: runtime.scheduler.wakeFor,
    onMissed: (missed) => log.warn({ missed }, 'ticks passed by while the process slept or its clock was set'),
    onFailed: (error, tick) => logError(log, 'error', error, { tick }, 'a tick could not be enqueued, it is tried again')
  }
}
