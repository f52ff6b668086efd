import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, HookHandlerDoneFunction, onRequestHookHandler } from 'fastify'
import type { AdminOptions } from '../../types/options.ts'
import { kindOf } from '../errors.ts'
import { sendJson } from './json.ts'

type Authorize = AdminOptions['authorize']

/** The `onRequest` hook that lets a request in only by a clear yes of `authorize`. Whatever else happens is a no. */
export function authorization (authorize: Authorize, log: FastifyBaseLogger): onRequestHookHandler {
  const explain = explainOnce(log)
  // Callback style: when `authorize` replies, nothing may go on. The promise of an async hook settles once the client hangs up,
  // and Fastify then runs the route.
  return function (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply, next: HookHandlerDoneFunction): void {
    let answersItself = false
    watchReply(reply, () => { answersItself = true })
    const isAnswered = (): boolean => answersItself || reply.sent || reply.raw.headersSent

    ask(authorize, this, request, reply).then(({ yes, unclear }) => {
      if (isAnswered()) return
      if (yes) return next()
      if (unclear !== undefined) explain(unclear)
      forbid(reply)
    }, (error: unknown) => {
      if (isAnswered()) return
      // Fastify takes a falsy error for none.
      if (error) {
        // A status of the error's own takes its place. An error that Fastify cannot read would be answered with 200.
        if (reply.statusCode < 400) reply.code(500)
        return next(error as Error)
      }
      explain(`${kindOf(error)} as an error`)
      forbid(reply)
    })
  }
}

interface Verdict {
  readonly yes: boolean
  /** What came instead of a clear yes or no. */
  readonly unclear?: string
}

/** Asks `authorize`; the first verdict counts. Rejects with the error that refuses the request. */
function ask (authorize: Authorize, instance: FastifyInstance, request: FastifyRequest, reply: FastifyReply): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const result = authorize.call(instance, request, reply, (error, allowed) => {
      if (error === undefined || error === null) resolve(allowed === undefined ? { yes: true } : verdictOf(allowed))
      else reject(error)
    })
    if (authorize.length >= 3) {
      // Only `done` says yes. The reply is a thenable, too, and returning it says nothing.
      if (result !== reply) Promise.resolve(result).catch(reject)
    } else if (isThenable(result)) {
      Promise.resolve(result).then((value) => resolve(value === undefined ? { yes: true } : verdictOf(value)), reject)
    } else {
      resolve(verdictOf(result))
    }
  })
}

function verdictOf (result: unknown): Verdict {
  return typeof result === 'boolean' ? { yes: result } : { yes: false, unclear: kindOf(result) }
}

function isThenable (value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}

/**
 * Calls `onAnswer` as soon as `authorize` begins to answer, or returns the reply from an async function to answer later.
 * Fastify's `reply.sent` turns true only after the `onSend` hooks, which may be asynchronous; the route would run meanwhile.
 */
function watchReply (reply: FastifyReply, onAnswer: () => void): void {
  for (const method of ['send', 'callNotFound', 'then'] as const) {
    const original = reply[method] as (...args: unknown[]) => unknown
    Object.assign(reply, {
      [method] (this: FastifyReply, ...args: unknown[]) {
        onAnswer()
        return original.apply(this, args)
      }
    })
  }
}

function forbid (reply: FastifyReply): void {
  sendJson(reply.code(403), { statusCode: 403, error: 'Forbidden', message: 'Not authorized to administer background jobs' })
}

/** Logs one line per app: the developer sees it at the first try, and strangers cannot fill the log. */
function explainOnce (log: FastifyBaseLogger): (got: string) => void {
  let isExplained = false
  return (got) => {
    if (isExplained) return
    isExplained = true
    log.warn(`admin.authorize answered with ${got}: that is not a clear yes, so the request is refused with 403. A clear yes is true, a promise of true or of undefined, or a call of done() by a function with three parameters`)
  }
}
