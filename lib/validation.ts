import { Ajv, type ErrorObject } from 'ajv'
import { describe, InvalidOptionsError, kindOf } from './errors.ts'

const optionsAjv = new Ajv({ strictRequired: false, strictTypes: false, verbose: true })
optionsAjv.addKeyword({
  keyword: 'kind',
  schemaType: 'string',
  error: { message: ({ schema }) => `must be a ${String(schema)}` },
  validate: (kind: string, value: unknown) => kind === 'Date' ? value instanceof Date : kind === 'AbortSignal' ? value instanceof AbortSignal : typeof value === kind // eslint-disable-line valid-typeof
})

/** The schema of an object that has these options and no others. */
export function object (properties: object, required: string[] = []) {
  return { type: 'object', additionalProperties: false, properties, required }
}

export type OptionsCheck = (options: unknown, subject: string) => void

/** A check that throws FST_JOBS_INVALID_OPTIONS, naming the option and never quoting more than a number of it. */
export function optionsCheck (schema: object): OptionsCheck {
  const validate = optionsAjv.compile(schema)
  return function checkOptions (options, subject) {
    if (!validate(options)) throw new InvalidOptionsError(`${subject}: ${explain(validate.errors![0]!)}`)
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

function explain (error: ErrorObject): string {
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  if (error.keyword === 'additionalProperties') {
    const name = String(error.params.additionalProperty)
    return `unknown option '${path === '' ? name : `${path}.${name}`}'`
  }
  const subject = path === '' ? 'the options' : `option '${path}'`
  if (error.propertyName !== undefined) return `${subject} must not have the name '${error.propertyName}': it ${error.message}`
  return `${subject} ${demand(error)}, got ${describe(error.data)}`
}

function demand ({ keyword, message, params, schema, parentSchema }: ErrorObject): string {
  switch (keyword) {
    case 'enum': return `${message} (${(params.allowedValues as string[]).join(', ')})`
    case 'const': return `must be false or ${parentSchema!.title}`
    case 'not': return `must be none of ${(schema as { enum: string[] }).enum.join(', ')}`
    default: return message!
  }
}
