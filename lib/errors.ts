import createError, { type FastifyErrorConstructor } from '@fastify/error'

type JobsErrorConstructor = FastifyErrorConstructor<{ code: string, statusCode: number }>

// The annotation keeps @fastify/error's default export out of the declarations: not every module resolution finds it there.
function jobsError (code: string, message: string, statusCode: number): JobsErrorConstructor {
  return createError<string, number>(code, message, statusCode)
}

export const StoppingError = jobsError('FST_JOBS_STOPPING',
  "The app is stopping, job '%s' was not enqueued; try again on another instance", 503)
export const QueueFullError = jobsError('FST_JOBS_QUEUE_FULL',
  "Queue '%s' is full (capacity %s)%s; try again later, raise its capacity or choose another fullMode", 503)
export const BackendUnavailableError = jobsError('FST_JOBS_BACKEND_UNAVAILABLE',
  "Backend '%s' of queue '%s' cannot be reached; see the cause, check its address and that it runs", 503)
export const BackendFailedError = jobsError('FST_JOBS_BACKEND_UNAVAILABLE', "A backend of background jobs does not answer; the server's log has the cause", 503)
export const InvalidPayloadError = jobsError('FST_JOBS_INVALID_PAYLOAD', 'Invalid payload for %s: %s', 400)
export const PayloadTooLargeError = jobsError('FST_JOBS_PAYLOAD_TOO_LARGE',
  'The payload of %s has %s bytes, more than the %s allowed; store the data elsewhere and pass a reference, or raise maxPayloadBytes', 413)
export const UnknownJobError = jobsError('FST_JOBS_UNKNOWN_JOB',
  "There is no job '%s'; define it with fastify.jobs.define() before enqueueing it", 500)
export const DeclaredJobError = jobsError('FST_JOBS_UNKNOWN_JOB',
  "Job '%s' is only declared in this process; work on its queue in the process that defines it (option 'work')", 500)
export const NewerJobError = jobsError('FST_JOBS_UNKNOWN_JOB',
  "Job '%s' has version %s, newer than version %s that this app defines; deploy the newer version of the app, then retry the dead letter", 500)
export const UnknownQueueError = jobsError('FST_JOBS_UNKNOWN_QUEUE', "There is no queue '%s'; the queues are: %s", 500)
export const NotSerializableError = jobsError('FST_JOBS_NOT_SERIALIZABLE',
  "The inline function '%s' cannot be stored by backend '%s' of queue '%s'; define a job instead", 500)
export const NotSupportedError = jobsError('FST_JOBS_NOT_SUPPORTED', "Backend '%s' of queue '%s' does not support %s", 501)
export const InvalidOptionsError = jobsError('FST_JOBS_INVALID_OPTIONS', 'Invalid %s', 500)
export const NobodyWorksError = jobsError('FST_JOBS_INVALID_OPTIONS',
  "Invalid %s: queue '%s' lives in the memory of this process, and option 'work' says that nobody works on it here; give the queue a durable backend, or let this process work on it", 500)
export const RequestAbortedError = jobsError('FST_JOBS_REQUEST_ABORTED',
  'The client went away while its request waited for room in a queue: the job was not enqueued', 499)
export const TimeoutError = jobsError('FST_JOBS_TIMEOUT', "Job '%s' (%s) did not finish within %s ms", 500)
export const CancelledError = jobsError('FST_JOBS_CANCELLED', "Job '%s' (%s) was cancelled", 500)
export const StoppedError = jobsError('FST_JOBS_STOPPING', "The app is stopping, job '%s' (%s) was told to stop", 503)
export const ServiceStoppedError = jobsError('FST_JOBS_STOPPING', "The app is stopping, service '%s' was told to stop", 503)
export const ServiceLateError = jobsError('FST_JOBS_TIMEOUT', "Service '%s' had not stopped when the shutdown's budget ended", 500)
export const LeaseLostError = jobsError('FST_JOBS_LEASE_LOST', "The lease of job '%s' (%s) was lost, another worker may run it", 500)
export const StalledError = jobsError('FST_JOBS_STALLED',
  "Job '%s' (%s) lost the process that ran it %s, more than maxStalls allows; look for what kills or blocks the process, or raise maxStalls", 500)
export const ClosedError = jobsError('FST_JOBS_CLOSED',
  'The app has closed, %s comes too late; call it before the app closes. fastify.jobs.status() still tells about services and schedules', 503)
const UniqueKeyTaken = jobsError('FST_JOBS_UNIQUE_KEY_TAKEN',
  "Dead letter '%s' was not retried: job '%s' has its unique key by now; wait until that job has ended, cancel it, or remove the dead letter", 409)

/** `heldBy`: the id of the job that has the key. */
export class UniqueKeyTakenError extends UniqueKeyTaken {
  readonly heldBy: string

  constructor (id: string, heldBy: string) {
    super(id, heldBy)
    this.heldBy = heldBy
  }
}

