import type { FastifyBaseLogger } from 'fastify'
import { serializeError, toError } from './errors.ts'

/** Logs what users' code threw. Reading that may throw again, and must cost a log line some detail, not a worker its slot. */
export function logError (log: FastifyBaseLogger, level: 'warn' | 'error', thrown: unknown, fields: object, message: string): void {
  try {
    log[level]({ ...fields, err: thrown }, message)
  } catch {
    logPlainly(log, level, thrown, fields, message)
  }
}

function logPlainly (log: FastifyBaseLogger, level: 'warn' | 'error', thrown: unknown, fields: object, message: string): void {
  try {
    log[level]({ ...fields, err: serializeError(toError(thrown)) }, message)
  } catch {
    // The logger itself fails: there is nobody to tell.
  }
}
