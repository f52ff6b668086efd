import { parse } from 'secure-json-parse'
import type { JobEnvelope, JobInfo } from '../types/job.ts'
import { InvalidPayloadError, PayloadTooLargeError } from './errors.ts'
import { toError } from './serialize-error.ts'

// As JSON.stringify writes them; before the last backslash, pairs are backslashes of the string itself.
const UNSTORABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/

/** A payload as the JSON text that is stored. `owner` says in errors whose it is: "job 'send-email'". */
export function encodePayload (owner: string, payload: unknown, maxBytes: number): string {
  let text: string
  try {
    text = JSON.stringify(payload) ?? 'null'
  } catch (error) {
    throw new InvalidPayloadError(owner, `it is not JSON (${toError(error).message.split('\n')[0]})`, { cause: error })
  }
  if (text.includes('\\u') && UNSTORABLE.test(text)) throw new InvalidPayloadError(owner, 'a string in it has a NUL or half of a surrogate pair, which databases refuse')
  const bytes = Buffer.byteLength(text)
  if (bytes > maxBytes) throw new PayloadTooLargeError(owner, bytes, maxBytes)
  return text
}

/**
 * A payload from the JSON text that was stored. Own `__proto__` keys are left out: copied with `Object.assign` they would
 * give the copy another prototype. Throws FST_JOBS_INVALID_PAYLOAD.
 */
export function decodePayload (owner: string, text: string): unknown {
  try {
    return parse(text, null, { protoAction: 'remove', constructorAction: 'ignore' })
  } catch (error) {
    throw new InvalidPayloadError(owner, `what is stored is not JSON (${toError(error).message.split('\n')[0]})`, { cause: error })
  }
}

export function maxAttempts (envelope: JobEnvelope, definition: { readonly attempts: number }): number {
  return envelope.options?.attempts ?? definition.attempts
}

/** Of the definition that enqueued the job. */
export function versionOf ({ options }: JobEnvelope): number {
  return options?.version ?? 1
}

/** What every log line about a job says of it. Never the payload. */
export function logFields ({ id, name, attempt, correlationId }: Pick<JobInfo, 'id' | 'name' | 'attempt' | 'correlationId'>, queue: string) {
  return { jobId: id, jobName: name, queue, attempt, ...(correlationId !== undefined && { correlationId }) }
}
