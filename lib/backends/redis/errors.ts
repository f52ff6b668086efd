import { BackendUnavailableError, retryLater } from '../../errors.ts'
import { toError } from '../../serialize-error.ts'

/** Redis, or the way to it, failed: what whoever called the backend is told. */
export function unavailable (queue: string, error: unknown): Error {
  return retryLater(new BackendUnavailableError('redis', queue, { cause: withoutCommand(error) }))
}

interface RedisError extends Error {
  command?: unknown
  previousErrors?: RedisError[]
}

/** ioredis hangs the failed command with all its arguments on an error: a payload, or the password of AUTH. */
export function withoutCommand (thrown: unknown): Error {
  const error = toError(thrown) as RedisError
  // A transaction's error says that some of its commands failed, not why. When its connection ended, they all have this one.
  const cause = error.previousErrors?.[0] ?? error
  for (const property of ['command', 'previousErrors'] as const) if (property in cause) delete cause[property]
  return cause
}

/** Redis is there, and answers that it stores nothing for now: a replica, one that loads, is full or cannot reach its disk or replicas. */
export function storesNothing (thrown: unknown): boolean {
  const { name, message } = toError(thrown)
  // BullMQ's own errors have the job's id in their messages.
  return name === 'ReplyError' && /\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|OOM|BUSY)\b/.test(message)
}
