import { Ajv } from 'ajv'
import t from 'tap'
import { compile, type OptionSchema } from '../lib/option-schema.ts'

const object: OptionSchema = { type: 'object', required: ['a'], additionalProperties: false, properties: { a: { type: 'integer' }, b: { type: 'object', properties: { c: { type: 'number', minimum: 0 } } } } }

const values: unknown[] = [
  undefined, null, true, false, -1, 0, 1, 1.5, 2, 3, NaN, Infinity, '', 'a', 'ab', 'abc', '😀', '😀😀', '😀😀😀', '\ud800', [], [1], [1, 2], ['a', 'b', 'c'],
  {}, { a: 1 }, { a: 1, b: {} }, { a: 1.5 }, { a: 1, b: { c: -1 } }, { a: 1, b: { c: undefined } }, { a: undefined }, { a: 1, x: undefined }, { x: 1 }, { a: 1, '/': 1 },
  Object.create({ a: 1, x: 1 }), Object.create({ a: 1 }), () => {}, new Date()
]

const schemas: Record<string, OptionSchema> = {
  nothing: {},
  object: { type: 'object' },
  array: { type: 'array' },
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  null: { type: 'null' },
  number: { type: 'number' },
  integer: { type: 'integer' },
  minimum: { type: 'number', minimum: 1 },
  maximum: { type: 'number', maximum: 1 },
  exclusiveMinimum: { type: 'number', exclusiveMinimum: 1 },
  minLength: { minLength: 2 },
  maxLength: { maxLength: 2 },
  pattern: { pattern: '^[^\\ud800-\\udfff]b*$' },
  enum: { enum: ['a', 1] },
  not: { not: { enum: ['a', 1] } },
  const: { const: false },
  conditional: { if: { type: 'string' }, then: { enum: ['a'] }, else: { type: 'number' } },
  'only then': { if: { type: 'string' }, then: { enum: ['a'] } },
  'only else': { if: { type: 'string' }, else: { enum: [1] } },
  minItems: { minItems: 2 },
  maxItems: { maxItems: 1 },
  items: { items: { type: 'number' } },
  tuple: { items: [{ type: 'string' }, { enum: ['b'] }] },
  required: { required: ['a', 'b'] },
  names: { propertyNames: { pattern: '^[a-z]$' } },
  'long names': { propertyNames: { minLength: 2 } },
  'other properties': { properties: { a: {} }, additionalProperties: { type: 'object' } },
  'no other properties': { additionalProperties: false },
  'an object of options': object,
  'options in options': { properties: { b: object }, additionalProperties: object }
}

t.test('it takes and refuses what Ajv takes and refuses, names the same option and says the same', async (t) => {
  const ajv = new Ajv({ strict: false, strictNumbers: true, verbose: true })
  for (const [name, schema] of Object.entries(schemas)) {
    const [check, validate] = [compile(schema), ajv.compile(schema)]
    for (const value of values) {
      const violation = check(value)
      t.equal(violation === undefined, validate(value), `${name}: ${String(JSON.stringify(value))}`)
      if (violation === undefined) continue
      const error = validate.errors![0]!
      const path = error.instancePath.split('/').slice(1).map((name) => name.replace('~1', '/'))
      t.same(violation.path, violation.unknown ? [...path, error.params.additionalProperty] : path, name)
      const saysItself = violation.unknown || ['not', 'const'].includes(error.keyword)
      t.ok(saysItself || violation.problem.includes(error.message!), `${name}: ${violation.problem} / ${error.message}`)
    }
  }
})

t.test('what it says', async (t) => {
  const cases: [OptionSchema, unknown, string][] = [
    [{ enum: ['a', 'b'] }, 'c', 'must be equal to one of the allowed values (a, b), got string'],
    [{ not: { enum: ['.', '..'] } }, '.', 'must be none of ., .., got string'],
    [{ const: false }, true, 'must be false or an object, got true'],
    [{ const: false, title: 'a path' }, true, 'must be false or a path, got true'],
    [{ type: 'array', title: 'a list of names' }, 'one', 'must be a list of names, got string'],
    [{ required: ['a'] }, {}, "must have required property 'a', got object"],
    [{ propertyNames: { pattern: '^a$' } }, { b: 1 }, 'must not have the name \'b\': it must match pattern "^a$"'],
    [{ kind: 'function' }, [], 'must be a function, got array'],
    [{ kind: 'Date' }, null, 'must be a Date, got null'],
    [{ kind: 'AbortSignal' }, NaN, 'must be a AbortSignal, got NaN']
  ]
  for (const [schema, value, problem] of cases) t.equal(compile(schema)(value)?.problem, problem)
})

t.test('kinds that JSON does not have', async (t) => {
  for (const [kind, value] of [['function', () => {}], ['number', NaN], ['Date', new Date()], ['AbortSignal', AbortSignal.abort()]] as const) {
    t.equal(compile({ kind })(value), undefined)
  }
})

t.test('a keyword that is not checked is refused', async (t) => {
  t.throws(() => compile({ properties: { a: { anyOf: [] } as OptionSchema } }), new TypeError("Schemas of options have no keyword 'anyOf'"))
})
