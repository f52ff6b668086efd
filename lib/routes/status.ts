import type { FastifyInstance } from 'fastify'
import type { ScheduleView } from '../../types/schedules.ts'
import type { Runtime } from '../runtime.ts'
import { fromBackend } from './from-backend.ts'
import { pick, sendJson } from './json.ts'
import type { OwnRoutes } from './own-routes.ts'
import { boolean, integer, iso, isoTimes, mapOf, notSupported, object, problem, sendNotFound, text, time, unavailable } from './schemas.ts'

const queueStatus = object({
  capacity: integer, concurrency: integer, paused: boolean, queueDepth: integer, delayed: integer, inFlight: integer, deadLetters: integer
})

// Written out: an answer has the properties in this order.
const scheduleStatus = {
  type: 'object',
  required: ['job', 'queue', 'paused'],
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

const serviceStatus = object({
  state: { type: 'string', enum: ['registered', 'starting', 'running', 'restarting', 'completed', 'failed', 'stopping', 'stopped'] },
  restarts: integer
})

const appStatus = object({
  isRunning: boolean,
  isStopping: boolean,
  isStopped: boolean,
  queueDepth: integer,
  inFlight: integer,
  queues: mapOf(queueStatus),
  schedules: mapOf(scheduleStatus),
  services: mapOf(serviceStatus)
})

const statusSchema = {
  operationId: 'jobsStatus',
  summary: 'Background jobs: the state of queues, schedules and services',
  tags: ['jobs'],
  response: { 200: { description: 'The state of queues, schedules and services', ...appStatus }, 503: unavailable }
}

const job = object({
  id: text,
  name: text,
  queue: text,
  state: { type: 'string', enum: ['waiting', 'delayed', 'active', 'succeeded', 'dead', 'cancelled', 'dropped'] },
  attempt: integer,
  attempts: integer,
  enqueuedAt: time
}, {
  runAt: time,
  startedAt: time,
  finishedAt: time,
  progress: { type: 'number' },
  error: { ...text, description: "The last error's message" },
  correlationId: text
})

const jobSchema = {
  operationId: 'jobsGet',
  summary: 'Background jobs: what has become of a job',
  tags: ['jobs'],
  params: { type: 'object', properties: { id: text }, required: ['id'] },
  response: { 200: { description: 'The job', ...job }, 404: problem('No job of that id is known'), 501: notSupported, 503: unavailable }
}

/** `GET <prefix>/status` and `GET <prefix>/:id`. */
export function statusRoutes (instance: FastifyInstance, runtime: Runtime, prefix: string, own: OwnRoutes): void {
  instance.get(`${prefix}/status`, own.options(statusSchema), async (_request, reply) => {
    const status = await fromBackend(runtime.inspection.status())
    return sendJson(reply, pick(appStatus, { ...status, schedules: mapValues(status.schedules, withIsoTimes) }))
  })

  instance.get<{ Params: { id: string } }>(`${prefix}/:id`, own.options(jobSchema), async (request, reply) => {
    const found = await fromBackend(runtime.inspection.get(request.params.id))
    if (found === undefined) return sendNotFound(reply, `There is no job '${request.params.id}', or it ended too long ago`)
    return sendJson(reply, pick(job, { ...found, ...isoTimes(found), error: found.error?.message }))
  })
}

function withIsoTimes (schedule: ScheduleView) {
  const { nextRun, lastRun, lastSuccess } = schedule
  return { ...schedule, nextRun: iso(nextRun), lastRun: iso(lastRun), lastSuccess: iso(lastSuccess) }
}

function mapValues<Value, Result> (record: Readonly<Record<string, Value>>, change: (value: Value) => Result): Record<string, Result> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}
