import type { PollPass, Service, ServiceContext } from '../../types/services.ts'
import { describe, InvalidOptionsError } from '../errors.ts'
import { logError } from '../log-error.ts'
import { checkFunction } from '../validation.ts'
import { isStopReason } from './stop-reason.ts'
import { disposeScope } from './context.ts'

/**
 * A polling service: `pass` runs at once and then every `every` milliseconds, never twice at the same time; a pass that takes
 * longer is followed by the next one without a pause. A failing pass is logged, and the loop goes on.
 * Throws FST_JOBS_INVALID_OPTIONS.
 */
export function poll (every: number, pass: PollPass): Service {
  if (!(Number.isFinite(every) && every >= 1)) throw new InvalidOptionsError(`call of poll: 'every' must be milliseconds, 1 or more, got ${describe(every)}`)
  checkFunction(pass, 1, 'call of poll: the pass')
  return {
    async run (context) {
      while (!context.signal.aborted) {
        const next = context.sleep(every)
        await runPass(pass, context)
        await next
      }
    }
  }
}

async function runPass (pass: PollPass, context: ServiceContext): Promise<void> {
  const { signal } = context
  let scope: ServiceContext['diScope'] | undefined
  try {
    await pass({
      signal,
      get log () { return context.log },
      get diScope () { return (scope ??= context.diScope.createScope()) }
    })
  } catch (thrown) {
    if (!isStopReason(thrown, signal)) logError(context.log, 'error', thrown, {}, 'a pass of the polling service failed')
  }
  if (scope !== undefined) await disposeScope(scope, context.log)
}
