import { BackendUnavailableError, toError } from '../../errors.ts'

/** Redis, or the way to it, failed: what whoever called the backend is told. */
export function unavailable (queue: string, error: unknown): Error {
  return new BackendUnavailableError('redis', queue, { cause: withoutCommand(error) })
}

/** ioredis hangs the failed command with all its arguments on an error: a payload, or the password of AUTH. */
export function withoutCommand (thrown: unknown): Error {
  const error = toError(thrown) as Error & { command?: unknown, previousErrors?: unknown }
  // Those of a transaction's commands; its own message says that they failed.
  for (const property of ['command', 'previousErrors'] as const) if (property in error) delete error[property]
  return error
}

/** Redis is there, and answers that it stores nothing for now: a replica, one that loads, is full or cannot reach its disk or replicas. */
export function storesNothing (error: unknown): boolean {
  return /\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|OOM|BUSY)\b/.test(toError(error).message)
}
