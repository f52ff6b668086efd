import { describe, InvalidOptionsError, kindOf } from './errors.ts'
import { compile, type Check, type OptionSchema, type Properties, type Violation } from './option-schema.ts'

/** The schema of an object that has these options and no others. */
export function object (properties: Properties, required: string[] = []): OptionSchema {
  return { type: 'object', additionalProperties: false, properties, required }
}

export type OptionsCheck = (options: unknown, subject: string) => void

/** A check that throws FST_JOBS_INVALID_OPTIONS, naming the option and never quoting more than a number of it. */
export function optionsCheck (schema: OptionSchema): OptionsCheck {
  // Compiled when something is checked, not while the module loads: an app uses few of the options.
  let check: Check | undefined
  return function checkOptions (options, subject) {
    check ??= compile(schema)
    const violation = check(options)
    if (violation !== undefined) throw new InvalidOptionsError(`${subject}: ${explain(violation)}`)
  }
}

/**
 * Checks a function of the user's that returns a promise. One that takes a callback would count as done when it returns, and then fail
 * where nobody catches it. `parameters`: how many it gets.
 */
export function checkFunction (given: unknown, parameters: number, subject: string): void {
  if (typeof given !== 'function') throw new InvalidOptionsError(`${subject} must be a function, got ${describe(given)}`)
  if (given.length > parameters) {
    throw new InvalidOptionsError(`${subject} takes ${given.length} parameters and gets ${parameters}: there is no callback; return a promise, or make the function async`)
  }
}

const NAME = /^[\w.-]{1,64}$/

/** Checks the name of a schedule or a service, which becomes part of job ids and of metrics. */
export function checkName (name: unknown, subject: string): asserts name is string {
  if (typeof name === 'string' && NAME.test(name)) return
  const got = typeof name === 'string' ? `'${name.slice(0, 64)}'` : kindOf(name)
  throw new InvalidOptionsError(`${subject}: it must have 1 to 64 letters, digits, '.', '_' or '-', got ${got}`)
}

function explain ({ path, unknown, problem }: Violation): string {
  if (unknown) return `unknown option '${path.join('.')}'`
  return `${path.length === 0 ? 'the options' : `option '${path.join('.')}'`} ${problem}`
}
