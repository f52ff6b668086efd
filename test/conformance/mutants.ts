import type { Deliver, Delivery, EnqueueResult, JobEnvelope, Outcome } from '../../lib/backends/index.ts'
import type { Change } from '../helpers/durable-memory.ts'
import { consuming, settling, storing, withoutOption, withSettings } from '../helpers/mutations.ts'

/** A backend with one fault, and the case that has to find it. */
export interface Mutant {
  readonly fault: string
  readonly foundBy: string
  readonly change: Change
}

let count = 0

/** The store's clock is wrong by so many milliseconds. */
function atClock (skew: number): Change {
  return ({ open }) => ({ open: (context) => open({ ...context, clock: { ...context.clock, now: () => context.clock.now() + skew } }) })
}

/** Ticks are remembered before their jobs are admitted, for all queues together. */
function rememberingTicksBefore (): Change {
  return ({ enqueue }) => {
    const seen = new Map<string, string>()
    return {
      async enqueue (queue, jobs, options) {
        const [{ id, options: { tickKey, schedule } = {} }] = jobs as [JobEnvelope]
        const tick = `${tickKey} ${schedule?.at}`
        const duplicate: EnqueueResult = { id: seen.get(tick)!, status: 'duplicate' }
        if (seen.has(tick)) return [duplicate]
        if (tickKey !== undefined) seen.set(tick, id)
        return enqueue(queue, jobs, options)
      }
    }
  }
}

