import type { FastifyBaseLogger } from 'fastify'
import { loggableError, serializeError, toError } from './serialize-error.ts'

/** Logs what was thrown, with long texts cut. Reading what users' code threw may throw again: that costs the log line some detail. */
export function logError (log: FastifyBaseLogger, level: 'warn' | 'error', thrown: unknown, fields: object, message: string): void {
  try {
    log[level]({ ...fields, err: loggableError(thrown) }, message)
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
