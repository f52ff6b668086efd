import { setImmediate } from 'node:timers'
import type { Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import backgroundJobs, { type BackgroundJobsOptions } from '../../lib/index.ts'

/** An app with the plugin, not ready yet, closed when the test ends. */
export async function buildApp (t: Test, options: BackgroundJobsOptions = {}, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify({ logger: false, ...server })
  t.teardown(() => app.close())
  // A service that fails on purpose must not fail the test's process.
  await app.register(backgroundJobs, { services: { exitCode: false }, ...options })
  return app
}

export /** Counts the scopes that the app's container makes. */
function countScopes (app: FastifyInstance): { scopes: number } {
  const count = { scopes: 0 }
  const createScope = app.diContainer.createScope
  app.diContainer.createScope = function (this: typeof app.diContainer) {
    count.scopes++
    return createScope.call(this)
  } as typeof createScope
  return count
}

export interface Deferred<T = void> {
  readonly promise: Promise<T>
  resolve (value: T): void
  reject (reason: unknown): void
}

/** A promise to settle from outside: the event that a test waits for instead of sleeping. */
export function deferred<T = void> (): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((_resolve, _reject) => { [resolve, reject] = [_resolve, _reject] })
  return { promise, resolve, reject }
}

/** Lets everything that is ready to run, run. */
export async function turns (count = 5): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Settles with 'pending' when the promise has not settled by now. */
export async function now<T> (promise: Promise<T>): Promise<T | 'pending'> {
  await turns(20)
  return Promise.race([promise, turns(1).then((): 'pending' => 'pending')])
}

/** Server options whose log is kept, a parsed line an element. */
export function logTo (lines: any[], level = 'error'): FastifyServerOptions {
  return { logger: { level, stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } }
}