export const mutants: readonly Mutant[] = [
  {
    fault: 'the last job comes first',
    foundBy: 'a backlog runs in the order of its enqueues, those that were not awaited included',
    change: storing((job) => ({ ...job, options: { ...job.options, priority: count++ } }))
  },
  {
    fault: 'one job too many runs at once',
    foundBy: 'exactly so many jobs run at once as the concurrency says',
    change: ({ consume }) => ({ consume: (queue, { concurrency }, deliver) => consume(queue, { concurrency: concurrency + 1 }, deliver) })
  },
  {
    fault: 'one job too few runs at once',
    foundBy: 'exactly so many jobs run at once as the concurrency says',
    change: ({ consume }) => ({ consume: (queue, { concurrency }, deliver) => consume(queue, { concurrency: concurrency - 1 }, deliver) })
  },
  {
    fault: 'every tenth job is lost',
    foundBy: 'many jobs are enqueued at once, into several queues, and each runs once',
    change: ({ enqueue }) => ({
      async enqueue (queue, jobs, options) {
        await enqueue(queue, jobs.filter((_job, index) => index % 10 !== 0), options)
        return jobs.map(({ id }) => ({ id, status: 'enqueued' }))
      }
    })
  },
  {
    fault: 'every job runs twice',
    foundBy: 'a job that was enqueued runs once, with its payload',
    change: ({ enqueue }) => ({
      async enqueue (queue, jobs, options) {
        await enqueue(queue, jobs.map((job) => ({ ...job, id: `2${job.id.slice(1)}` })), options)
        return enqueue(queue, jobs, options)
      }
    })
  },
  {
    fault: 'a release uses up the attempt',
    foundBy: 'attempt 1 of 1, cut off by a shutdown, is made again by the next app',
    change: settling((outcome, envelope) => {
      if (outcome.type === 'released') envelope.attempt++
      return outcome
    })
  },
  {
    fault: 'a released job is forgotten',
    foundBy: 'attempt 2 of 3, cut off by a shutdown, is made again by the next app',
    change: settling((outcome) => outcome.type === 'released' ? { type: 'succeeded' } : outcome)
  },
  {
    fault: 'a unique key is never released',
    foundBy: 'a unique key is taken while its job waits and runs, and free when it has ended',
    change: storing((job) => ({ ...job, options: { ...job.options, uniqueFor: 3_600_000 } }))
  },
  {
    fault: 'a unique key is not looked at',
    foundBy: '200 concurrent enqueues of one key are one job',
    change: withoutOption('uniqueKey')
  },
  {
    fault: 'uniqueFor is not looked at',
    foundBy: 'with uniqueFor the key stays taken for so long after the end',
    change: withoutOption('uniqueFor')
  },
  {
    fault: 'a given id is not looked for',
    foundBy: '100 concurrent enqueues of one id are one job',
    change: storing((job) => ({ ...job, id: `${count++}`, options: { ...job.options, givenId: undefined } }))
  },
  {
    fault: 'one job more than the capacity is taken',
    foundBy: "full, 'reject': an enqueue is refused at once with FST_JOBS_QUEUE_FULL, 503 and Retry-After",
    change: withSettings((settings) => ({ ...settings, capacity: settings.capacity + 1 }))
  },
  {
    fault: 'some of many jobs are taken where there is no room for all',
    foundBy: "full, 'reject': many jobs at once are taken all or none",
    change: ({ enqueue }) => ({
      async enqueue (queue, jobs, options) {
        const results = []
        for (const job of jobs) results.push(...await enqueue(queue, [job], options))
        return results
      }
    })
  },
  {
    fault: 'nobody is told of a dropped job',
    foundBy: "full, 'dropOldest': the job that has waited longest is dropped, and onDrop is told once",
    change: ({ open }) => ({ open: (context) => open({ ...context, onDrop () {} }) })
  },
  {
    fault: 'the newest job is dropped in place of the oldest one',
    foundBy: "full, 'dropOldest': the job that has waited longest is dropped, and onDrop is told once",
    change: withSettings((settings) => ({ ...settings, fullMode: 'dropNewest' }))
  },
  {
    fault: 'the signal of a waiting enqueue is not listened to',
    foundBy: "full, 'wait': the signal ends the wait, and the job is never run",
    change: ({ enqueue }) => ({ enqueue: (queue, jobs) => enqueue(queue, jobs, {}) })
  },
  {
    fault: 'enqueueTimeout is not looked at',
    foundBy: "full, 'wait': enqueueTimeout ends the wait with FST_JOBS_QUEUE_FULL, not before its time",
    change: withSettings((settings) => ({ ...settings, enqueueTimeout: undefined }))
  },
  {
    fault: 'stopping does not end the wait for room',
    foundBy: "full, 'wait': stopping ends the wait with FST_JOBS_STOPPING",
    change: ({ open }) => ({ open: (context) => open({ ...context, stopping: new AbortController().signal }) })
  },
  {
    fault: 'a payload is handed over as it is',
    foundBy: 'what is done to a payload after its enqueue does not reach the handler',
    change: ({ consume, enqueue }) => {
      const payloads = new Map<string, unknown>()
      return {
        enqueue (queue, jobs, options) {
          for (const { id, payload } of jobs) payloads.set(id, payload)
          return enqueue(queue, jobs, options)
        },
        consume: (queue, options, deliver) => consume(queue, options, ((delivery: Delivery, settle: never) => {
          delivery.envelope.payload = payloads.get(delivery.envelope.id)
          return deliver(delivery, settle)
        }) as Deliver)
      }
    }
  },
  {
    fault: 'a delay is not looked at',
    foundBy: 'a delayed job does not begin before its time, and holds up nobody',
    change: withoutOption('runAt')
  },
  {
    fault: 'delayed jobs of one due time run in any order',
    foundBy: 'delayed jobs run in the order of their due times, those of one due time in the order of their enqueues',
    change: storing((job) => job.options?.runAt === undefined ? job : { ...job, options: { ...job.options, runAt: job.options.runAt - (count++ % 7) * 1e-4 } })
  },
  {
    fault: 'a priority is not looked at',
    foundBy: 'jobs of higher priority run first, those of one priority in the order of their enqueues',
    change: withoutOption('priority')
  },
  {
    fault: 'a retry comes at once',
    foundBy: 'an attempt does not begin before the backoff of the one before has passed',
    change: settling((outcome) => outcome.type === 'retry' ? { ...outcome, runAt: 0 } : outcome)
  },
  {
    fault: 'the attempts are not counted',
    foundBy: 'a failed attempt is followed by the next one, until it succeeds',
    change: settling((outcome, envelope) => {
      if (outcome.type === 'retry') envelope.attempt--
      return outcome
    })
  },
  {
    fault: 'a dead letter that is retried keeps its count of attempts',
    foundBy: 'a dead letter that is retried runs again from its first attempt, with all its attempts',
    change: ({ enqueue, retry }) => {
      const envelopes = new Map<string, JobEnvelope>()
      return {
        enqueue (queue, jobs, options) {
          for (const job of jobs) envelopes.set(job.id, job)
          return enqueue(queue, jobs, options)
        },
        async retry (id) {
          const { attempt } = envelopes.get(id)!
          const retried = await retry!(id)
          envelopes.get(id)!.attempt = attempt
          return retried
        }
      }
    }
  },
  {
    fault: 'a job that is handed back with a delay comes at once',
    foundBy: 'a job that this instance does not know is handed back with a delay, and uses up no attempt',
    change: settling((outcome) => outcome.type === 'released' ? { type: 'released' } : outcome)
  },
  {
    fault: 'a job that is handed back has used up an attempt',
    foundBy: 'a job that this instance does not know is handed back with a delay, and uses up no attempt',
    change: settling((outcome) => outcome.type === 'released' && outcome.runAt !== undefined ? { type: 'retry', runAt: outcome.runAt, error: { name: 'Error', message: '' } } : outcome)
  },
  {
    fault: 'a job that is handed back begins to wait anew',
    foundBy: 'a job that is handed back again and again is a dead letter after giveUpAfter, not before',
    change: ({ consume }) => ({
      consume (queue, options, deliver) {
        const forgetful = (delivery: Delivery, settle: (delivery: Delivery, outcome: Outcome) => void): void =>
          deliver({ envelope: delivery.envelope, dueAt: Date.now() }, (_copy, outcome) => settle(delivery, outcome))
        return consume(queue, options, forgetful as Deliver)
      }
    })
  },
  {
    fault: 'the newest dead letters are listed, not the oldest ones',
    foundBy: 'dead letters are listed the oldest first, so many as are asked for, of the queue that is asked for',
    change: ({ listDead }) => ({
      listDead: async (queue, { limit }) => [...await listDead!(queue, { limit: 1000 })].reverse().slice(0, limit)
    })
  },
  {
    fault: 'a dead letter is not removed',
    foundBy: 'a dead letter that is removed is forgotten',
    change: () => ({ remove: () => true })
  },
  {
    fault: 'dead letters pile up',
    foundBy: 'so many dead letters are kept as the queue says, and the oldest one goes first',
    change: withSettings((settings) => ({ ...settings, deadLetters: 1000 }))
  },
  {
    fault: 'finished jobs pile up',
    foundBy: 'so many finished jobs are remembered as the queue says',
    change: withSettings((settings) => ({ ...settings, history: 1000 }))
  },
  {
    fault: 'a paused consumer goes on',
    foundBy: 'a paused queue begins no job, goes on with those that run, and continues when it is resumed',
    change: consuming(() => ({ pause () {} }))
  },
  {
    fault: 'a consumer is said to have stopped while its jobs run',
    foundBy: 'close waits for the jobs that run, and takes no other',
    change: consuming(({ stop }) => ({ async stop () { stop() } }))
  },
  {
    fault: 'a job that was cancelled runs',
    foundBy: 'a job that waits or is delayed can be cancelled, and is not run',
    change: () => ({ cancel: () => true })
  },
  {
    fault: 'the size of a payload is counted in characters',
    foundBy: 'the size of a payload is counted in UTF-8 bytes',
    change: withSettings((settings) => ({ ...settings, maxPayloadBytes: settings.maxPayloadBytes * 3 }))
  },
  {
    fault: 'what waits is not counted',
    foundBy: 'the status counts what waits, is delayed, runs and is dead',
    change: ({ stats }) => ({ stats: async (queue) => ({ ...await stats(queue), waiting: 0 }) })
  },
  {
    fault: 'a tick is not remembered',
    foundBy: 'a tick is not enqueued again when its job and its unique key are forgotten',
    change: withoutOption('tickKey')
  },
  {
    fault: 'a tick is not remembered, so that the next deployment enqueues it again',
    foundBy: 'deployments of a schedule with immediate run its latest tick once, though its job and its unique key are gone',
    change: withoutOption('tickKey')
  },
  {
    fault: 'ticks are forgotten with the app',
    foundBy: 'the next app on the store remembers the tick, too',
    change: (() => {
      let connections = 0
      return (backend) => {
        const connection = ++connections
        return storing((job) => ({ ...job, options: { ...job.options, tickKey: `${connection} ${job.options?.tickKey}` } }))(backend)
      }
    })()
  },
  {
    fault: 'ticks long before the last one are enqueued',
    foundBy: 'a tick that is earlier than the last one by more than uniqueFor is a duplicate of that one; within uniqueFor its unique key decides',
    change: storing((job) => ({ ...job, options: { ...job.options, uniqueFor: 1e12 } }))
  },
  {
    fault: 'no tick before the last one is enqueued',
    foundBy: 'a tick that is earlier than the last one by more than uniqueFor is a duplicate of that one; within uniqueFor its unique key decides',
    change: withoutOption('uniqueFor')
  },
  {
    fault: 'the first tick is remembered for ever',
    foundBy: 'a later tick is enqueued, and is the last one from then on',
    change: ({ enqueue }) => {
      const first = new Set<unknown>()
      return {
        enqueue (queue, jobs, options) {
          const tickKey = jobs[0]!.options?.tickKey
          if (!first.has(tickKey)) {
            first.add(tickKey)
            return enqueue(queue, jobs, options)
          }
          return enqueue(queue, jobs.map((job) => ({ ...job, options: { ...job.options, tickKey: undefined } })), options)
        }
      }
    }
  },
  {
    fault: 'a tick in the far future is trusted',
    foundBy: 'a last tick that is more than a minute in the future does not count, and is replaced',
    change: atClock(7_200_000)
  },
  {
    fault: 'no tick in the future is trusted',
    foundBy: 'a last tick that is less than a minute in the future counts',
    change: atClock(-60_000)
  },
  {
    fault: 'of jobs that are enqueued at once, each is a new tick',
    foundBy: 'a tick of which many jobs are enqueued at the same time is one job',
    change: ({ enqueue }) => ({
      enqueue: (queue, jobs, options) => enqueue(queue, jobs.map((job, index) => index === 0 ? job : { ...job, options: { ...job.options, tickKey: `${index}` } }), options)
    })
  },
  {
    fault: 'schedules share their ticks',
    foundBy: 'the ticks of two schedules, and those of two queues, do not meet',
    change: storing((job) => ({ ...job, options: { ...job.options, tickKey: 'one' } }))
  },
  {
    fault: 'queues share their ticks',
    foundBy: 'the ticks of two schedules, and those of two queues, do not meet',
    change: rememberingTicksBefore()
  },
  {
    fault: 'a tick that found no room is remembered',
    foundBy: 'a tick that found no room is not remembered, and one that is a duplicate needs none',
    change: rememberingTicksBefore()
  },
  {
    fault: 'schedules of the same name have the same ids',
    foundBy: 'two services run schedules of the same name, with other jobs or in other queues',
    change: storing((job) => ({ ...job, id: job.id.replace(/\.\w+$/, '') }))
  },
  {
    fault: 'a second app is taken',
    foundBy: 'a second app on the same backend object is refused, and the first one goes on',
    change: ({ open }) => ({ open: (context) => open(context).catch(() => {}) })
  }
]
