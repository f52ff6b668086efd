import { describe } from './errors.ts'

/** What is wrong with an option, and the way to it. */
export interface Violation {
  readonly path: string[]
  /** It is not known; nothing else is wrong with it. */
  readonly unknown: boolean
  readonly problem: string
}

export type Check = (value: unknown) => Violation | undefined

/**
 * What an option must be, in the words of JSON Schema, and in the order in which they are checked. Ajv would take longer to
 * compile the schemas of the plugin than Fastify takes to start.
 */
export interface OptionSchema {
  readonly type?: string
  /** A type of JavaScript that JSON does not have: what `typeof` says, or one of these classes. */
  readonly kind?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly not?: { readonly enum: readonly unknown[] }
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  /** What to give instead where `type` is not met, and what else may be given where `const` is not met. */
  readonly title?: string
  readonly if?: OptionSchema
  readonly then?: OptionSchema
  readonly else?: OptionSchema
  readonly minItems?: number
  readonly maxItems?: number
  readonly items?: OptionSchema | readonly OptionSchema[]
  readonly required?: readonly string[]
  readonly propertyNames?: OptionSchema
  readonly additionalProperties?: false | OptionSchema
  readonly properties?: Properties
}

export type Properties = Readonly<Record<string, OptionSchema>>

type Keywords = Required<OptionSchema>

const KEYWORDS: { readonly [Keyword in keyof Keywords]: (expected: Keywords[Keyword], schema: OptionSchema) => Check } = {
  type: (type, { title = type }) => demand(`must be ${title}`, TYPES[type]!),
  kind: (kind) => demand(`must be a ${kind}`, isKind(kind)),
  minimum: (limit) => demand(`must be >= ${limit}`, (value) => typeof value !== 'number' || value >= limit),
  maximum: (limit) => demand(`must be <= ${limit}`, (value) => typeof value !== 'number' || value <= limit),
  exclusiveMinimum: (limit) => demand(`must be > ${limit}`, (value) => typeof value !== 'number' || value > limit),
  minLength: (limit) => demand(`must NOT have fewer than ${limit} characters`, (value) => typeof value !== 'string' || value.length >= 2 * limit || lengthOf(value) >= limit),
  maxLength: (limit) => demand(`must NOT have more than ${limit} characters`, (value) => typeof value !== 'string' || value.length <= limit || lengthOf(value) <= limit),
  pattern,
  not: ({ enum: refused }) => demand(`must be none of ${refused.join(', ')}`, (value) => !refused.includes(value)),
  enum: (allowed) => demand(`must be equal to one of the allowed values (${allowed.join(', ')})`, (value) => allowed.includes(value)),
  const: (allowed, { title = 'an object' }) => demand(`must be ${allowed} or ${title}`, (value) => value === allowed),
  title: () => nothing,
  if: conditional,
  then: () => nothing,
  else: () => nothing,
  minItems: (limit) => demand(`must NOT have fewer than ${limit} items`, (value) => !Array.isArray(value) || value.length >= limit),
  maxItems: (limit) => demand(`must NOT have more than ${limit} items`, (value) => !Array.isArray(value) || value.length <= limit),
  items,
  required,
  propertyNames,
  additionalProperties,
  properties
}

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
  number: Number.isFinite,
  integer: Number.isInteger
}

/** The check of a schema. It finds the first violation. Throws where the schema has another keyword: nothing would be checked. */
export function compile (schema: OptionSchema): Check {
  const unknown = Object.keys(schema).find((keyword) => !Object.hasOwn(KEYWORDS, keyword))
  if (unknown !== undefined) throw new TypeError(`Schemas of options have no keyword '${unknown}'`)
  const checks = (Object.keys(KEYWORDS) as (keyof Keywords)[]).flatMap((keyword) => {
    return schema[keyword] === undefined ? [] : [KEYWORDS[keyword](schema[keyword] as never, schema)]
  })
  return function check (value) {
    for (const one of checks) {
      const violation = one(value)
      if (violation !== undefined) return violation
    }
    return undefined
  }
}

function nothing (): undefined {}

function demand (message: string, holds: (value: unknown) => boolean): Check {
  return (value) => holds(value) ? undefined : { path: [], unknown: false, problem: `${message}, got ${describe(value)}` }
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isKind (kind: string): (value: unknown) => boolean {
  if (kind === 'Date') return (value) => value instanceof Date
  if (kind === 'AbortSignal') return (value) => value instanceof AbortSignal
  return (value) => typeof value === kind // eslint-disable-line valid-typeof
}

/** In code points, as JSON Schema counts. */
function lengthOf (text: string): number {
  return Array.from(text).length
}

function pattern (source: string): Check {
  const expression = new RegExp(source, 'u')
  return demand(`must match pattern "${source}"`, (value) => typeof value !== 'string' || expression.test(value))
}

function conditional (condition: OptionSchema, { then = {}, else: otherwise = {} }: OptionSchema): Check {
  const [holds, whenIt, whenNot] = [compile(condition), compile(then), compile(otherwise)]
  return (value) => holds(value) === undefined ? whenIt(value) : whenNot(value)
}

function items (schemas: OptionSchema | readonly OptionSchema[]): Check {
  const each = Array.isArray(schemas) ? schemas.map(compile) : undefined
  const every = each === undefined ? compile(schemas as OptionSchema) : undefined
  return (value) => {
    if (!Array.isArray(value)) return undefined
    for (const [index, item] of value.entries()) {
      const violation = (every ?? each![index])?.(item)
      if (violation !== undefined) return under(String(index), violation)
    }
    return undefined
  }
}

function required (names: readonly string[]): Check {
  const checks = names.map((name) => demand(`must have required property '${name}'`, (value) => !isObject(value) || value[name] !== undefined))
  return (value) => {
    for (const check of checks) {
      const violation = check(value)
      if (violation !== undefined) return violation
    }
    return undefined
  }
}

function propertyNames (schema: OptionSchema): Check {
  const check = compile(schema)
  return ofEachName((_, name) => {
    const violation = check(name)
    // The name is no secret, unlike a value.
    return violation && { ...violation, problem: `must not have the name '${name}': it ${violation.problem.replace(/, got string$/, '')}` }
  })
}

function additionalProperties (schema: false | OptionSchema, { properties = {} }: OptionSchema): Check {
  const check = schema === false ? undefined : compile(schema)
  return ofEachName((value, name) => {
    if (Object.hasOwn(properties, name)) return undefined
    if (check === undefined) return { path: [name], unknown: true, problem: '' }
    return under(name, check(value[name]))
  })
}

function ofEachName (check: (value: Record<string, unknown>, name: string) => Violation | undefined): Check {
  return (value) => {
    if (!isObject(value)) return undefined
    // Inherited ones, too: options may be made by Object.create.
    for (const name in value) {
      const violation = check(value, name)
      if (violation !== undefined) return violation
    }
    return undefined
  }
}

function properties (schemas: Properties): Check {
  const checks = Object.entries(schemas).map(([name, schema]) => [name, compile(schema)] as const)
  return (value) => {
    if (!isObject(value)) return undefined
    for (const [name, check] of checks) {
      const violation = value[name] === undefined ? undefined : check(value[name])
      if (violation !== undefined) return under(name, violation)
    }
    return undefined
  }
}

function under (name: string, violation: Violation | undefined): Violation | undefined {
  violation?.path.unshift(name)
  return violation
}
