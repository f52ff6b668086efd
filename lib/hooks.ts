import { setImmediate } from 'node:timers'
import type { FastifyInstance } from 'fastify'
import type { HookJob, JobHooks } from '../types/jobs.ts'
import type { JobEnvelope } from '../types/job.ts'
import { InvalidOptionsError, kindOf } from './errors.ts'
import { logFields, maxAttempts } from './envelope.ts'
import { logError } from './log-error.ts'
import type { NeutralContext } from './neutral-context.ts'
import type { Definition } from './registry.ts'
import { checkFunction } from './validation.ts'

type HookName = keyof JobHooks

/** The hooks, each with the number of its arguments. */
const PARAMETERS: { readonly [Name in HookName]: number } = { onEnqueue: 1, onStart: 1, onSuccess: 1, onRetry: 3, onDeadLetter: 2, onDrop: 1 }
type Rest<Name extends HookName> = Parameters<JobHooks[Name]> extends [HookJob, ...infer Others] ? Others : never

const NONE: never[] = []

/**
 * The users' hooks. They are told in a turn of their own, once the backend has stored what they hear of, so that they may
 * enqueue, cancel and retry. No job waits for them, only the shutdown does; one that throws or rejects is logged.
 */
export class Hooks {
  readonly #instance: FastifyInstance
  readonly #context: NeutralContext
  readonly #hooks: { [Name in HookName]: JobHooks[Name][] } = {
    onEnqueue: [], onStart: [], onSuccess: [], onRetry: [], onDeadLetter: [], onDrop: []
  }

  #running = 0
  #onSettled: (() => void)[] = []

  constructor (instance: FastifyInstance, context: NeutralContext) {
    this.#instance = instance
    this.#context = context
  }

  /** Tellings that have not settled. */
  get running (): number {
    return this.#running
  }

  /** Resolves when every hook that was told has settled. */
  settled (): Promise<void> {
    return this.#running === 0 ? Promise.resolve() : new Promise((resolve) => { this.#onSettled.push(resolve) })
  }

  add<Name extends HookName> (name: Name, hook: JobHooks[Name]): void {
    if (typeof name !== 'string' || !Object.hasOwn(PARAMETERS, name)) throw new InvalidOptionsError(`hook '${typeof name === 'string' ? name : kindOf(name)}': the hooks are ${Object.keys(PARAMETERS).join(', ')}`)
    checkFunction(hook, PARAMETERS[name], `hook '${name}': it`)
    this.#hooks[name].push(hook)
  }

  // Most apps have no hooks, and every job comes by here three times.
  tell<Name extends HookName> (name: Name, definition: Definition, envelope: JobEnvelope, rest: Rest<Name> | never[] = NONE): void {
    if (this.#hooks[name].length > 0) this.#schedule(name, definition, envelope, rest)
  }

  #schedule (name: HookName, definition: Definition, envelope: JobEnvelope, rest: readonly unknown[]): void {
    const hooks = this.#hooks[name]
    const job: HookJob = { ...jobInfo(envelope, definition), payload: envelope.payload }
    this.#running++
    setImmediate(() => this.#context.run(this.#callAll, this, name, hooks, job, rest))
  }

  async #callAll (name: HookName, hooks: readonly JobHooks[HookName][], job: HookJob, rest: readonly unknown[]): Promise<void> {
    await Promise.all(hooks.map((hook) => this.#call(name, hook, job, rest)))
    this.#running--
    if (this.#running === 0) for (const resolve of this.#onSettled.splice(0)) resolve()
  }

  async #call (name: HookName, hook: JobHooks[HookName], job: HookJob, rest: readonly unknown[]): Promise<void> {
    try {
      await (hook as (...args: unknown[]) => unknown).call(this.#instance, job, ...rest)
    } catch (err) {
      logError(this.#instance.log, 'error', err, { ...logFields(job, job.queue), hook: name }, 'a job hook failed')
    }
  }
}

export function jobInfo (envelope: JobEnvelope, definition: Definition) {
  return {
    id: envelope.id,
    name: envelope.name,
    queue: definition.queue,
    attempt: envelope.attempt,
    attempts: maxAttempts(envelope, definition),
    enqueuedAt: envelope.enqueuedAt,
    ...(envelope.correlationId !== undefined && { correlationId: envelope.correlationId }),
    ...(envelope.options?.schedule !== undefined && { schedule: envelope.options.schedule })
  }
}
