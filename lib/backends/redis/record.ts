import type { JobsOptions } from 'bullmq'
import type { DeadLetter, EnvelopeOptions, JobEnvelope, JobState, JobView, SerializedError } from '../../../types/job.ts'
import { decodePayload } from '../../envelope.ts'
import { InvalidPayloadError } from '../../errors.ts'
import { toError } from '../../serialize-error.ts'
import { jobId } from './job-id.ts'
import { CANCELLED } from './scripts.ts'

/** BullMQ serves low priorities first. Plain jobs have none, and are where this one would be. */
export const PRIORITY_OF_NONE = 1001

/** The field of a job's hash that says which of its starts (BullMQ counts them in `ats`) lost its process last. */
export const LOST_START = 'lost'

/** What of an envelope BullMQ has no place for; a key of the job's options, which BullMQ keeps as they are. */
interface Kept {
  readonly correlationId?: string
  readonly options?: EnvelopeOptions
}

export interface StoredOptions extends JobsOptions {
  readonly fastifyJob?: Kept
}

/** The options that BullMQ stores, or acts on, for a job. */
export function storedOptions ({ correlationId, enqueuedAt, options }: JobEnvelope): StoredOptions {
  if (options === undefined && correlationId === undefined) return {}
  const { runAt, priority = 0, uniqueKey, attempts } = options ?? {}
  return {
    ...(priority !== 0 && { priority: PRIORITY_OF_NONE - priority }),
    ...(attempts !== undefined && { attempts }),
    ...(runAt !== undefined && runAt > enqueuedAt && { delay: Math.ceil(runAt - enqueuedAt) }),
    ...(uniqueKey !== undefined && { deduplication: { id: uniqueKey } }),
    fastifyJob: { ...(correlationId !== undefined && { correlationId }), ...(options !== undefined && { options }) }
  }
}

/** A job's hash as Redis has it: fields and values in turn. */
export class StoredJob {
  readonly id: string
  readonly #fields = new Map<string, string>()
  options: StoredOptions = {}
  /** Why it cannot be read. */
  problem: Error | undefined

  constructor (id: string, flat: readonly string[]) {
    this.id = id
    for (let index = 0; index < flat.length; index += 2) this.#fields.set(flat[index]!, flat[index + 1]!)
    this.#readOptions()
  }

  get exists (): boolean {
    return this.#fields.size > 0
  }

  get name (): string {
    return this.#fields.get('name') ?? ''
  }

  get #owner (): string {
    return `job '${this.name}'`
  }

  text (field: string): string | undefined {
    return this.#fields.get(field)
  }

  number (field: string): number | undefined {
    const value = this.#fields.get(field)
    return value === undefined || Number.isNaN(Number(value)) ? undefined : Number(value)
  }

  get attemptsMade (): number {
    return this.number('atm') ?? 0
  }

  /** Of a job that was fetched just now: the start before lost its process. */
  get stalled (): boolean {
    const lost = this.number(LOST_START)
    return lost !== undefined && this.number('ats') === lost + 1
  }

  get uniqueKey (): string | undefined {
    return this.#fields.get('deid')
  }

  get uniqueFor (): number {
    return this.options.fastifyJob?.options?.uniqueFor ?? 0
  }

  envelope (): JobEnvelope {
    const { correlationId, options } = this.options.fastifyJob ?? {}
    return {
      id: jobId(this.id),
      name: this.name,
      payload: this.problem === undefined ? this.#payload() : undefined,
      attempt: this.attemptsMade + 1,
      enqueuedAt: this.number('timestamp') ?? 0,
      correlationId,
      options
    }
  }

  get stacks (): string[] {
    const stacks = parsed(this.#fields.get('stacktrace'))
    return Array.isArray(stacks) ? stacks : []
  }

  get error (): SerializedError | undefined {
    const message = this.#fields.get('failedReason')
    if (message === undefined) return undefined
    const stack = this.stacks.at(-1)
    return { name: 'Error', ...(parsed(this.#fields.get('error')) as object | undefined), message, ...(stack !== undefined && { stack }) }
  }

  /** `dueAt`: of a delayed job, milliseconds since the epoch. */
  view (queue: string, state: JobState, dueAt?: number): JobView {
    const { correlationId, options } = this.options.fastifyJob ?? {}
    const progress = parsed(this.#fields.get('progress'))
    return {
      id: jobId(this.id),
      name: this.name,
      queue,
      state,
      // Finishing counts as an attempt made, also of a job that was cancelled before its first one.
      attempt: state === 'active' ? this.attemptsMade + 1 : Math.min(this.attemptsMade, this.number('ats') ?? 0),
      attempts: options?.attempts,
      enqueuedAt: this.number('timestamp') ?? 0,
      runAt: dueAt,
      startedAt: this.number('processedOn'),
      finishedAt: this.number('finishedOn'),
      progress: typeof progress === 'number' ? progress : undefined,
      error: this.error,
      correlationId
    }
  }

  /** An unreadable payload is shown as the text that is stored. */
  deadLetter (queue: string): DeadLetter {
    const { payload } = this.envelope()
    return { ...this.view(queue, 'dead'), payload: this.problem === undefined ? payload : this.#fields.get('data') }
  }

  get completedAs (): JobState {
    return this.#fields.get('returnvalue') === CANCELLED ? 'cancelled' : 'succeeded'
  }

  #readOptions (): void {
    try {
      const options: unknown = decodePayload(this.#owner, this.#fields.get('opts') ?? '{}')
      if (typeof options === 'object' && options !== null) this.options = options
      if (!this.#fields.has('name') || !this.#fields.has('data')) this.problem = new InvalidPayloadError(this.#owner, 'what is stored has no name or no data')
    } catch (error) {
      this.problem = toError(error)
    }
  }

  #payload (): unknown {
    try {
      return decodePayload(this.#owner, this.#fields.get('data')!)
    } catch (error) {
      this.problem = toError(error)
      return undefined
    }
  }
}

function parsed (text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
