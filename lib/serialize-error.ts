import { types } from 'node:util'
import type { SerializedError } from '../types/job.ts'
import { kindOf } from './errors.ts'

/** Bytes that are kept, in UTF-8, of an error and of each error below it: its causes and the members of an AggregateError. */
const OUTER = { message: 8 * 1024, stack: 16 * 1024 }
const NESTED = { message: 1024, stack: 2048 }
const MAX_NAME = 256
/** Errors that are kept below the outer one: how many in all, and how deep. */
const MAX_NESTED = 10
const MAX_DEPTH = 5

const UNREADABLE = 'The error cannot be read: one of its properties throws'
const encoder = new TextEncoder()
const scratch = Buffer.alloc(OUTER.stack)

/** Errors that stand for a thrown value of another kind, which is their cause. */
const standIns = new WeakSet<Error>()

/** What was thrown, as an Error: handlers can throw anything. An object's `message`, `name` and `code` are kept. */
export function toError (thrown: unknown): Error {
  return isError(thrown) ? thrown : standIn(thrown)
}

/** Also one of another realm: of jest's, or of node:vm. */
function isError (thrown: unknown): thrown is Error {
  try {
    return thrown instanceof Error || types.isNativeError(thrown)
  } catch {
    // A revoked proxy.
    return false
  }
}

function standIn (thrown: unknown): Error {
  const error = new Error(undefined, { cause: thrown })
  standIns.add(error)
  try {
    error.message = messageOf(thrown)
    if (typeof thrown === 'object') {
      const { name, code } = (thrown ?? {}) as { name?: unknown, code?: unknown }
      if (typeof name === 'string') error.name = name
      if (code !== undefined) Object.assign(error, { code })
    }
  } catch {
    error.message = `${typeof thrown} was thrown`
  }
  return error
}

function messageOf (thrown: unknown): string {
  if (typeof thrown === 'string') return thrown
  const { message } = (thrown ?? {}) as { message?: unknown }
  return typeof message === 'string' ? message : `${kindOf(thrown)} was thrown: ${String(thrown)}`
}

/** What is stored of an error. Long texts are cut and say so; causes and an AggregateError's errors are kept, up to a depth and a number. */
export function serializeError (error: Error): SerializedError {
  return new Serialization().serialize(error, OUTER, 0)
}

/** What is logged of a thrown value: the value itself, or, where its texts are too long, a copy of the same class with what is kept of them. */
export function loggableError (thrown: unknown): unknown {
  const serialization = new Serialization()
  const error = toError(thrown)
  const serialized = serialization.serialize(error, OUTER, 0)
  return serialization.hasCut ? revived(serialized, Object.getPrototypeOf(error) as object) : thrown
}

/** An error's message, with those of its causes. */
export function fullMessage ({ message, cause }: SerializedError): string {
  return cause === undefined ? message : `${message}; cause: ${fullMessage(cause)}`
}

/** So many bytes of a text, up to 16 KiB, and no half of a character. A copy, since a substring keeps its whole parent string alive. */
export function beginning (text: string, bytes: number): string {
  const { written } = encoder.encodeInto(text, scratch.subarray(0, bytes))
  return scratch.toString('utf8', 0, written)
}

class Serialization {
  hasCut = false
  #nested = 0

  serialize (error: Error, limits: typeof OUTER, depth: number): SerializedError {
    const thrown = standIns.has(error) ? error.cause : error
    const code = read(error, 'code')
    const stack = read(thrown, 'stack')
    return {
      name: this.#cut(textOf(read(error, 'name')) ?? 'Error', MAX_NAME),
      message: this.#cut(textOf(read(error, 'message')) ?? UNREADABLE, limits.message),
      ...((typeof code === 'string' || typeof code === 'number') && { code: this.#cut(String(code), MAX_NAME) }),
      ...(typeof stack === 'string' && { stack: this.#cut(stack, limits.stack) }),
      ...this.#cause(read(thrown, 'cause'), depth),
      ...this.#errors(read(thrown, 'errors'), depth)
    }
  }

  #cause (cause: unknown, depth: number): Pick<SerializedError, 'cause'> {
    return cause === undefined || cause === null ? {} : { cause: this.#nest(cause, depth) ?? leftOut('further causes were left out') }
  }

  #errors (errors: unknown, depth: number): Pick<SerializedError, 'errors'> {
    const { length, first } = membersOf(errors)
    if (length === 0) return {}
    const kept: SerializedError[] = []
    for (const error of first) {
      const nested = this.#nest(error, depth)
      if (nested === undefined) break
      kept.push(nested)
    }
    if (kept.length < length) {
      this.hasCut = true
      kept.push(leftOut(`${length - kept.length} more errors were left out`))
    }
    return { errors: kept }
  }

  /** Undefined when it would be one too many, or too deep. */
  #nest (error: unknown, depth: number): SerializedError | undefined {
    if (depth === MAX_DEPTH || this.#nested === MAX_NESTED) {
      this.hasCut = true
      return undefined
    }
    this.#nested++
    return this.serialize(toError(error), NESTED, depth + 1)
  }

  #cut (text: string, limit: number): string {
    // A UTF-16 code unit takes at most three bytes.
    if (text.length * 3 <= limit) return text
    const bytes = Buffer.byteLength(text)
    if (bytes <= limit) return text
    this.hasCut = true
    return `${beginning(text, limit)}… [cut: ${bytes} bytes]`
  }
}

/** Undefined also where reading throws. */
function read (thrown: unknown, property: 'name' | 'message' | 'code' | 'stack' | 'cause' | 'errors'): unknown {
  try {
    return (thrown as Partial<Record<typeof property, unknown>> | null | undefined)?.[property]
  } catch {
    return undefined
  }
}

/** How many errors an array has, and the first of them; none where reading it throws, as a proxy can. */
function membersOf (errors: unknown): { length: number, first: unknown[] } {
  try {
    if (Array.isArray(errors)) return { length: errors.length, first: Array.from({ length: Math.min(errors.length, MAX_NESTED) }, (_, index) => errors[index]) }
  } catch {
    // Left out, as every other property that cannot be read.
  }
  return { length: 0, first: [] }
}

function textOf (value: unknown): string | undefined {
  try {
    return value === undefined ? undefined : String(value)
  } catch {
    return undefined
  }
}

function leftOut (what: string): SerializedError {
  return { name: 'Error', message: `… [${what}]` }
}

function revived ({ name, message, code, stack, cause, errors }: SerializedError, prototype: object): object {
  const error = Object.create(prototype, Object.getOwnPropertyDescriptors({ name, message, stack }))
  if (code !== undefined) error.code = code
  if (cause !== undefined) error.cause = revived(cause, Error.prototype)
  if (errors !== undefined) error.errors = errors.map((one) => revived(one, Error.prototype))
  return error
}
