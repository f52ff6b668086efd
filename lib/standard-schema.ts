import type { StandardIssue, StandardResult, StandardSchema } from '../types/standard-schema.ts'
import { InvalidOptionsError, InvalidPayloadError, kindOf } from './errors.ts'
import { toError } from './serialize-error.ts'

/** Issues that an error message has at most. */
const MAX_ISSUES = 5

/** A payload schema of zod, valibot, arktype or another library that implements Standard Schema. */
export class StandardPayloadSchema {
  readonly transforms = true
  readonly #job: string
  readonly #schema: StandardSchema & Partial<SafeParser>
  readonly #standard: StandardSchema['~standard']

  constructor (job: string, schema: StandardSchema) {
    const standard: Partial<StandardSchema['~standard']> | undefined = schema['~standard']
    if (standard?.version !== 1 || typeof standard.validate !== 'function') {
      throw new InvalidOptionsError(`definition of job '${job}': option 'schema' has a '~standard' without version 1 or without 'validate'; use a schema that implements Standard Schema 1, or a JSON Schema`)
    }
    this.#job = job
    this.#schema = schema
    this.#standard = schema['~standard']
  }

  // It refers to nothing.
  complete (): void {}

  check (payload: unknown): unknown {
    const result = this.#validate(payload)
    if (isPromise(result)) {
      // Nobody else listens when it rejects.
      result.then(undefined, () => {})
      this.#assertDoesNotThrow(payload)
      throw new InvalidOptionsError(`definition of job '${this.#job}': option 'schema' answered with a promise; payloads are checked at once, so no check or transform of it may be asynchronous`)
    }
    if (!isResult(result)) {
      throw new InvalidOptionsError(`definition of job '${this.#job}': option 'schema' answered with ${kindOf(result)}, where Standard Schema 1 asks for an object with 'value' or an array 'issues'; update or replace the library that made it`)
    }
    if (result.issues) throw new InvalidPayloadError(`job '${this.#job}'`, explain(result.issues, payload))
    return result.value
  }

  #validate (payload: unknown): unknown {
    try {
      return this.#standard.validate(payload)
    } catch (error) {
      throw this.#thrown(error)
    }
  }

  /** zod answers with a promise when a check or transform throws, too. Its `safeParse` tells both cases apart. */
  #assertDoesNotThrow (payload: unknown): void {
    try {
      this.#schema.safeParse?.(payload)
    } catch (error) {
      // Versions 3 and 4 have no error class in common.
      if (!/synchronous parse/i.test(toError(error).message)) throw this.#thrown(error)
    }
  }

  #thrown (error: unknown): Error {
    return new InvalidPayloadError(`job '${this.#job}'`, 'a check or transform of its schema threw, see the cause', { cause: error })
  }
}

interface SafeParser {
  safeParse (payload: unknown): unknown
}

/** A type of arktype is a function. */
export function isStandardSchema (schema: object): schema is StandardSchema {
  return '~standard' in schema
}

function isPromise (result: unknown): result is Promise<unknown> {
  return typeof (result as Promise<unknown> | null | undefined)?.then === 'function'
}

function isResult (result: unknown): result is StandardResult<unknown> {
  if (typeof result !== 'object' || result === null) return false
  const { issues } = result as Partial<{ issues: unknown }>
  return issues === undefined ? 'value' in result : Array.isArray(issues) && issues.every((issue) => typeof issue === 'object' && issue !== null)
}

function explain (issues: readonly StandardIssue[], payload: unknown): string {
  const texts = issues.slice(0, MAX_ISSUES).map((issue) => {
    // Not path.map: arktype's paths are instances of a class whose map answers with another path.
    const keys = Array.from(issue.path ?? [], (segment: any) => segment?.key ?? segment)
    return `payload${keys.map((key) => `/${String(key)}`).join('')}: ${withoutValue(textOf(issue), valueAt(payload, keys))}`
  })
  if (issues.length > MAX_ISSUES) texts.push(`and ${issues.length - MAX_ISSUES} more`)
  return texts.join('; ')
}

/** An issue of arktype. What its messages quote of the value is not in `expected`. */
interface ArkIssue extends StandardIssue {
  readonly code: string
  readonly expected: string
  readonly problem: string
  readonly path: readonly PropertyKey[]
  /** Of an intersection or a union. */
  readonly errors?: readonly ArkIssue[]
}

function textOf (issue: StandardIssue): string {
  const message = String(issue.message)
  // A message of the user's own stays.
  return isArkIssue(issue) && message.endsWith(issue.problem) ? `must be ${expectedBy(issue)}` : message
}

function isArkIssue (issue: StandardIssue): issue is ArkIssue {
  return typeof (issue as Partial<ArkIssue>).problem === 'string'
}

function expectedBy ({ code, expected, errors, path }: ArkIssue): string {
  if (errors === undefined) return expected
  return errors.map((error) => {
    const inner = Array.from(error.path).slice(path.length)
    return `${expectedBy(error)}${inner.length === 0 ? '' : ` at ${inner.map(String).join('/')}`}`
  }).join(code === 'union' ? ' or ' : ' and ')
}

function valueAt (payload: unknown, keys: readonly PropertyKey[]): unknown {
  return keys.reduce<any>((value, key) => value?.[key], payload)
}

/** Where valibot and arktype write what they got, and the text of an error that a check caught. Payloads may be secret, and errors are logged and sent to clients. */
const RECEIVED = / but received .*$|: Received .*$| \((?:was |\w*Error: ).*\)$/s

function withoutValue (message: string, value: unknown): string {
  let text = message.replace(RECEIVED, '')
  for (const part of stringsIn(value)) text = text.replaceAll(JSON.stringify(part), 'string').replaceAll(`"${part}"`, 'string')
  return text
}

function stringsIn (value: unknown): string[] {
  // Goes on with what is added meanwhile, and takes each object once.
  const parts = new Set([value])
  for (const part of parts) {
    if (typeof part === 'object' && part !== null) for (const inner of Object.values(part)) parts.add(inner)
  }
  return [...parts].filter((part) => typeof part === 'string')
}
