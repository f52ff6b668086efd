import type { JobEnvelope, JobInfo } from '../types/job.ts'
import { InvalidPayloadError, PayloadTooLargeError, toError } from './errors.ts'

/** A payload as the JSON text that is stored. `owner` says in errors whose it is: "job 'send-email'". */
export function encodePayload (owner: string, payload: unknown, maxBytes: number): string {
  let text: string
  try {
    text = JSON.stringify(payload) ?? 'null'
  } catch (error) {
    throw new InvalidPayloadError(owner, `it is not JSON (${toError(error).message.split('\n')[0]})`, { cause: error })
  }
  const bytes = Buffer.byteLength(text)
  if (bytes > maxBytes) throw new PayloadTooLargeError(owner, bytes, maxBytes)
  return text
}

export function maxAttempts (envelope: JobEnvelope, definition: { readonly attempts: number }): number {
  return envelope.options?.attempts ?? definition.attempts
}

/** What every log line about a job says of it. Never the payload. */
export function logFields ({ id, name, attempt, correlationId }: Pick<JobInfo, 'id' | 'name' | 'attempt' | 'correlationId'>, queue: string) {
  return { jobId: id, jobName: name, queue, attempt, ...(correlationId !== undefined && { correlationId }) }
}
