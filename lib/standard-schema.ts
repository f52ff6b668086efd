import type { StandardIssue, StandardResult, StandardSchema } from '../types/standard-schema.ts'
import { InvalidOptionsError, InvalidPayloadError, kindOf } from './errors.ts'

/** Issues that an error message has at most. */
const MAX_ISSUES = 5

/** A payload schema of zod, valibot, arktype or another library that implements Standard Schema. */
export class StandardPayloadSchema {
  readonly transforms = true
  readonly #job: string
  readonly #standard: StandardSchema['~standard']

  constructor (job: string, schema: StandardSchema) {
    const standard: Partial<StandardSchema['~standard']> | undefined = schema['~standard']
    if (standard?.version !== 1 || typeof standard.validate !== 'function') {
      throw new InvalidOptionsError(`definition of job '${job}': option 'schema' has a '~standard' without version 1 or without 'validate'; use a schema that implements Standard Schema 1, or a JSON Schema`)
    }
    this.#job = job
    this.#standard = schema['~standard']
  }

  // It refers to nothing.
  complete (): void {}

  check (payload: unknown): unknown {
    const result = this.#validate(payload)
    if (isPromise(result)) {
      // Nobody else listens when it rejects.
      result.then(undefined, () => {})
      throw new InvalidOptionsError(`definition of job '${this.#job}': option 'schema' answered with a promise; payloads are checked at once, so no check or transform of it may be asynchronous`)
    }
    if (result.issues) throw new InvalidPayloadError(`job '${this.#job}'`, explain(result.issues, payload))
    return result.value
  }

  #validate (payload: unknown): StandardResult<unknown> | Promise<StandardResult<unknown>> {
    try {
      return this.#standard.validate(payload)
    } catch (error) {
      throw new InvalidPayloadError(`job '${this.#job}'`, 'a check or transform of its schema threw, see the cause', { cause: error })
    }
  }
}

/** A type of arktype is a function. */
export function isStandardSchema (schema: object): schema is StandardSchema {
  return '~standard' in schema
}

function isPromise (result: object): result is Promise<unknown> {
  return 'then' in result && typeof result.then === 'function'
}

function explain (issues: readonly StandardIssue[], payload: unknown): string {
  const texts = issues.slice(0, MAX_ISSUES).map(({ message, path = [] }) => {
    // Not path.map: arktype's paths are instances of a class whose map answers with another path.
    const keys = Array.from(path, (segment) => typeof segment === 'object' ? segment.key : segment)
    return `payload${keys.map((key) => `/${String(key)}`).join('')}: ${withoutValue(String(message), valueAt(payload, keys))}`
  })
  if (issues.length > MAX_ISSUES) texts.push(`and ${issues.length - MAX_ISSUES} more`)
  return texts.join('; ')
}

function valueAt (payload: unknown, keys: readonly PropertyKey[]): unknown {
  return keys.reduce<any>((value, key) => value?.[key], payload)
}

/** Where valibot and arktype write what they got. Payloads may be secret, and errors are logged and sent to clients. */
const RECEIVED = / but received .*$|: Received .*$| \(was .*\)$/s
const RECEIVED_FIRST = /\(.*\)(?= must be\.\.\.)/s

function withoutValue (message: string, value: unknown): string {
  const text = message.replace(RECEIVED, '').replace(RECEIVED_FIRST, 'it')
  return typeof value === 'string' ? text.replaceAll(JSON.stringify(value), kindOf(value)).replaceAll(`"${value}"`, kindOf(value)) : text
}
