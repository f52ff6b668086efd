import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { Clock } from '../types/backend.ts'

/** Spares the garbage collector an event that nobody listens to. */
const OPTIONS = { requireManualDestroy: true }

function newResource (): AsyncResource {
  return new AsyncResource('fastify-background-jobs', OPTIONS)
}

/**
 * Before Node.js 24, what code does with enterWith() stays with the resource that it runs in, for everybody who runs in it later. There
 * each call needs a resource of its own, which costs a job a twentieth of its time.
 */
function keepsWhatIsEntered (): boolean {
  const storage = new AsyncLocalStorage<boolean>()
  const resource = newResource()
  resource.runInAsyncScope(() => storage.enterWith(true))
  const kept = resource.runInAsyncScope(() => storage.getStore())
  storage.disable()
  return kept === true
}

const ONE_A_CALL = keepsWhatIsEntered()

/**
 * The AsyncLocalStorage context in which it is made: that of the plugin's registration. Handlers, hooks and services run in it, because
 * whatever a request starts, a timer or a turn of the event loop, inherits the request's context: one tenant's job would see another's.
 */
export class NeutralContext {
  // Several times as fast as the function that AsyncLocalStorage.snapshot() returns.
  readonly #resource = newResource()

  run<This, Args extends unknown[], Result> (call: (this: This, ...args: Args) => Result, self?: This, ...args: Args): Result {
    const resource = ONE_A_CALL ? this.#resource.runInAsyncScope(newResource) : this.#resource
    return resource.runInAsyncScope(call, self, ...args)
  }

  /** The same clock, whose timeouts are called in this context. */
  clock (clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      setTimeout: (callback, delay) => clock.setTimeout(() => this.run(callback), delay),
      clearTimeout: (handle) => clock.clearTimeout(handle)
    }
  }
}
