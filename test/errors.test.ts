import t from 'tap'
import * as errors from '../lib/errors.ts'
import { buildApp } from './helpers/app.ts'

t.test('every error has the code and the status that the design promises', async (t) => {
  const promised: [new (...args: never[]) => Error & { statusCode?: number }, string, number][] = [
    [errors.StoppingError, 'FST_JOBS_STOPPING', 503],
    [errors.QueueFullError, 'FST_JOBS_QUEUE_FULL', 503],
    [errors.BackendUnavailableError, 'FST_JOBS_BACKEND_UNAVAILABLE', 503],
    [errors.InvalidPayloadError, 'FST_JOBS_INVALID_PAYLOAD', 400],
    [errors.PayloadTooLargeError, 'FST_JOBS_PAYLOAD_TOO_LARGE', 413],
    [errors.UnknownJobError, 'FST_JOBS_UNKNOWN_JOB', 500],
    [errors.UnknownQueueError, 'FST_JOBS_UNKNOWN_QUEUE', 500],
    [errors.NotSerializableError, 'FST_JOBS_NOT_SERIALIZABLE', 500],
    [errors.NotSupportedError, 'FST_JOBS_NOT_SUPPORTED', 501],
    [errors.InvalidOptionsError, 'FST_JOBS_INVALID_OPTIONS', 500],
    [errors.TimeoutError, 'FST_JOBS_TIMEOUT', 500]
  ]
  for (const [Made, code, statusCode] of promised) t.match(new Made(), { code, statusCode })
})

t.test('a message tells the kind of a wrong value, and of numbers and booleans the value', async (t) => {
  const app = await buildApp(t)
  const kinds: [unknown, RegExp][] = [[null, /got null/], [[1, 'secret'], /got array/], ['secret', /got string/], [{ secret: 1 }, /got object/], [-1, /got -1/], [true, /got true/]]
  for (const [attempts, message] of kinds) {
    t.throws(() => app.jobs.define('any', { attempts } as never, () => {}), { code: 'FST_JOBS_INVALID_OPTIONS', message })
  }
})

t.test('a cause that goes in circles is not followed forever', async (t) => {
  const error = new Error('a')
  error.cause = new Error('b', { cause: error })
  t.equal(errors.isNonRetryable(error), false)
})
