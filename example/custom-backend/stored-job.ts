import { decodePayload, type Delivery, type JobEnvelope } from '../../lib/backends/index.ts'

/** A job as it is kept: the payload as text, so that every attempt gets a new copy. */
export class StoredJob {
  readonly #job: Omit<JobEnvelope, 'payload'>
  readonly #payload: string
  #attempt: number
  #runAt: number

  constructor ({ payload, ...job }: JobEnvelope, text: string) {
    this.#job = job
    this.#payload = text
    this.#attempt = job.attempt
    this.#runAt = job.options?.runAt ?? job.enqueuedAt
  }

  get id (): string {
    return this.#job.id
  }

  get runAt (): number {
    return this.#runAt
  }

  retryAt (runAt: number): void {
    this.#attempt++
    this.#runAt = runAt
  }

  envelope (): JobEnvelope {
    return { ...this.#job, attempt: this.#attempt, payload: decodePayload(`job '${this.#job.name}'`, this.#payload) }
  }

  delivery (): Delivery {
    return { envelope: this.envelope(), dueAt: this.#runAt }
  }
}
