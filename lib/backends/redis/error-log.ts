import type { FastifyBaseLogger } from 'fastify'
import { logError } from '../../log-error.ts'
import { withoutCommand } from './errors.ts'

/** Milliseconds. */
const QUIET = 30_000

/** Errors of connections, of which every attempt to reconnect brings one: each kind is logged once in a while. */
export class ErrorLog {
  readonly #log: FastifyBaseLogger
  readonly #loggedAt = new Map<string, number>()

  constructor (log: FastifyBaseLogger) {
    this.#log = log
  }

  report (thrown: unknown, queue?: string): void {
    const err = withoutCommand(thrown)
    // Messages go on with an id.
    const kind = `${queue} ${(err as { code?: unknown }).code ?? err.message.slice(0, 20)}`
    const now = performance.now()
    if (now - (this.#loggedAt.get(kind) ?? -Infinity) < QUIET) return
    this.#loggedAt.set(kind, now)
    logError(this.#log, 'warn', err, { backend: 'redis', ...(queue !== undefined && { queue }) }, 'trouble with Redis; it is tried again')
  }

  /** A connection is there: what goes wrong from now on is news. */
  recovered (): void {
    this.#loggedAt.clear()
  }
}
