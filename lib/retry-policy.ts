import type { Outcome } from '../types/backend.ts'
import type { BackoffFunction, BackoffOptions, RetryOptions } from '../types/options.ts'
import { describe, isNonRetryable } from './errors.ts'
import { serializeError } from './serialize-error.ts'
import { object } from './validation.ts'

const milliseconds = { type: 'number', minimum: 0 }

/** The option `backoff`, wherever there is one. */
export const backoffSchema = {
  if: { kind: 'function' },
  else: object({
    type: { type: 'string', enum: ['exponential', 'fixed'] },
    delay: milliseconds,
    max: milliseconds,
    jitter: { type: 'number', minimum: 0, maximum: 1 }
  })
}

export interface RetryPolicy {
  readonly attempts: number
  readonly backoff: BackoffFunction
  readonly maxStalls: number
}

export function resolveRetryPolicy (options: RetryOptions, defaults?: RetryPolicy): RetryPolicy {
  return {
    attempts: options.attempts ?? defaults?.attempts ?? 3,
    backoff: options.backoff ? backoffFunction(options.backoff) : defaults?.backoff ?? backoffFunction(),
    maxStalls: options.maxStalls ?? defaults?.maxStalls ?? 10
  }
}

// Beyond it 2 ** n is Infinity, and Infinity × 0 is no number.
const MAX_DOUBLINGS = 1000

export function backoffFunction (backoff: BackoffOptions | BackoffFunction = {}): BackoffFunction {
  if (typeof backoff === 'function') return backoff
  const { type = 'exponential', delay = 2000, max = 60_000, jitter = 0.2 } = backoff
  return function wait (attempt) {
    const full = Math.min(type === 'fixed' ? delay : delay * 2 ** Math.min(attempt - 1, MAX_DOUBLINGS), max)
    // Downward, so that `max` stays what it says.
    return Math.round(full * (1 - jitter * Math.random()))
  }
}

export interface FailedAttempt {
  readonly attempt: number
  readonly attempts: number
  readonly retryable: ((error: any) => boolean) | undefined
  readonly backoff: BackoffFunction
  /** Wall-clock milliseconds. */
  readonly now: number
  /** Hears of a policy function of the user's that failed. */
  readonly onPolicyError: (error: unknown) => void
}

/** Error and attempt in, outcome out: the one place where it is decided, the same for every backend. */
export function outcomeOf (thrown: unknown, error: Error, failed: FailedAttempt): Outcome {
  if (failed.attempt >= failed.attempts || isNonRetryable(thrown) || !isRetryable(thrown, failed)) {
    return { type: 'dead', error: serializeError(error) }
  }
  return { type: 'retry', runAt: failed.now + backoffDelay(thrown, failed), error: serializeError(error) }
}

function isRetryable (thrown: unknown, { retryable, onPolicyError }: FailedAttempt): boolean {
  if (retryable === undefined) return true
  try {
    const answer: unknown = retryable(thrown)
    if (!(answer instanceof Promise)) return answer !== false
    onPolicyError(new TypeError(`retryable must return true or false at once, got ${kindOfAnswer(answer)}`))
    return true
  } catch (error) {
    onPolicyError(error)
    return true
  }
}

// A promise comes too late; should it reject, it must not take the process down.
function kindOfAnswer (answer: unknown): string {
  if (!(answer instanceof Promise)) return describe(answer)
  answer.catch(() => {})
  return 'a promise'
}

const fallback = backoffFunction()

/** What a backoff says; the default where a function of the user's fails to. */
export function backoffDelay (thrown: unknown, { attempt, backoff, onPolicyError }: Pick<FailedAttempt, 'attempt' | 'backoff' | 'onPolicyError'>): number {
  try {
    const delay = backoff(attempt, thrown)
    if (Number.isFinite(delay) && delay >= 0) return delay
    onPolicyError(new TypeError(`backoff must return milliseconds of 0 or more at once, got ${kindOfAnswer(delay)}`))
  } catch (error) {
    onPolicyError(error)
  }
  return fallback(attempt, thrown)
}
