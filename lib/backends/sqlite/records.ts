import type { DeadLetter, EnvelopeOptions, JobEnvelope, JobState, JobView, SerializedError } from '../../../types/job.ts'
import { decodePayload } from '../../envelope.ts'
import { toError } from '../../serialize-error.ts'
import { ACTIVE, DELAYED, WAITING } from './schema.ts'

/** What a delivery needs of a stored job. */
export interface DeliveryRow {
  readonly seq: number
  readonly id: string
  readonly name: string
  readonly payload: string
  readonly attempt: number
  readonly enqueued_at: number
  readonly correlation_id: string | null
  readonly options: string | null
  readonly unique_key: string | null
  readonly unique_for: number | null
  readonly run_at: number | null
  readonly stalls: number
  /** 1 when it has lost its process since it was claimed last. */
  readonly stalled: number
}

/** A stored job. */
export interface JobRow extends DeliveryRow {
  readonly queue: number
  readonly place: number
  readonly position: number
  readonly rank: number
  readonly started: number
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly ended_as: JobState | null
  readonly progress: number | null
  readonly error: string | null
}

export interface Decoded {
  readonly envelope: JobEnvelope
  /** Why the record cannot be read. */
  readonly problem: Error | undefined
}

/** Integers beyond these can be stored, but reading them throws: every transaction that came by one would fail. */
export function storableTime (time: number): number {
  return Math.min(time, Number.MAX_SAFE_INTEGER)
}

export function decode (row: DeliveryRow): Decoded {
  let payload: unknown
  let options: EnvelopeOptions | undefined
  let problem: Error | undefined
  try {
    payload = decodePayload(`job '${row.name}'`, row.payload)
    options = optionsOf(row)
  } catch (error) {
    problem = toError(error)
  }
  return {
    envelope: {
      id: row.id,
      name: row.name,
      payload,
      attempt: row.attempt,
      enqueuedAt: row.enqueued_at,
      correlationId: row.correlation_id ?? undefined,
      options
    },
    problem
  }
}

/** Throws FST_JOBS_INVALID_PAYLOAD. */
function optionsOf ({ name, options }: Pick<DeliveryRow, 'name' | 'options'>): EnvelopeOptions | undefined {
  return options === null ? undefined : decodePayload(`the options of job '${name}'`, options) as EnvelopeOptions
}

/** For what a record that cannot be read can do without. */
function readableOptions (row: Pick<DeliveryRow, 'name' | 'options'>): EnvelopeOptions | undefined {
  try {
    return optionsOf(row)
  } catch {
    return undefined
  }
}

/** When the attempt fell due. */
export function dueAt (row: Pick<DeliveryRow, 'name' | 'options' | 'run_at' | 'enqueued_at'>): number {
  return row.run_at ?? readableOptions(row)?.runAt ?? row.enqueued_at
}

export function viewOf (row: JobRow, queue: string): JobView {
  return {
    id: row.id,
    name: row.name,
    queue,
    state: stateOf(row),
    attempt: row.started,
    attempts: readableOptions(row)?.attempts,
    enqueuedAt: row.enqueued_at,
    runAt: runAtOf(row),
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    progress: row.progress ?? undefined,
    error: row.error === null ? undefined : JSON.parse(row.error) as SerializedError,
    correlationId: row.correlation_id ?? undefined
  }
}

export function deadLetterOf (row: JobRow, queue: string): DeadLetter {
  const { envelope, problem } = decode(row)
  // A person looks at it: what cannot be read is shown as it is stored.
  return { ...viewOf(row, queue), payload: problem === undefined ? envelope.payload : row.payload }
}

/** When a job that does not run yet falls due, or fell due. */
function runAtOf ({ place, position, run_at: runAt }: JobRow): number | undefined {
  if (place === DELAYED) return position
  return place === WAITING ? runAt ?? undefined : undefined
}

function stateOf ({ place, ended_as: endedAs }: JobRow): JobState {
  switch (place) {
    case WAITING: return 'waiting'
    case DELAYED: return 'delayed'
    case ACTIVE: return 'active'
    default: return endedAs!
  }
}