export const TickTakenError = jobsError('FST_JOBS_TICK_TAKEN',
  "Schedule %s could not enqueue its job: the id '%s' is that of %s; give that job another id, or the schedule another name", 500)
export const AttemptOverError = jobsError('FST_JOBS_ATTEMPT_OVER',
  "The attempt of job '%s' (%s) is over, its scope is not to be had any more; stop when the signal aborts", 500)
export const OutboxUnavailableError = jobsError('FST_JOBS_BACKEND_UNAVAILABLE',
  "The store of outbox '%s' cannot be used; see the cause, check that its database runs and its table is right", 503)
export const OutboxTimeoutError = jobsError('FST_JOBS_TIMEOUT', "Outbox '%s' did not get event '%s' published within %s ms", 500)
export const OutboxSilentError = jobsError('FST_JOBS_TIMEOUT', "The outbox's database did not answer within %s ms, or its pool had no client for so long", 503)
export const OutboxCollationError = jobsError('FST_JOBS_INVALID_OPTIONS',
  'The column "key" of the outbox\'s table %s has the collation "%s", with which its indexes cannot be used; give it the collation "C" with ALTER TABLE … ALTER COLUMN key TYPE text COLLATE "C"', 500)
export const OutboxIndexError = jobsError('FST_JOBS_INVALID_OPTIONS', 'The table %s lacks an index that the outbox needs: %s', 500)
export const SqliteNotSupportedError = jobsError('FST_JOBS_NOT_SUPPORTED', 'SQLite needs Node.js 22.13 or newer, this is %s; update Node.js or choose another store', 501)
export const SqliteOpeningError = jobsError('FST_JOBS_BACKEND_UNAVAILABLE',
  "The SQLite file '%s' cannot be used (%s); check that its folder exists, that it is writable and that the disk has room", 503)
export const SqliteUnavailableError = jobsError('FST_JOBS_BACKEND_UNAVAILABLE', "Backend 'sqlite' of queue '%s' cannot be used: %s", 503)
export const SqliteSchemaError = jobsError('FST_JOBS_NOT_SUPPORTED',
  "The job tables in the SQLite file '%s' have version %s, this release of fastify-background-jobs knows up to %s; update it", 501)

/** Seconds that a client is told to wait before it tries again. */
export const RETRY_AFTER_SECONDS = 5

/** Gives a 503 the `Retry-After` header that Fastify's error handler sends along. */
export function retryLater<E extends Error> (error: E): E {
  return Object.assign(error, { headers: { 'retry-after': String(RETRY_AFTER_SECONDS) } })
}

export function stoppingError (name: string): Error {
  return retryLater(new StoppingError(name))
}

/** One of this plugin's errors, which says all by itself. */
export function isOwnError (error: unknown): boolean {
  return String((error as { code?: unknown } | null)?.code).startsWith('FST_JOBS_')
}

const NON_RETRYABLE = Symbol.for('fastify-background-jobs.non-retryable')

/** Thrown by a handler, itself or as the `cause` of another error: the job goes straight to the dead letters. */
export class NonRetryableError extends Error {
  override name = 'NonRetryableError'
  // A registered symbol, since `instanceof` fails between two installed copies of the package.
  readonly [NON_RETRYABLE] = true
}

/** Marks an error of our own: another attempt would meet it again. */
export function nonRetryable (error: unknown): unknown {
  return Object.assign(error as Error, { [NON_RETRYABLE]: true })
}

const PAYLOAD_CODES = new Set<unknown>(['FST_JOBS_PAYLOAD_TOO_LARGE', 'FST_JOBS_INVALID_PAYLOAD'])

/** Whether it is an FST_JOBS_STOPPING, itself or as the cause of another error. */
export function isCausedByStopping (thrown: unknown): boolean {
  return someCause(thrown, (error) => (error as { code?: unknown }).code === 'FST_JOBS_STOPPING')
}

/** Whether a payload was refused, by the error itself or by a cause of it: another attempt would meet the same. */
export function isCausedByPayload (thrown: unknown): boolean {
  return someCause(thrown, (error) => PAYLOAD_CODES.has((error as { code?: unknown }).code))
}

export function isNonRetryable (thrown: unknown): boolean {
  return someCause(thrown, (error) => NON_RETRYABLE in error)
}

const MAX_CAUSES = 10

function someCause (thrown: unknown, is: (error: object) => boolean): boolean {
  try {
    for (let depth = 0; depth < MAX_CAUSES && typeof thrown === 'object' && thrown !== null; depth++) {
      if (is(thrown)) return true
      thrown = (thrown as { cause?: unknown }).cause
    }
  } catch {
    // A getter or a proxy of the thrown object failed: nothing marks it.
  }
  return false
}

/** A value for a message: numbers and booleans as they are, of everything else only the kind. */
export function describe (value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : kindOf(value)
}

export function kindOf (value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
