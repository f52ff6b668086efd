import type { FastifyInstance } from 'fastify'
import type { ScheduleView } from '../../types/schedules.ts'
import type { Runtime } from '../runtime.ts'
import { fromBackend } from './from-backend.ts'
import { boolean, integer, iso, isoTimes, problem, sendNotFound, text, time } from './schemas.ts'
import { validatorCompiler } from './validator.ts'

const queueStatus = {
  type: 'object',
  properties: {
    capacity: integer, concurrency: integer, paused: boolean, queueDepth: integer, delayed: integer, inFlight: integer, deadLetters: integer
  }
}

const scheduleStatus = {
  type: 'object',
  properties: {
    job: text,
    queue: text,
    every: integer,
    cron: text,
    timezone: text,
    paused: boolean,
    nextRun: time,
    lastRun: { ...time, description: 'The last tick that was enqueued' },
    lastJobId: text,
    lastSuccess: time
  }
}

const serviceStatus = {
  type: 'object',
  properties: {
    state: { type: 'string', enum: ['registered', 'starting', 'running', 'restarting', 'completed', 'failed', 'stopping', 'stopped'] },
    restarts: integer
  }
}

const statusSchema = {
  summary: 'Background jobs: the state of queues, schedules and services',
  tags: ['jobs'],
  response: {
    200: {
      description: 'The state of queues, schedules and services',
      type: 'object',
      properties: {
        isRunning: boolean,
        isStopping: boolean,
        isStopped: boolean,
        queueDepth: integer,
        inFlight: integer,
        queues: { type: 'object', additionalProperties: queueStatus },
        schedules: { type: 'object', additionalProperties: scheduleStatus },
        services: { type: 'object', additionalProperties: serviceStatus }
      }
    }
  }
}

const jobSchema = {
  summary: 'Background jobs: what has become of a job',
  tags: ['jobs'],
  params: { type: 'object', properties: { id: text }, required: ['id'] },
  response: {
    200: {
      description: 'The job',
      type: 'object',
      properties: {
        id: text,
        name: text,
        queue: text,
        state: { type: 'string', enum: ['waiting', 'delayed', 'active', 'succeeded', 'dead', 'cancelled', 'dropped'] },
        attempt: integer,
        attempts: integer,
        enqueuedAt: time,
        runAt: time,
        startedAt: time,
        finishedAt: time,
        progress: { type: 'number' },
        error: { ...text, description: "The last error's message" },
        correlationId: text
      }
    },
    404: problem('No job of that id is known')
  }
}

/** `GET <prefix>/status` and `GET <prefix>/:id`. */
export function statusRoutes (instance: FastifyInstance, runtime: Runtime, prefix: string): void {
  instance.get(`${prefix}/status`, { schema: statusSchema }, async () => {
    const status = await fromBackend(runtime.inspection.status())
    return { ...status, schedules: mapValues(status.schedules, withIsoTimes) }
  })

  instance.get<{ Params: { id: string } }>(`${prefix}/:id`, { schema: jobSchema, validatorCompiler }, async (request, reply) => {
    const job = await fromBackend(runtime.inspection.get(request.params.id))
    if (job === undefined) return sendNotFound(reply, `There is no job '${request.params.id}', or it ended too long ago`)
    return { ...job, ...isoTimes(job), error: job.error?.message }
  })
}

function withIsoTimes (schedule: ScheduleView) {
  const { nextRun, lastRun, lastSuccess } = schedule
  return { ...schedule, nextRun: iso(nextRun), lastRun: iso(lastRun), lastSuccess: iso(lastSuccess) }
}

function mapValues<Value, Result> (record: Readonly<Record<string, Value>>, change: (value: Value) => Result): Record<string, Result> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
